"""What the Kubernetes worker makes of Pods that end, vanish or are kept, and of its options."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import InvalidArgumentError, NotFoundError, UnavailableError
from katib.domain.names import new_id, run_name
from katib.worker.base import RunPhase, WorkerSettings
from katib.worker.kubernetes.policy import KEEP_ALL, Policy, Waits
from katib.worker.kubernetes.worker import create_worker
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC, successor, until


@pytest.mark.long
def test_a_stopped_run_keeps_its_exit_code_and_its_output(driver):
    name = driver.start("sh", "-c", "trap 'echo saved; exit 4' TERM; echo here; while :; do sleep 0.05; done")
    driver.printed(name, "here")
    driver.worker.stop(driver.study_id, name)
    status = driver.ended(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "Stopped", 4)
    assert driver.texts(name) == ["here", "saved"]


@pytest.mark.long
def test_a_run_that_ends_well_before_its_stop_takes_effect_has_succeeded(driver):
    name = driver.start("sh", "-c", "trap 'echo x=1; exit 0' TERM; echo here; while :; do sleep 0.05; done")
    driver.printed(name, "here")
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert driver.texts(name) == ["here", "x=1"]


@pytest.mark.long
def test_a_pod_that_somebody_deletes_is_a_failed_run_with_what_it_printed(api, node, new_worker):
    # Ends are told in whole seconds.
    driver = Driver(new_worker(fence_s=3.0), SPEC, DEADLINE_S)
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    api.update("default", name, lambda pod: pod["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    until("it stays", lambda: api.get(name) is None)
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodDeleted")
    assert driver.texts(name) == ["here"]
    driver.worker.delete(driver.study_id, name)
    # Its name is held all the same.
    until("there is no tombstone", lambda: api.get(name) is not None)
    until("the tombstone stays", lambda: api.get(name) is None)


@pytest.mark.slow
def test_the_name_of_a_finished_pod_is_held_when_somebody_deletes_it_too_early(api, node, new_worker):
    driver = Driver(new_worker(fence_s=3.0), SPEC, DEADLINE_S)
    name = driver.start("true")
    driver.ended(name)
    driver.worker.delete(driver.study_id, name)
    before = api.get(name)["metadata"]["uid"]
    api.remove("default", name)
    until(
        "there is no tombstone", lambda: (api.get(name) or {"metadata": {"uid": before}})["metadata"]["uid"] != before
    )
    assert api.get(name)["spec"]["schedulingGates"]
    assert driver.statuses() == {}
    until("the tombstone stays", lambda: api.get(name) is None)


@pytest.mark.long
def test_what_another_manager_deletes_is_forgotten_here_too(api, driver, new_worker):
    other = new_worker()
    name = driver.start("true")
    driver.ended(name)
    until("the other knows nothing", lambda: other._runs.get(name) is not None)
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)
    until("the other still knows it", lambda: other._runs.get(name) is None)
    assert api.counts()["create", "pods"] == 1


@pytest.mark.slow
def test_a_run_that_comes_late_for_a_deleted_study_is_ended_and_goes(api, driver, new_worker):
    late = successor(driver, new_worker)
    driver.worker.delete_study(driver.study_id)
    run = driver.run("sleep", "600")
    late.worker.create(run)
    until("it stays", lambda: api.get(run.name) is None)


@pytest.mark.long
def test_what_nobody_asks_for_goes_in_the_end(api, driver, new_worker, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.rounds._FORSAKEN", timedelta(seconds=1))
    name = driver.start("true")
    driver.ended(name)
    driver.worker.close()
    new_worker(Policy(keep_time=timedelta(0)), fence_s=0.2)
    until("it stays", lambda: api.get(name) is None)


def test_a_pod_that_vanished_while_nobody_watched_is_seen_to_be_gone(api, driver):
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    with api.changed:
        api.pods.pop(("default", name))
        api.version += 1
        api.forget_events()
    assert driver.ended(name).reason == "PodDeleted"


def test_a_pod_that_vanished_while_the_manager_was_away_is_a_failed_run_once_it_is_stopped(api, driver, new_worker):
    """As the controller does with a trial that should run and has no run."""
    name = driver.start("sleep", "600")
    driver.worker.close()
    api.remove("default", name)
    other = successor(driver, new_worker)
    assert other.statuses() == {}
    other.worker.stop(driver.study_id, name)
    assert (other.status(name).phase, other.status(name).reason) == (RunPhase.FAILED, "PodDeleted")


@pytest.mark.long
def test_an_older_event_changes_nothing_and_brings_nobody_back(api, driver):
    name = driver.start("true")
    driver.ended(name)
    old = [pod for _, _, pod in api.events if pod["metadata"]["name"] == name]
    driver.worker._runs.apply("MODIFIED", old[0])
    assert driver.status(name).phase is RunPhase.SUCCEEDED
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)
    until("it is still known", lambda: driver.worker._runs.get(name) is None)
    for pod in old:
        driver.worker._runs.apply("MODIFIED", pod)
    driver.worker._runs.replace("default", [old[-1]], old[-1]["metadata"]["resourceVersion"])
    assert driver.worker._runs.get(name) is None


def test_a_run_is_listed_as_soon_as_it_was_created(api, driver):
    until("no watch", lambda: driver.worker._sight.reflectors[0]._stream is not None)
    api.faults.append(lambda r: time.sleep(3) if r.verb == "watch" else None)
    driver.worker._sight.reflectors[0]._stream.shut()
    name = driver.start("sleep", "600")
    assert name in driver.statuses()


@pytest.mark.long
def test_a_wait_without_hope_is_ended_with_its_reason(api, node, new_worker):
    node.full = True
    driver = Driver(new_worker(Policy(waits=Waits(scheduler=timedelta(seconds=1)))), SPEC, DEADLINE_S)
    name = driver.start("true")
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NotScheduled")
    assert api.get(name)["status"]["phase"] == "Failed"


@pytest.mark.long
def test_a_study_s_own_start_timeout_counts_after_a_restart_too(api, node, driver, new_worker):
    node.full = True
    study = replace(SPEC, pod=replace(SPEC.pod, start_timeout=timedelta(seconds=2)))
    run = driver.run("true", study=study)
    driver.worker.create(run)
    driver.worker.close()
    status = successor(driver, new_worker).ended(run.name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NotScheduled")
    assert "start_timeout" in status.message


@pytest.fixture
def lost(node, new_worker, monkeypatch):
    """The driver of a run that is asked to end on a node that does not answer any more, and its name."""
    monkeypatch.setattr("katib.worker.kubernetes.rounds._OVERDUE", timedelta(seconds=0.2))
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.5)
    driver = Driver(new_worker(Policy(waits=Waits(gone=timedelta(seconds=1)))), SPEC, DEADLINE_S)
    study = replace(
        SPEC, pod=replace(SPEC.pod, template='{"spec": {"terminationGracePeriodSeconds": 1, "containers": [{}]}}')
    )
    run = driver.run("sh", "-c", "echo here; sleep 600", study=study)
    driver.worker.create(run)
    driver.printed(run.name, "here")
    node.silent.set()
    return driver, run.name


@pytest.mark.slow
def test_a_pod_whose_node_does_not_answer_is_let_go_of_after_the_deadline(lost):
    driver, name = lost
    driver.worker.stop(driver.study_id, name)
    assert driver.status(name).phase is RunPhase.STOPPING
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NodeLost")


@pytest.mark.slow
def test_a_pod_that_a_finalizer_holds_on_a_lost_node_is_let_go_of_too_and_the_finalizer_is_named(api, lost):
    driver, name = lost
    api.update("default", name, lambda pod: pod["metadata"].update(finalizers=["kueue.x-k8s.io/managed"]))
    driver.worker.stop(driver.study_id, name)
    said = set()

    def ended() -> bool:
        status = driver.status(name)
        said.add(status.reason)
        return status.phase.ended

    driver.until("it never ended", ended)
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NodeLost")
    assert "kueue.x-k8s.io/managed holds the Pod" in status.message
    # It was Katib that deleted it.
    assert "PodDeleted" not in said
    assert driver.texts(name) == ["here"]
    driver.worker.delete(driver.study_id, name)
    before = api.counts()["delete", "pods"]
    api.update("default", name, lambda pod: pod["metadata"]["labels"].update(touched="yes"))
    time.sleep(2.0)
    assert api.get(name) is not None
    assert api.counts()["delete", "pods"] == before
    assert driver.statuses() == {}


# Keeping and deleting


@pytest.mark.long
def test_what_failed_is_kept_for_its_log_to_be_read(api, node, new_worker):
    driver = Driver(new_worker(Policy(keep_time=timedelta(seconds=60)), fence_s=0.2), SPEC, DEADLINE_S)
    failed, well = driver.start("sh", "-c", "echo why; exit 3"), driver.start("true")
    for name in (failed, well):
        driver.ended(name)
        driver.worker.delete(driver.study_id, name)
    until("the other stays", lambda: api.get(well) is None)
    time.sleep(1.0)
    assert driver.statuses() == {}
    assert driver.worker.log(driver.study_id, failed, 0, 100).data == b"why\n"


@pytest.mark.long
def test_what_was_kept_goes_when_its_time_is_over(api, node, new_worker):
    driver = Driver(new_worker(Policy(keep=KEEP_ALL, keep_time=timedelta(seconds=2)), fence_s=0.2), SPEC, DEADLINE_S)
    name = driver.start("true")
    driver.ended(name)
    driver.worker.delete(driver.study_id, name)
    until("it stays", lambda: api.get(name) is None)

    def unknown() -> bool:
        try:
            driver.worker.log(driver.study_id, name, 0, 100)
        except NotFoundError:
            return True
        return False

    # The API server's answer is on its way.
    until("it is still known", unknown)


@pytest.mark.long
def test_nothing_is_deleted_before_it_was_let_go_of(api, driver):
    name = driver.start("true")
    driver.ended(name)
    time.sleep(2.5)
    assert api.get(name) is not None


def test_whoever_begins_to_watch_is_told_of_the_studies_whose_pods_are_there(api, driver, new_worker):
    driver.ended(driver.start("true"))
    late = new_worker()
    until("it knows nothing", lambda: late._runs.studies())
    woken = []
    late.watch(woken.append)
    assert woken == [driver.study_id]


@pytest.mark.long
def test_who_watches_is_told_again_of_a_study_whose_ended_pods_nobody_has_let_go_of(api, driver, new_worker):
    """The manager that was to do so may have been ended before it could."""
    other = new_worker(fence_s=1.0, reflector_options=QUICK)
    woken = []
    other.watch(woken.append)
    name = driver.start("true")
    driver.ended(name)
    until("the other does not see it end", lambda: other._runs.get(name) and other._runs.get(name).ended)
    time.sleep(0.5)
    woken.clear()
    until("it is not told again", lambda: woken == [driver.study_id])


def test_the_pods_of_a_deleted_study_go(api, node, new_worker):
    driver = Driver(new_worker(Policy(keep=KEEP_ALL), fence_s=0.2), SPEC, DEADLINE_S)
    names = [driver.start("true") for _ in range(3)]
    for name in names:
        driver.ended(name)
    driver.worker.delete_study(driver.study_id)
    until("they stay", lambda: not any(api.get(name) for name in names))


# Namespaces


@pytest.mark.long
@pytest.mark.parametrize("namespaces", [("other",), ("*",)])
def test_pods_of_another_namespace_are_found_again_there(api, node, new_worker, namespaces):
    policy = Policy(namespaces=namespaces)
    driver = Driver(new_worker(policy), SPEC, DEADLINE_S)
    run = driver.run("sh", "-c", "echo here; sleep 600", study=replace(SPEC, pod=replace(SPEC.pod, namespace="other")))
    driver.worker.create(run)
    driver.printed(run.name, "here")
    assert api.get(run.name, "other") is not None
    driver.worker.close()
    other = successor(driver, new_worker, policy=policy)
    other.worker.stop(driver.study_id, run.name)
    assert other.ended(run.name).phase is RunPhase.FAILED
    assert other.texts(run.name) == ["here"]
    assert api.get(run.name, "default") is None


# Made


def test_options_are_checked_when_the_worker_is_made(tmp_path):
    with pytest.raises(InvalidArgumentError, match="--worker-option keep: 'some'"):
        create_worker(WorkerSettings(options={"keep": "some"}))
    with pytest.raises(InvalidArgumentError, match="--worker-option kubeconfig"):
        create_worker(WorkerSettings(options={"kubeconfig": str(tmp_path / "none")}))


def test_the_fence_is_ten_leases(api, access, tmp_path):
    access()
    worker = create_worker(WorkerSettings(options={"kubeconfig": str(tmp_path / "kubeconfig")}, lease_s=7.0))
    assert worker._rounds._fence_s == 70.0
    assert list(worker.list(new_id())) == []
    worker.close()
    with pytest.raises(UnavailableError):
        worker.stop(new_id(), run_name(new_id(), 1))
