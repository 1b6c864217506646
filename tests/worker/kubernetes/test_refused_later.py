"""What becomes of trials when the cluster's rules refuse Pods of a study of which they took others."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.pod import PodSettings
from katib.worker.base import RunPhase
from katib.worker.kubernetes.policy import Policy, Waits
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC, created, successor, until
from tests.worker.kubernetes.messages import refusal

LEVEL = 'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
HOOK = 'admission webhook "policy.example" denied the request: pod {name} has no team label'
RULE = 'Pod "{name}" is invalid: : ValidatingAdmissionPolicy "teams" with binding "all" denied request: no team label'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.refusals.FIRST_S", 0.2)


def forbid(api, said: str, status: int = 403) -> None:
    """From now on every Pod, a tombstone too."""

    def fault(request):
        if request.verb != "create":
            return None
        return refusal(status, said.format(name=request.body["metadata"]["name"]), "Forbidden")

    api.faults.append(fault)


def refused(driver, run) -> str:
    with pytest.raises(UnavailableError) as caught:
        driver.worker.create(run)
    return caught.value.message


@pytest.mark.parametrize(("said", "status"), [(LEVEL, 403), (HOOK, 403), (HOOK, 400), (RULE, 422)])
def test_a_study_whose_pods_were_taken_waits_and_says_one_thing_for_all_its_trials(api, driver, said, status):
    driver.ended(driver.start("true"))
    forbid(api, said, status)
    runs = [driver.run("sh", "-c", "echo done") for _ in range(3)]
    (message,) = {refused(driver, run) for run in runs}
    assert message.startswith(
        "the cluster's rules do not admit Pods of the study any more, which each trial tries again for 1d: "
    )
    assert message.endswith("; have what was changed taken back, or the study exempted, or stop the study")
    assert len(driver.statuses()) == 1
    api.faults.clear()
    for run in runs:
        until("it is never tried again", lambda run=run: created(driver, run))
        assert driver.texts(run.name) == ["done"]


@pytest.mark.parametrize(("said", "status"), [(LEVEL, 403), (HOOK, 400), (RULE, 422)])
def test_a_study_whose_first_pod_is_refused_has_a_failed_run_at_once(api, driver, said, status):
    forbid(api, said, status)
    found = driver.status(driver.start("true"))
    assert (found.phase, found.reason) == (RunPhase.FAILED, "PodRefused")
    assert found.message.startswith("the cluster's rules do not admit its Pod: ")


def test_a_pod_that_is_refused_again_and_again_is_asked_for_ever_more_rarely(api, driver, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("katib.worker.kubernetes.refusals.time.monotonic", lambda: now[0])
    monkeypatch.setattr("katib.worker.kubernetes.refusals.FIRST_S", 1.0)
    driver.ended(driver.start("true"))
    forbid(api, LEVEL)
    run = driver.run("true")
    before = api.counts()["create", "pods"]
    for _ in range(600):
        refused(driver, run)
        now[0] += 1.0
    assert 20 <= api.counts()["create", "pods"] - before <= 40


def test_each_trial_waits_for_the_rules_as_long_as_the_option_says(api, node, new_worker, monkeypatch):
    """What is left of a study is not used up at once when the first has waited long enough."""
    now = [0.0]
    monkeypatch.setattr("katib.worker.kubernetes.refusals.time.monotonic", lambda: now[0])
    policy = Policy(waits=Waits(refused=timedelta(minutes=15)))
    driver = Driver(new_worker(policy, reflector_options=QUICK), SPEC, DEADLINE_S)
    driver.ended(driver.start("true"))
    forbid(api, LEVEL)
    first, second = driver.run("true"), driver.run("true")
    refused(driver, first)
    now[0] = 500.0
    refused(driver, first)
    refused(driver, second)
    now[0] = 900.0
    assert created(driver, first)
    assert driver.status(first.name).reason == "PodRefused"
    refused(driver, second)


@pytest.mark.long
@pytest.mark.parametrize("by_study", [False, True])
def test_the_wait_ends_with_a_failed_run_that_says_how_long_it_was(api, node, new_worker, by_study):
    waits = Waits() if by_study else Waits(refused=timedelta(seconds=1))
    pod = PodSettings(start_timeout=timedelta(seconds=1)) if by_study else SPEC.pod
    driver = Driver(new_worker(Policy(waits=waits), reflector_options=QUICK), replace(SPEC, pod=pod), DEADLINE_S)
    driver.ended(driver.start("true"))
    forbid(api, LEVEL)
    run = driver.run("true")
    refused(driver, run)
    until("it waits for ever", lambda: created(driver, run))
    found = driver.status(run.name)
    assert (found.phase, found.reason) == (RunPhase.FAILED, "PodRefused")
    assert found.message.startswith("the cluster's rules have not admitted its Pod for 1s, as they did before: ")


def test_a_pod_that_is_refused_while_others_of_its_study_are_taken_is_a_failed_run(api, driver, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.refusals._CHANGING_S", 0.0)
    driver.start("true")
    run = driver.run("true")
    answer = refusal(403, LEVEL.format(name=run.name), "Forbidden")
    api.faults.append(lambda r: answer if r.verb == "create" and r.body["metadata"]["name"] == run.name else None)
    refused(driver, run)
    driver.start("true")
    until("it waits for ever", lambda: created(driver, run))
    assert driver.status(run.name).reason == "PodRefused"


@pytest.mark.parametrize(("where", "waits"), [("resources", False), ("env", True)])
def test_pods_that_ask_for_what_their_parameters_say_are_not_like_one_another(api, driver, where, waits):
    container = {"name": "trial", "image": "image"}
    if where == "resources":
        container["resources"] = {"requests": {"cpu": "${trialParameters.x}"}}
    else:
        container["env"] = [{"name": "X", "value": "${trialParameters.x}"}]
    template = json.dumps({"spec": {"containers": [container]}})
    driver.study = replace(SPEC, pod=PodSettings(template=template))
    driver.worker.create(driver.run("true", arguments=["x=1"]))
    forbid(api, LEVEL)
    run = driver.run("true", arguments=["x=2"])
    assert created(driver, run) is not waits
    assert run.name not in driver.statuses() or driver.status(run.name).reason == "PodRefused"


def test_a_manager_that_is_restarted_knows_of_pods_that_it_sees_and_of_trials_that_have_completed(
    api, driver, new_worker
):
    driver.start("sleep", "600")
    forbid(api, LEVEL)
    other = successor(driver, new_worker)
    other.statuses()
    refused(other, other.run("true"))
    another = Driver(other.worker, SPEC, DEADLINE_S)
    refused(another, replace(another.run("true"), ran_before=True))
    assert another.status(another.start("true")).reason == "PodRefused"


def test_a_trial_that_waits_for_the_rules_can_be_stopped(api, driver):
    driver.ended(driver.start("true"))
    forbid(api, LEVEL)
    run = driver.run("true")
    refused(driver, run)
    driver.worker.stop(driver.study_id, run.name)
    assert driver.ended(run.name).phase is RunPhase.FAILED
