"""Whole studies in a real cluster: a real manager, a real suggestion service, Pods. The manager has the rights that `deploy/`
gives it, and no other (see conftest.py)."""

import re
from datetime import timedelta

import pytest

from katib.domain.pod import PodSettings
from katib.domain.study import StudyState
from katib.domain.trial import TrialReason, TrialState
from katib.worker.kubernetes.podapi import VERBS
from tests.cluster.audit import requests
from tests.cluster.cluster import Cluster
from tests.cluster.outside import SLEEP, STEPS, STUDY_S, Katib, assigned, values
from tests.cluster.processes import ClusterError, wait_until
from tests.e2e.harness import until


def test_a_study_becomes_its_trials_each_with_its_metric_from_its_pod(katib: Katib) -> None:
    state, found = katib.run(script=STEPS, limits={"max_trials": 8, "max_parallel": 4})
    assert state is StudyState.COMPLETED
    assert [trial.state for trial in found] == [TrialState.COMPLETED] * 8
    assert values(found) == pytest.approx(assigned(found))
    assert all(trial.attempt == 1 for trial in found)


def test_metrics_are_there_while_a_trial_runs(katib: Katib) -> None:
    study_id = katib.create(script=f"echo acc=0.25; {SLEEP}", limits={"max_trials": 1})
    assert katib.reports(study_id).objective == 0.25
    katib.stop(study_id)
    state, found = katib.end(study_id)
    assert (state, found[0].state, found[0].reason) == (
        StudyState.STOPPED,
        TrialState.KILLED,
        TrialReason.STOPPED_BY_USER,
    )


def test_a_finished_study_leaves_no_pods(katib: Katib) -> None:
    katib.start("keep=none", lease=1)
    katib.world.suggestion("random")
    katib.run(limits={"max_trials": 3, "max_parallel": 3})
    until(lambda: not katib.pods(), STUDY_S, poll=0.5)


def test_a_pod_carries_what_queues_and_schedulers_read(katib: Katib) -> None:
    """Kueue's queue and its gate, which holds a Pod until it is admitted; the annotation of Volcano; another scheduler."""
    gate = '{"name": "kueue.x-k8s.io/admission"}'
    template = f'{{"spec": {{"schedulingGates": [{gate}], "containers": [{{"name": "trial"}}]}}}}'
    pod = PodSettings(
        labels={"kueue.x-k8s.io/queue-name": "research"},
        annotations={"scheduling.k8s.io/group-name": "mine"},
        template=template,
    )
    study_id = katib.create(pod=pod, limits={"max_trials": 1}, scheduler=katib.cluster.scheduler_name)
    assert "kueue.x-k8s.io/admission" in katib.reason(study_id, "SchedulingGated").message
    (found,) = katib.pods()
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert found["metadata"]["annotations"]["scheduling.k8s.io/group-name"] == "mine"
    assert found["spec"]["schedulerName"] == katib.cluster.scheduler_name
    name = found["metadata"]["name"]
    katib.kubectl("patch", "pod", name, "--type=merge", "-p", '{"spec": {"schedulingGates": null}}')
    state, trials = katib.end(study_id)
    assert (state, values(trials)) == (StudyState.COMPLETED, [0.5])


# Who may do what


def test_a_manager_without_rights_says_what_to_grant_and_goes_on_when_it_has_them(stranger: Katib) -> None:
    study_id = stranger.create(limits={"max_trials": 1}, script="echo acc=0.5; sleep 1")
    with stranger.world.client() as client:
        said = until(
            lambda: re.search("grant the verb list on pods", client.get_study(study_id).summary.message), STUDY_S
        )
    assert said
    stranger.grant()
    state, found = stranger.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5])


def test_every_verb_that_deploy_grants_is_used_and_no_other(katib: Katib, own_cluster: Cluster) -> None:
    """By what the API server has written down: of a study that is run, one that is stopped while one of its Pods runs and one
    waits, and of the log of a Pod that is gone when nobody remembers it."""
    katib.world.suggestion("random")
    katib.start("keep=none", lease=1)
    brief = katib.create(name="brief", limits={"max_trials": 1})
    _, (ended,) = katib.end(brief)
    running = katib.create(name="running", script=f"echo acc=1; {SLEEP}", limits={"max_trials": 1})
    waiting = katib.create(name="waiting", pod=PodSettings(requests={"cpu": "1000"}), limits={"max_trials": 1})
    katib.reports(running)
    katib.reason(waiting, "Unschedulable")
    for study_id in (running, waiting):
        katib.stop(study_id)
        assert katib.end(study_id)[0] is StudyState.STOPPED
    until(lambda: not katib.pods(), STUDY_S, poll=0.5)
    assert katib.manager is not None
    katib.manager.end()
    katib.start("keep=none", lease=1)
    with katib.world.client() as client:
        assert client.trial_log(ended.id).data == b""
    granted = {(resource, verb) for resource, verbs in VERBS.items() for verb in verbs}

    def used() -> bool:
        unused = granted - {(one.resource, one.verb) for one in requests(own_cluster.audit, katib.user)}
        if unused:
            raise ClusterError(f"granted and not used: {sorted(unused)}")
        return True

    wait_until("the use of every verb", used, timeout=30, every=1)
    assert {(one.resource, one.verb) for one in requests(own_cluster.audit, katib.user)} == granted
    for resource, verbs in VERBS.items():
        may = [v for v in (*verbs, "update", "deletecollection") if _may(katib, v, resource)]
        assert may == list(verbs)
    assert not _may(katib, "get", "secrets")


def _may(katib: Katib, verb: str, resource: str) -> bool:
    name, _, part = resource.partition("/")
    part = f"--subresource={part}" if part else "--quiet"
    try:
        katib.kubectl("auth", "can-i", verb, name, part, f"--as={katib.user}", "--quiet")
    except ClusterError:
        return False
    return True


# A trial's time


def test_a_trial_that_runs_too_long_is_ended_and_said_to_be_so(katib: Katib) -> None:
    limits = {"max_trials": 1, "max_failed_trials": 1, "trial_timeout": timedelta(seconds=3)}
    _, found = katib.run(script=f"echo acc=1; {SLEEP}", limits=limits)
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, TrialReason.DEADLINE_EXCEEDED)
    assert "trial_timeout of 3 s" in found[0].message


def test_a_trial_that_runs_too_long_ends_without_a_manager(katib: Katib) -> None:
    """By the deadline that its Pod has, which in this test somebody brings forward: it lies ten minutes behind the trial's."""
    limits = {"max_trials": 1, "max_failed_trials": 1, "trial_timeout": timedelta(minutes=5)}
    study_id = katib.create(script=f"echo acc=1; {SLEEP}", limits=limits)
    katib.reports(study_id)
    assert katib.manager is not None
    katib.manager.kill()
    name = katib.pod(study_id, "Running")
    deadline = '{"spec": {"activeDeadlineSeconds": 1}}'
    assert katib.pods()[0]["spec"]["activeDeadlineSeconds"] > 15 * 60
    katib.kubectl("patch", "pod", name, "--type=merge", "-p", deadline)
    katib.cluster.wait_for_phase(name, katib.namespace, "Failed")
    katib.start()
    _, found = katib.end(study_id)
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, TrialReason.DEADLINE_EXCEEDED)
