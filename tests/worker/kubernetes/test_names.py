"""Whose Pod it is that has the name of a run, and what becomes of one that comes late."""

import time

import pytest

from katib.domain.errors import NotFoundError
from katib.worker.base import RunPhase
from katib.worker.kubernetes.pods import (
    LABEL_ATTEMPT,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    LABEL_STUDY,
    LABEL_TRIAL,
)
from katib.worker.kubernetes.policy import KEEP_NONE, Policy
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, SPEC, created, refuse, successor, until
from tests.worker.kubernetes.messages import refusal


def test_a_create_whose_answer_was_lost_adopts_what_it_made(api, driver, new_worker):
    run = driver.run("sh", "-c", "echo once; sleep 0.2")
    driver.worker.create(run)
    other = successor(driver, new_worker)
    other.worker._runs.get = lambda _name: None  # as if no event had come yet
    other.worker.create(run)
    del other.worker._runs.get
    assert other.ended(run.name).phase is RunPhase.SUCCEEDED
    assert other.texts(run.name) == ["once"]


def test_a_name_that_another_pod_has_is_a_failed_run_that_says_so(api, driver, new_worker):
    run = driver.run("true")
    with api.changed:
        metadata = {"name": run.name, "namespace": "default", "uid": "theirs", "labels": {}}
        api.change("ADDED", {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}})
    driver.worker.create(run)
    status = driver.status(run.name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NameTaken")
    driver.worker.stop(driver.study_id, run.name)
    other = successor(driver, new_worker)
    other.worker.stop(driver.study_id, run.name)
    assert other.status(run.name).reason == "NameTaken"
    assert api.get(run.name)["metadata"]["uid"] == "theirs"


@pytest.mark.long
def test_a_pod_of_another_installation_stays_that_one_s_though_its_name_and_its_study_are_the_same(
    api, driver, new_worker
):
    """As where two work on copies of one database."""
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    before = api.get(name)["metadata"]
    other = successor(driver, new_worker, policy=Policy(installation="lab"))
    assert other.statuses() == {}
    with pytest.raises(NotFoundError):
        other.worker.output(driver.study_id, name, "", 0)
    other.worker.stop(driver.study_id, name)
    other.worker.delete(driver.study_id, name)
    other.worker.create(other.run("true", trial_id=name.partition("-")[0]))
    time.sleep(1.5)
    after = api.get(name)["metadata"]
    assert (after["labels"], after["annotations"]) == (before["labels"], before["annotations"])
    assert driver.status(name).phase is RunPhase.RUNNING


def test_a_run_whose_name_another_installation_s_pod_has_says_whose_it_is(api, driver, new_worker):
    name = driver.start("sleep", "600")
    other = successor(driver, new_worker, policy=Policy(installation="lab"))
    other.worker.create(other.run("true", trial_id=name.partition("-")[0]))
    status = other.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NameTaken")
    assert status.message == (
        f"namespace default holds the Pod {name} of another Katib, whose installation is katib, as where two work on copies of "
        "one database: have the trials of one go to another namespace"
    )


@pytest.mark.long
def test_a_finished_pod_holds_its_name_for_the_time_of_the_fence(api, node, new_worker):
    driver = Driver(new_worker(Policy(keep=KEEP_NONE), fence_s=2.0), SPEC, DEADLINE_S)
    run = driver.run("sh", "-c", "echo once")
    driver.worker.create(run)
    driver.ended(run.name)
    driver.worker.delete(driver.study_id, run.name)
    late = successor(driver, new_worker)
    until("its successor knows nothing", lambda: late.statuses())
    late.worker.create(run)
    time.sleep(1.0)
    assert api.get(run.name)["status"]["phase"] == "Succeeded"
    until("it stays for ever", lambda: api.get(run.name) is None)


@pytest.mark.long
def test_a_finished_pod_that_another_manager_takes_away_in_time_is_not_held_once_more(api, driver, new_worker):
    """By one that looked after the study before, and does so again."""
    before = successor(driver, new_worker)
    name = driver.start("true")
    driver.ended(name)
    until("the other knows nothing", lambda: before.statuses())
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)
    until("the other knows nothing of that", lambda: before.worker._runs.get(name).gone)
    creations = api.counts()["create", "pods"]
    before.worker.delete(before.study_id, name)
    until("it is not forgotten", lambda: before.worker._runs.get(name) is None)
    assert (api.counts()["create", "pods"], api.get(name)) == (creations, None)


@pytest.mark.long
def test_a_create_that_comes_after_the_stop_of_a_run_that_never_was_does_not_start_it(api, node, driver, new_worker):
    """By another manager that was frozen in between."""
    run = driver.run("sh", "-c", "echo started")
    late = successor(driver, new_worker)
    driver.worker.stop(driver.study_id, run.name)
    late.worker._runs.get = lambda _name: None
    late.worker.create(run)
    status = driver.status(run.name)
    assert status.phase is RunPhase.FAILED
    pod = api.get(run.name)
    assert pod["status"]["phase"] == "Failed"
    assert pod["spec"]["schedulingGates"]
    driver.worker.delete(driver.study_id, run.name)
    until("the tombstone stays", lambda: api.get(run.name) is None)


def test_a_pod_without_a_node_is_failed_where_it_stands(api, node, driver):
    node.full = True
    name = driver.start("true")
    driver.worker.stop(driver.study_id, name)
    assert driver.status(name).phase is RunPhase.FAILED
    assert api.get(name)["status"]["phase"] == "Failed"
    assert api.counts().get(("delete", "pods"), 0) == 0


@pytest.mark.long
def test_a_pod_that_gets_a_node_just_before_it_is_stopped_is_stopped_there(api, node, driver):
    node.full = True
    run = driver.run("sleep", "600")
    driver.worker.create(run)
    pod = api.get(run.name)
    node.full = False

    def bind_first(request):
        if request.part == "status":
            api.faults.clear()
            node.take(pod)
            until("it was never bound", lambda: api.get(run.name)["spec"].get("nodeName"))
        return

    api.faults.append(bind_first)
    driver.worker.stop(driver.study_id, run.name)
    assert driver.ended(run.name).phase is RunPhase.FAILED
    assert api.get(run.name)["spec"]["activeDeadlineSeconds"] == 1


def relabel(api, label: str) -> None:
    """As a mutating policy of the cluster does."""
    api.admit = lambda pod: pod["metadata"]["labels"].update({label: "platform"})


@pytest.mark.parametrize("label", [LABEL_MANAGED_BY, LABEL_INSTALLATION])
def test_a_pod_whose_label_admission_changes_is_deleted_and_its_run_failed_with_the_label_s_name(api, driver, label):
    relabel(api, label)
    name = driver.start("sleep", "600")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodRefused")
    assert f"{label} is platform" in status.message
    until("its Pod runs on", lambda: api.get(name) is None)
    driver.worker.stop(driver.study_id, name)
    driver.worker.delete(driver.study_id, name)
    assert driver.statuses() == {}


def test_a_pod_whose_label_was_changed_by_admission_is_deleted_though_the_answer_was_lost(api, driver):
    relabel(api, LABEL_MANAGED_BY)
    refuse(api, refusal(500, "etcdserver: request timed out", "InternalError"), verb="delete", times=1)
    run = driver.run("sleep", "600")
    assert not created(driver, run)
    driver.worker.create(run)
    assert LABEL_MANAGED_BY in driver.status(run.name).message
    until("its Pod runs on", lambda: api.get(run.name) is None)


OWN = [LABEL_STUDY, LABEL_TRIAL, LABEL_ATTEMPT, LABEL_INSTALLATION, LABEL_MANAGED_BY]


def change_label(api, name, label, value=None) -> None:
    """By somebody; without a value it is taken away."""

    def change(pod):
        labels = {**pod["metadata"]["labels"], label: value}
        pod["metadata"]["labels"] = {key: text for key, text in labels.items() if text is not None}

    api.update("default", name, change)


@pytest.mark.long
@pytest.mark.parametrize("label", OWN)
@pytest.mark.parametrize("value", [None, "other"])
def test_a_pod_whose_label_somebody_changes_has_it_again_and_its_run_goes_on(api, driver, caplog, label, value):
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    before = api.get(name)["metadata"]
    change_label(api, name, label, value)
    until("its label is not set again", lambda: api.get(name)["metadata"]["labels"] == before["labels"])
    assert driver.status(name).phase is RunPhase.RUNNING
    told = f"the labels by which Katib finds the Pod of run {name} ({label} is {value or 'missing'})"
    until("nobody is told", lambda: any(told in text for text in caplog.messages))
    driver.worker.stop(driver.study_id, name)
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "Stopped")
    assert api.get(name)["metadata"]["uid"] == before["uid"]


def test_another_manager_knows_a_pod_that_got_its_labels_again_too(api, driver, new_worker):
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    other = successor(driver, new_worker)
    until("it does not see the Pod", lambda: other.worker._runs.get(name))
    until("it does not watch", lambda: api.counts()["watch", "pods"] == 2)
    time.sleep(0.2)
    change_label(api, name, LABEL_MANAGED_BY)
    until("its label is not set again", lambda: LABEL_MANAGED_BY in api.get(name)["metadata"]["labels"])
    other.until("it does not see the Pod again", lambda: name in other.statuses())
    assert other.status(name).phase is RunPhase.RUNNING


def keep_labels(api, monkeypatch) -> None:
    """As they are, whoever wants others."""
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.1)
    patch = api._patch

    def patched(request, pod):
        (request.body.get("metadata") or {}).pop("labels", None)
        return patch(request, pod)

    monkeypatch.setattr(api, "_patch", patched)


@pytest.mark.long
def test_a_pod_of_which_no_event_tells_any_more_since_its_labels_cannot_be_set_is_seen_to_end(
    api, driver, monkeypatch, tmp_path
):
    keep_labels(api, monkeypatch)
    name = driver.start("sh", "-c", f"echo here; until test -e {tmp_path}/over; do sleep 0.1; done")
    driver.printed(name, "here")
    change_label(api, name, LABEL_MANAGED_BY)
    driver.until("it is not said", lambda: "the cluster's rules change the labels" in driver.status(name).message)
    (tmp_path / "over").touch()
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)


@pytest.mark.long
def test_a_pod_whose_labels_a_rule_changes_again_and_again_says_so_and_is_not_lost(api, driver, monkeypatch):
    keep_labels(api, monkeypatch)
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    change_label(api, name, LABEL_STUDY)
    driver.until("it is not said", lambda: "the cluster's rules change the labels" in driver.status(name).message)
    assert driver.status(name).phase is RunPhase.RUNNING
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).reason == "Stopped"


@pytest.mark.long
@pytest.mark.parametrize(
    ("label", "value"),
    [*((label, None) for label in OWN), *((label, "other") for label in OWN if label != LABEL_STUDY)],
)
def test_a_pod_whose_label_was_changed_while_no_manager_was_there_has_it_again_and_its_run_is_seen_to_end(
    api, driver, new_worker, tmp_path, label, value
):
    name = driver.start("sh", "-c", f"echo here; until test -e {tmp_path}/over; do sleep 0.1; done; echo there")
    driver.printed(name, "here")
    driver.worker.close()
    before = api.get(name)["metadata"]
    change_label(api, name, label, value)
    other = successor(driver, new_worker)
    # As a manager does that misses a run.
    other.statuses()
    other.worker.output(driver.study_id, name, "", 0)
    assert other.status(name).phase is RunPhase.RUNNING
    until("its label is not set again", lambda: api.get(name)["metadata"]["labels"] == before["labels"])
    (tmp_path / "over").touch()
    assert other.ended(name).phase is RunPhase.SUCCEEDED
    assert other.texts(name) == ["here", "there"]
    assert api.get(name)["metadata"]["uid"] == before["uid"]


@pytest.mark.long
@pytest.mark.parametrize("label", [LABEL_STUDY, LABEL_TRIAL, LABEL_ATTEMPT])
def test_a_pod_whose_label_was_changed_while_no_manager_was_there_is_ended_before_its_name_is_given_up(
    api, driver, new_worker, label
):
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    driver.worker.close()
    change_label(api, name, label)
    other = successor(driver, new_worker)
    other.worker.stop(driver.study_id, name)
    assert other.status(name).phase is RunPhase.STOPPING
    assert other.ended(name).reason == "Stopped"


def test_a_tombstone_whose_label_admission_changes_does_not_stay(api, driver):
    relabel(api, LABEL_MANAGED_BY)
    run = driver.run("true")
    driver.worker.stop(driver.study_id, run.name)
    assert driver.status(run.name).phase is RunPhase.FAILED
    assert api.get(run.name) is None
