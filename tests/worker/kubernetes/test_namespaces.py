"""What becomes of studies when one of several namespaces is out of sight."""

import time
from dataclasses import replace

import pytest

from katib.domain.errors import UnavailableError
from katib.worker.base import RunPhase
from katib.worker.kubernetes.policy import Policy
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC, successor, until
from tests.worker.kubernetes.messages import refusal

POLICY = Policy(namespaces=("other",))
SAID = 'pods is forbidden: User "manager" cannot list resource "pods" in API group "" in the namespace "other"'


def hide(api, verbs=("list", "watch", "get", "create"), answer=None) -> None:
    """As if the namespace `other` was deleted, and the permission in it with it."""
    answer = answer or refusal(403, SAID, "Forbidden")
    api.faults.append(lambda r: answer if r.namespace == "other" and r.verb in verbs else None)
    with api.changed:
        api.version += 1
        api.forget_events()


def hidden(worker) -> bool:
    return worker._sight.reflectors[1].stale


def in_other(driver, *command: str) -> str:
    study = replace(driver.study, pod=replace(driver.study.pod, namespace="other"))
    run = driver.run(*command, study=study)
    driver.worker.create(run)
    return run.name


@pytest.fixture
def worker(node, new_worker):
    return new_worker(POLICY, fence_s=0.5, reflector_options=QUICK)


@pytest.fixture
def driver(worker):
    return Driver(worker, SPEC, DEADLINE_S)


@pytest.mark.long
def test_a_namespace_that_is_gone_holds_up_only_the_studies_that_are_there(api, worker, driver):
    there = Driver(worker, SPEC, DEADLINE_S)
    in_other(there, "sleep", "600")
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    hide(api)
    until("it is still in sight", lambda: hidden(worker))
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).reason == "Stopped"
    worker.delete_study(driver.study_id)
    with pytest.raises(UnavailableError, match=r"namespace other.*if the namespace is gone for good, name it"):
        there.statuses()
    with pytest.raises(UnavailableError):
        worker.delete_study(there.study_id)


@pytest.mark.long
def test_a_study_without_pods_begins_and_goes_though_one_of_the_namespaces_is_gone(api, node, new_worker):
    hide(api)
    driver = Driver(new_worker(POLICY, reflector_options=QUICK), SPEC, DEADLINE_S)
    begin = time.monotonic()
    assert driver.statuses() == {}
    assert time.monotonic() - begin < 3
    assert driver.ended(driver.start("true")).phase is RunPhase.SUCCEEDED
    driver.worker.delete_study(Driver(driver.worker, SPEC, DEADLINE_S).study_id)


@pytest.mark.long
def test_a_run_that_was_missed_in_a_namespace_out_of_sight_is_not_ended_for_that(api, node, driver, new_worker):
    name = in_other(driver, "sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    hide(api, verbs=("list", "watch"))
    other = successor(driver, new_worker, policy=POLICY)
    assert other.statuses() == {}
    api.faults.clear()
    until("it does not come into sight", lambda: other.worker._runs.get(name) is not None)
    with pytest.raises(UnavailableError, match="namespace other"):
        other.worker.stop(other.study_id, name)
    assert other.status(name).phase is RunPhase.RUNNING
    other.worker.stop(other.study_id, name)
    assert other.ended(name).reason == "Stopped"


@pytest.mark.long
def test_a_namespace_that_is_out_of_sight_for_another_reason_is_waited_for(api, node, driver, new_worker, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.sight._SYNC_S", 0.5)
    name = in_other(driver, "sleep", "600")
    hide(api, answer=refusal(500, "etcdserver: request timed out", "InternalError"))
    other = Driver(new_worker(POLICY, reflector_options=QUICK), SPEC, DEADLINE_S)
    other.study_id = driver.study_id
    with pytest.raises(UnavailableError, match="not known yet"):
        other.statuses()
    api.faults.clear()
    until("it never comes into sight", lambda: other.worker._runs.get(name) is not None)
    assert name in other.statuses()


@pytest.mark.long
def test_studies_are_woken_for_the_second_namespace_that_is_lost_too(api, worker, driver):
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    hide(api)
    until("it is not told", lambda: "other" in worker._sight._stale)
    time.sleep(1.0)
    driver.woken.clear()
    api.stop()
    assert driver.woken.wait(DEADLINE_S)
    api.restart()


@pytest.mark.long
def test_a_run_whose_namespace_is_no_longer_among_the_options_says_where_it_was_looked_for(node, driver, new_worker):
    name = driver.start("sleep", "600")
    moved = Driver(new_worker(Policy(namespace="elsewhere"), reflector_options=QUICK), SPEC, DEADLINE_S)
    moved.worker.stop(driver.study_id, name)
    (status,) = moved.worker.list(driver.study_id)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodDeleted")
    assert status.message == (
        "there is no Pod of it in elsewhere: it never started, somebody deleted it, or its namespace is no longer among the "
        "manager's options"
    )


@pytest.mark.long
def test_a_namespace_that_trials_are_to_leave_and_another_change_places_while_they_run(api, node, new_worker):
    before = Driver(new_worker(POLICY, reflector_options=QUICK), SPEC, DEADLINE_S)
    name = before.start("sh", "-c", "echo here; sleep 600")
    before.printed(name, "here")
    policy = Policy(namespace="other", namespaces=("default",))
    after = successor(before, new_worker, policy=policy)
    after.printed(name, "here")
    after.worker.create(after.run("true"))
    assert {pod["metadata"]["namespace"] for pod in api.pods.values()} == {"default", "other"}
    after.worker.stop(after.study_id, name)
    assert after.ended(name).reason == "Stopped"


@pytest.mark.long
def test_what_runs_where_trials_are_to_leave_is_not_missed_by_a_manager_that_sees_the_new_namespace_first(
    api, node, new_worker, monkeypatch
):
    monkeypatch.setattr("katib.worker.kubernetes.sight._SYNC_S", 0.5)
    before = Driver(new_worker(reflector_options=QUICK), SPEC, DEADLINE_S)
    old = before.start("sleep", "600")
    policy = Policy(namespace="other", namespaces=("default",))
    new = successor(before, new_worker, policy=policy).start("sleep", "600")
    answer = refusal(500, "etcdserver: request timed out", "InternalError")
    api.faults.append(lambda r: answer if r.namespace == "default" and r.verb == "list" else None)
    restarted = successor(before, new_worker, policy=policy)
    until("the new namespace is not seen", lambda: restarted.worker._runs.get(new) is not None)
    with pytest.raises(UnavailableError, match="the Pods of namespace default are not known yet"):
        restarted.statuses()
    api.faults.clear()
    until("the other is not seen", lambda: restarted.worker._runs.get(old) is not None)
    assert restarted.statuses().keys() == {old, new}


def moved(driver, new_worker, policy: Policy = Policy(namespace="elsewhere")) -> Driver:  # noqa: B008 - it does not change
    """Another worker, whose options name another namespace, and which was told what was stored of the study."""
    places = driver.worker.places(driver.study_id, driver.study)
    other = successor(driver, new_worker, policy=policy)
    other.worker.look_in(driver.study_id, places)
    return other


def running(driver) -> str:
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    return name


@pytest.mark.long
def test_what_runs_where_no_option_leads_any_more_ends_there_and_what_is_new_begins_elsewhere(
    api, node, driver, new_worker
):
    old = running(driver)
    after = moved(driver, new_worker, Policy(namespace="elsewhere", keep="none"))
    assert after.statuses().keys() == {old}
    after.printed(old, "here")
    assert after.worker.places(after.study_id, after.study) == ("elsewhere", "default")
    after.worker.look_in(after.study_id, ("elsewhere", "default"))
    new = after.start("sleep", "600")
    assert {p["metadata"]["name"]: p["metadata"]["namespace"] for p in api.pods.values()} == {
        old: "default",
        new: "elsewhere",
    }
    after.worker.stop(after.study_id, old)
    assert after.ended(old).reason == "Stopped"
    after.texts(old)
    after.worker.delete(after.study_id, old)
    until("its Pod stays", lambda: api.get(old) is None)
    until("it counts", lambda: after.worker.places(after.study_id, after.study) == ("elsewhere",))


@pytest.mark.long
def test_a_run_that_was_begun_before_the_namespace_was_another_and_never_stored_is_found(api, node, driver, new_worker):
    run = driver.run("sleep", "600")
    driver.worker.create(run)
    after = moved(driver, new_worker)
    assert after.statuses().keys() == {run.name}
    after.worker.create(run)
    assert len(api.pods) == 1


@pytest.mark.long
def test_where_a_study_runs_is_known_of_one_of_which_nothing_was_stored(api, node, new_worker):
    driver = Driver(new_worker(POLICY, reflector_options=QUICK), SPEC, DEADLINE_S)
    in_other(driver, "sleep", "600")
    assert driver.worker.places(driver.study_id, driver.study) == ("default", "other")


@pytest.fixture
def shut_out(api, driver, new_worker):
    """What runs in a namespace that the options do not name and that the manager may not look at any more, and a worker that
    was told of it."""
    name = running(driver)
    said = SAID.replace("other", "default")

    def fault(request):
        denied = refusal(403, said.replace("list", request.verb), "Forbidden")
        return denied if request.namespace == "default" else None

    api.faults.append(fault)
    return name, moved(driver, new_worker)


REMEDY = (
    "the Pods of namespace default are not known yet: the manager may not list pods in namespace default: grant the verb list "
    r"on pods .*; if the namespace is gone for good, name it in the worker's option gone_namespaces and in no other"
)


@pytest.mark.long
def test_what_runs_where_the_manager_may_not_look_any_more_is_not_given_up_and_the_study_says_what_to_do(
    api, node, driver, shut_out
):
    name, after = shut_out
    assert after.worker.places(after.study_id, after.study) == ("elsewhere", "default")
    after.worker.look_in(after.study_id, ("elsewhere", "default"))
    assert after.statuses() == {}
    for ask in (
        lambda: after.worker.output(after.study_id, name, "", 0),
        lambda: after.worker.stop(after.study_id, name),
        lambda: after.start("true"),
    ):
        with pytest.raises(UnavailableError, match=REMEDY):
            ask()
    assert len(api.pods) == 1
    api.faults.clear()
    until("it is not seen", lambda: name in after.statuses())
    after.printed(name, "here")


@pytest.mark.long
def test_what_is_in_sight_is_stopped_while_another_namespace_is_not(api, node, driver, new_worker):
    running(driver)
    after = moved(driver, new_worker)
    after.worker.look_in(after.study_id, ("elsewhere", "default"))
    new = running(after)
    denied = refusal(403, SAID.replace("other", "default"), "Forbidden")
    api.faults.append(lambda r: denied if r.namespace == "default" else None)
    last = successor(after, new_worker, policy=Policy(namespace="elsewhere"))
    last.worker.look_in(after.study_id, ("elsewhere", "default"))
    assert last.statuses().keys() == {new}
    last.worker.stop(after.study_id, new)
    assert last.ended(new).reason == "Stopped"


@pytest.mark.long
def test_a_namespace_that_is_gone_for_good_holds_up_nobody_once_the_options_say_so(
    api, node, driver, shut_out, new_worker
):
    name, _ = shut_out
    after = moved(driver, new_worker, Policy(namespace="elsewhere", gone_namespaces=("default",)))
    assert after.statuses() == {}
    after.worker.stop(after.study_id, name)
    status = after.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodDeleted")
    assert status.message.startswith("there is no Pod of it in elsewhere")
    assert after.ended(after.start("true")).phase is RunPhase.SUCCEEDED
    assert after.worker.places(after.study_id, after.study) == ("elsewhere",)


@pytest.mark.long
def test_a_study_without_anything_unfinished_goes_though_it_once_ran_out_of_sight(api, node, shut_out):
    _, after = shut_out
    after.worker.look_in(after.study_id, ())
    after.worker.delete_study(after.study_id)


@pytest.mark.long
def test_a_namespace_where_nothing_of_a_study_goes_on_any_more_does_not_hold_it_up_when_it_is_lost(
    api, node, driver, new_worker
):
    old = driver.start("true")
    driver.ended(old)
    after = moved(driver, new_worker)
    after.worker.look_in(after.study_id, ("elsewhere", "default"))
    assert after.statuses().keys() == {old}
    denied = refusal(403, SAID.replace("other", "default"), "Forbidden")
    api.faults.append(lambda r: denied if r.namespace == "default" else None)
    with api.changed:
        api.version += 1
        api.forget_events()
    until("it is still in sight", lambda: after.worker._sight.reflectors[1].stale)
    assert after.ended(after.start("true")).phase is RunPhase.SUCCEEDED


@pytest.mark.long
def test_a_run_where_the_manager_may_not_look_any_more_says_so_until_it_may_again(api, node, driver, new_worker):
    old = running(driver)
    after = moved(driver, new_worker)
    after.worker.look_in(after.study_id, ("elsewhere", "default"))
    new = running(after)
    assert after.status(old).unseen == ""
    denied = refusal(403, SAID.replace("other", "default"), "Forbidden")
    api.faults.append(lambda r: denied if r.namespace == "default" else None)
    with api.changed:
        api.version += 1
        api.forget_events()
    after.woken.clear()
    assert after.woken.wait(DEADLINE_S)
    until("it is not told", lambda: after.status(old).unseen)
    status = after.status(old)
    assert status.phase is RunPhase.RUNNING
    assert status.unseen.startswith("nothing has been heard of the Pods of namespace default since ")
    assert "the manager may not list pods in namespace default: grant the verb list on pods" in status.unseen
    assert after.status(new).unseen == ""
    after.woken.clear()
    api.faults.clear()
    assert after.woken.wait(DEADLINE_S)
    assert after.status(old).unseen == ""


def late_create(api, driver, new_worker, name: str, namespace: str) -> None:
    """By a manager whose options name that namespace, and which was frozen as it was about to create the run."""
    late = successor(driver, new_worker, policy=Policy(namespace=namespace))
    late.worker._runs.get = lambda _name: None
    late.worker.create(late.run("sleep", "600", trial_id=name.partition("-")[0]))
    late.worker.close()
    assert ("default", name) in api.pods or namespace == "default"


@pytest.mark.long
def test_an_attempt_that_is_begun_in_a_second_namespace_by_one_that_comes_late_is_ended_there(
    api, node, driver, new_worker, caplog
):
    driver.worker.look_in(driver.study_id, ("default", "elsewhere"))
    name = running(driver)
    driver.worker.list(driver.study_id)
    uid = api.pods["default", name]["metadata"]["uid"]
    late_create(api, driver, new_worker, name, "elsewhere")
    until("it goes on", lambda: ("elsewhere", name) not in api.pods)
    until("nobody is told", lambda: any("its creation came too late" in text for text in caplog.messages))
    assert api.pods["default", name]["metadata"]["uid"] == uid
    assert driver.status(name).phase is RunPhase.RUNNING
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).reason == "Stopped"


@pytest.mark.long
def test_a_second_pod_that_cannot_be_ended_keeps_no_other_from_its_end(api, node, driver, new_worker):
    driver.worker.look_in(driver.study_id, ("default", "elsewhere"))
    kept, other = running(driver), running(driver)
    denied = refusal(403, 'admission webhook "hold.example" denied the request: held', "Forbidden")
    api.faults.append(lambda r: denied if (r.verb, r.namespace, r.name) == ("delete", "elsewhere", kept) else None)
    for name in (kept, other):
        late_create(api, driver, new_worker, name, "elsewhere")
    until("it goes on", lambda: ("elsewhere", other) not in api.pods)
    assert ("elsewhere", kept) in api.pods


@pytest.mark.long
def test_a_pod_of_the_same_name_where_nothing_of_the_study_is_begun_is_left_alone(api, node, new_worker):
    """As where two work on copies of one database, and one of them sees all namespaces."""
    driver = Driver(new_worker(Policy(namespaces=("*",)), reflector_options=QUICK), SPEC, DEADLINE_S)
    driver.worker.look_in(driver.study_id, ("default",))
    name = running(driver)
    late_create(api, driver, new_worker, name, "elsewhere")
    time.sleep(1.5)
    assert ("elsewhere", name) in api.pods
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).reason == "Stopped"
    assert api.pods["elsewhere", name]["spec"].get("activeDeadlineSeconds") is None
