"""What the Kubernetes worker does when the API server refuses, when Pods vanish, and when it was not there for a while."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import InvalidArgumentError, NotFoundError, UnavailableError
from katib.domain.names import new_id, run_name
from katib.domain.study import Objective, StudySpec
from katib.worker.base import RunPhase, WorkerSettings
from katib.worker.kubernetes.podapi import VERBS
from katib.worker.kubernetes.policy import KEEP_ALL, KEEP_NONE, Policy, Waits
from katib.worker.kubernetes.worker import create_worker
from tests.worker.contract import Driver
from tests.worker.kubernetes.apiserver import refusal

DEADLINE_S = 20.0
SPEC = StudySpec("kube", "x", Objective.MINIMIZE, (), algorithm="random", command=("true",), image="image")
QUICK = {"backoff_first_s": 0.02, "backoff_most_s": 0.1, "stale_s": 0.3}
WHO = 'User "system:serviceaccount:katib:manager"'


@pytest.fixture
def worker(node, new_worker):
    return new_worker(fence_s=0.5, reflector_options=QUICK)


@pytest.fixture
def driver(worker):
    return Driver(worker, SPEC, DEADLINE_S)


def until(what: str, condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def successor(driver, new_worker, **options) -> Driver:
    other = Driver(new_worker(**({"fence_s": 0.5, "reflector_options": QUICK} | options)), driver.study, DEADLINE_S)
    other.study_id = driver.study_id
    return other


def refuse(api, answer, verb="create", times=1000) -> None:
    left = [times]

    def fault(request):
        if request.verb == verb and left[0] > 0:
            left[0] -= 1
            return answer
        return None

    api.faults.append(fault)


# What it costs


@pytest.mark.long
def test_a_trial_costs_three_requests_and_every_verb_is_one_that_is_granted(api, driver):
    name = driver.start("sh", "-c", "echo x=1; sleep 0.3; echo x=2")
    driver.ended(name)
    assert driver.texts(name) == ["x=1", "x=2"]
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)
    counts = {key: n for key, n in api.counts().items() if key[0] not in ("list", "watch")}
    assert counts == {("create", "pods"): 1, ("get", "pods/log"): 1, ("delete", "pods"): 1}
    for verb, resource in api.counts():
        assert verb in VERBS[resource]


def test_connections_are_used_again(api, driver):
    for _ in range(10):
        name = driver.start("true")
        driver.ended(name)
        driver.worker.delete(driver.study_id, name)
    assert api.connections < 8


@pytest.mark.long
def test_nothing_is_asked_for_while_runs_are_silent(api, driver):
    names = [driver.start("sleep", "600") for _ in range(3)]
    for name in names:
        driver.until("it never ran", lambda name=name: driver.status(name).phase is RunPhase.RUNNING)
    for name in names:
        driver.worker.output(driver.study_id, name, "", 1000)
    before = len(api.requests)
    for _ in range(5):
        driver.statuses()
        time.sleep(0.2)
    assert len(api.requests) - before <= 3  # the logs are followed


# Refusals


def test_a_pod_that_is_invalid_is_a_failed_run_with_the_api_servers_words_and_stays_so(api, driver, new_worker):
    refuse(api, refusal(422, 'Pod "x" is invalid: spec.containers[0].image: Invalid value', "Invalid"), times=1)
    name = driver.start("true")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "InvalidPod")
    assert "spec.containers[0].image" in status.message
    assert driver.texts(name) == []
    other = successor(driver, new_worker).status(name)
    assert (other.phase, other.reason, other.message) == (status.phase, status.reason, status.message)


def test_a_pod_that_admission_refuses_is_a_failed_run(api, driver):
    said = 'admission webhook "policy.example" denied the request: no team label'
    refuse(api, refusal(403, said, "Forbidden"), times=1)
    status = driver.status(driver.start("true"))
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodRefused")
    assert "no team label" in status.message


def test_a_namespace_that_admits_not_even_a_tombstone_still_shows_the_failed_run(api, driver):
    refuse(api, refusal(403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Forbidden"))
    name = driver.start("true")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodRefused")
    driver.worker.delete(driver.study_id, name)
    assert driver.statuses() == {}


def test_a_denial_is_a_wait_that_names_what_to_grant(api, driver):
    said = f'pods is forbidden: {WHO} cannot create resource "pods" in API group "" in the namespace "default"'
    refuse(api, refusal(403, said, "Forbidden"))
    run = driver.run("true")
    with pytest.raises(
        UnavailableError, match="may not create pods in namespace default: grant the verb create on pods"
    ):
        driver.worker.create(run)
    api.faults.clear()
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(403, 'pods "x" is forbidden: exceeded quota: compute, requested: pods=1', "Forbidden"), "quota"),
        (refusal(401, "Unauthorized", "Unauthorized"), "does not know the manager"),
        (refusal(404, 'namespaces "default" not found', "NotFound"), "there is no namespace default"),
        (
            refusal(403, "unable to create new content in namespace x because it is being terminated", "Forbidden"),
            "terminated",
        ),
        (refusal(500, "etcdserver: request timed out", "InternalError"), "out of order"),
        (refusal(409, "Operation cannot be fulfilled: try again", "Conflict"), "try again"),
    ],
)
def test_what_may_pass_is_a_wait_with_its_reason(api, driver, answer, words):
    # A creation that met another one is tried again at once, but not for ever.
    refuse(api, answer, times=5 if answer.status == 409 else 1)
    run = driver.run("true")
    with pytest.raises(UnavailableError, match=words):
        driver.worker.create(run)
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


@pytest.mark.long
def test_an_api_server_that_asks_for_patience_is_left_alone_for_that_time(api, driver):
    refuse(api, refusal(429, "too many requests", "TooManyRequests", Retry_After="1"), times=1)
    run = driver.run("true")
    for _ in range(5):
        with pytest.raises(UnavailableError, match="patience"):
            driver.worker.create(run)
    assert api.counts()["create", "pods"] == 1

    def created() -> bool:
        try:
            driver.worker.create(run)
        except UnavailableError:
            return False
        return True

    until("it was never asked again", created)

    def ended() -> bool:
        try:
            return driver.status(run.name).phase.ended
        except UnavailableError:
            # Its watch was to begin anew in the time for which patience was asked, and it is not asked again yet.
            return False

    until("it never ended", ended)
    assert driver.status(run.name).phase is RunPhase.SUCCEEDED


@pytest.mark.long
def test_an_api_server_that_is_away_is_a_wait_and_the_runs_go_on(api, node, driver):
    name = driver.start("sh", "-c", "echo one; sleep 1; echo two")
    driver.printed(name, "one")
    api.stop()

    def away() -> bool:
        try:
            driver.statuses()
        except UnavailableError as error:
            return "connection refused" in error.message
        return False

    until("it still answers", away)
    with pytest.raises(UnavailableError):
        driver.worker.create(driver.run("true"))
    api.restart()

    def back() -> bool:
        try:
            return driver.status(name).phase.ended
        except UnavailableError:
            return False

    until("it never came back", back)
    assert driver.texts(name) == ["one", "two"]


@pytest.mark.long
def test_a_study_is_woken_when_nothing_has_been_heard_of_its_runs_for_too_long(api, driver):
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    time.sleep(1.0)
    driver.woken.clear()
    api.stop()
    assert driver.woken.wait(DEADLINE_S)
    with pytest.raises(UnavailableError, match="nothing has been heard"):
        driver.statuses()
    api.restart()


def test_an_api_server_that_does_not_answer_costs_the_time_limit_and_no_more(api, driver, monkeypatch):
    monkeypatch.setattr(driver.worker._api, "_answer_s", 0.2)
    monkeypatch.setattr("katib.worker.kubernetes.api._LONGER_S", 0.2)
    api.faults.append(lambda r: time.sleep(2) if r.verb == "create" else None)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="no answer in time"):
        driver.worker.create(driver.run("true"))
    assert time.monotonic() - begin < 1.5


def test_a_token_that_was_replaced_in_its_file_is_read_again(api, access, tmp_path, driver, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.access._RENEW_S", 0.0)
    api.token = "another"
    run = driver.run("true")
    with pytest.raises(UnavailableError, match="does not know the manager"):
        driver.worker.create(run)
    file = tmp_path / "kubeconfig"
    file.write_text(file.read_text().replace("secret", "another"))

    def created() -> bool:
        try:
            driver.worker.create(run)
        except UnavailableError:
            return False
        return True

    until("it was never read again", created)
    until("its Pods are not in sight", lambda: not driver.worker._reflectors[0].stale)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


# Names


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


# Ends


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
def test_a_pod_that_somebody_deletes_is_a_failed_run_with_what_it_printed(api, driver):
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
    until("no watch", lambda: driver.worker._reflectors[0]._stream is not None)
    api.faults.append(lambda r: time.sleep(3) if r.verb == "watch" else None)
    driver.worker._reflectors[0]._stream.shut()
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


@pytest.mark.slow
def test_a_pod_whose_node_does_not_answer_is_let_go_of_after_the_deadline(api, node, new_worker, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.rounds._OVERDUE", timedelta(seconds=0.2))
    driver = Driver(new_worker(Policy(waits=Waits(gone=timedelta(seconds=1)))), SPEC, DEADLINE_S)
    study = replace(
        SPEC, pod=replace(SPEC.pod, template='{"spec": {"terminationGracePeriodSeconds": 1, "containers": [{}]}}')
    )
    run = driver.run("sleep", "600", study=study)
    driver.worker.create(run)
    driver.until("it never ran", lambda: driver.status(run.name).phase is RunPhase.RUNNING)
    node.silent.set()
    driver.worker.stop(driver.study_id, run.name)
    assert driver.status(run.name).phase is RunPhase.STOPPING
    status = driver.ended(run.name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NodeLost")


# Output


@pytest.mark.long
def test_what_was_printed_while_no_manager_was_there_comes_once(api, driver, new_worker):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo x=$i; sleep 0.1; done")
    driver.printed(name, "x=2")
    output = driver.worker.output(driver.study_id, name, "", 65536)
    driver.worker.close()
    time.sleep(1.0)
    other = successor(driver, new_worker)
    other.ended(name)
    lines, _ = other.read(name, output.cursor)
    assert [line.text for line in [*output.lines, *lines]] == [f"x={i}" for i in range(1, 9)]


@pytest.mark.long
def test_a_log_that_was_rotated_away_meanwhile_is_said_to_be_truncated(api, node, driver, new_worker):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo x=$i; sleep 0.2; done; sleep 600")
    driver.printed(name, "x=2")
    output = driver.worker.output(driver.study_id, name, "", 65536)
    driver.worker.close()
    log = node.log(api.get(name)["metadata"]["uid"])
    until("it never printed", lambda: len(log.lines) == 8)
    log.rotate(6)
    other = successor(driver, new_worker)
    truncated = []

    def take() -> bool:
        more = other.worker.output(driver.study_id, name, output.cursor, 65536)
        truncated.append(more.truncated)
        return [line.text for line in more.lines] == ["x=7", "x=8"]

    other.until("the rest never came", take)
    assert any(truncated)


@pytest.mark.long
def test_what_was_printed_after_a_rotation_that_following_missed_is_read_at_the_end(node, driver):
    """A kubelet ends a stream at the end of an older file if the container has ended before it got there."""
    node.rotates_after = 300
    name = driver.start("sh", "-c", f"yes {'x' * 1000} | head -n 400; echo acc=0.75")
    driver.ended(name)
    texts = driver.texts(name)
    assert len(texts) == 401
    assert texts[-1] == "acc=0.75"


@pytest.mark.long
def test_a_stream_that_is_cut_is_taken_up_where_it_was(api, driver):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6; do echo x=$i; sleep 0.2; done")
    driver.printed(name, "x=1")
    driver.worker._runs.get(name).log.stream.shut()
    driver.ended(name)
    assert driver.texts(name) == [f"x={i}" for i in range(1, 7)]


@pytest.mark.long
def test_more_output_than_is_held_is_given_whole_and_in_bounded_memory(driver):
    name = driver.start("sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo value=$i; i=$((i+1)); done")
    driver.ended(name)
    log = driver.worker._runs.get(name).log
    most, texts, cursor = 0, [], ""
    while True:
        most = max(most, log.held)
        output = driver.worker.output(driver.study_id, name, cursor, 20000)
        texts += [line.text for line in output.lines]
        cursor = output.cursor
        if output.end:
            break
    assert texts == [f"value={i}" for i in range(20000)]
    assert most < 1_500_000


@pytest.mark.slow
def test_when_there_are_more_runs_than_streams_each_has_its_turn(node, new_worker, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.outputs._REST_S", 0.5)
    driver = Driver(new_worker(streams=2), SPEC, DEADLINE_S)
    names = [driver.start("sh", "-c", "echo one; sleep 1; echo two; sleep 600") for _ in range(6)]
    for name in names:
        driver.printed(name, "one")
    for name in names:
        driver.printed(name, "two")


@pytest.mark.long
def test_a_log_that_the_node_does_not_give_is_waited_for_and_then_lost(api, node, new_worker):
    worker = new_worker()
    worker._outputs._patience_s = 1.0
    driver = Driver(worker, SPEC, DEADLINE_S)
    api.faults.append(
        lambda r: refusal(500, "dial tcp 10.0.0.1:10250: connect: connection refused") if r.part == "log" else None
    )
    name = driver.start("sh", "-c", "echo lost")
    driver.until("it does not say why", lambda: "connection refused" in driver.status(name).message)
    assert driver.status(name).phase is RunPhase.RUNNING
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    output = driver.worker.output(driver.study_id, name, "", 1000)
    assert (list(output.lines), output.end, output.truncated) == ([], True, True)


def test_a_log_whose_container_the_node_has_removed_is_lost(api, driver, new_worker):
    name = driver.start("sh", "-c", "echo gone")
    driver.ended(name)
    driver.worker.close()

    def remark(request):
        if request.part != "log":
            return None
        from tests.worker.kubernetes.apiserver import Answer

        said = b"unable to retrieve container logs for containerd://0123"
        return Answer(raw=lambda h: (h.begin("text/plain"), h.chunk(said), h.end()))

    api.faults.append(remark)
    other = successor(driver, new_worker)
    output = other.worker.output(driver.study_id, name, "", 1000)
    assert (list(output.lines), output.end, output.truncated) == ([], True, True)


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


def test_a_creation_that_met_another_one_is_tried_again_at_once(api, driver):
    met = []

    def conflict(request):
        if request.method != "POST" or len(met) == 2:
            return None
        met.append(request)
        return refusal(409, 'Operation cannot be fulfilled on resourcequotas "q"', "Conflict")

    api.faults.append(conflict)
    name = driver.start("sh", "-c", "echo done")
    assert len(met) == 2
    assert driver.texts(name) == ["done"]
