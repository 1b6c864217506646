"""What can happen to the manager and to the cluster in the middle of a study: no trial is lost, no Pod made twice, and while it
lasts the study says what it is."""

import json
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest

from katib.domain.pod import PodSettings
from katib.domain.study import StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from tests.cluster.audit import requests
from tests.cluster.cluster import Cluster
from tests.cluster.outside import SLEEP, STEPS, STUDY_S, Katib, assigned, values
from tests.e2e.harness import until
from tests.faults.campaign import new_seed

LIMITS = {"max_trials": 8, "max_parallel": 4}


# Between a trial's record and the request for its Pod, on a machine that does much else.
AT_ONCE = timedelta(seconds=2)


def whole(katib: Katib, study_id: str, count: int = 8, killed_at: datetime | None = None) -> None:
    """Each trial was run once, and each of its lines is there once. `killed_at`: when the API server was."""
    state, found = katib.end(study_id)
    assert state is StudyState.COMPLETED
    assert [trial.state for trial in found] == [TrialState.COMPLETED] * count
    assert all(trial.attempt == 1 for trial in found)
    assert values(found) == pytest.approx(assigned(found))
    with katib.world.client() as client:
        for trial in found:
            seen = [observation.value for observation in client.get_trial(trial.id).observations]
            assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, trial.objective])
    made_once(katib, found, killed_at)


def made_once(katib: Katib, found: list[Trial], killed_at: datetime | None) -> None:
    if not isinstance(katib.cluster, Cluster):
        return
    creations = [one for one in requests(katib.cluster.audit, katib.user) if one.verb == "create"]
    made = Counter(one.name for one in creations if one.code == HTTPStatus.CREATED)
    if killed_at is not None:
        # What was made at that very moment has not been written down any more. The manager knows of it by the answer, or asks
        # again and is told that it is there.
        made |= Counter({one.name for one in creations if one.code == HTTPStatus.CONFLICT})
        made |= Counter(t.run for t in found if abs(t.created_at - killed_at) < AT_ONCE)
    assert made == Counter(trial.run for trial in found)


# The manager


def test_a_manager_that_is_killed_at_random_instants_costs_nothing(katib: Katib) -> None:
    seed = new_seed()
    print(f"seed {seed}")
    rng = random.Random(seed)
    study_id = katib.create(script=STEPS, limits={"max_trials": 20, "max_parallel": 4})
    kills = 0
    while True:
        assert katib.manager is not None
        with katib.world.client() as client:
            if client.get_study(study_id).summary.completed >= 16:
                break
        time.sleep(rng.uniform(0.0, 1.5))
        katib.manager.kill()
        kills += 1
        katib.start()
    print(f"{kills} kills")
    assert kills >= 3
    whole(katib, study_id, 20)


# The API server and etcd


def test_an_api_server_that_is_away_is_the_study_s_reason_and_costs_nothing(katib: Katib, own_cluster: Cluster) -> None:
    study_id = katib.create(script=STEPS, limits=LIMITS)
    katib.completed(study_id, 2)
    killed_at = datetime.now(UTC)
    own_cluster.kill_apiserver()
    try:
        with katib.world.client() as client:

            def said() -> bool:
                summary = client.get_study(study_id).summary
                return summary.reason == StudyReason.WORKER_UNAVAILABLE and "refused" in summary.message

            until(said, STUDY_S)
    finally:
        own_cluster.start_apiserver()
    whole(katib, study_id, killed_at=killed_at)


def test_a_watch_that_is_cut_and_a_history_that_is_forgotten_cost_nothing(katib: Katib, own_cluster: Cluster) -> None:
    """Cut for longer than it takes to notice, while Pods end; and what it would go on from is compacted meanwhile."""
    study_id = katib.create(script=STEPS, limits=LIMITS)
    katib.completed(study_id, 2)
    with own_cluster.cut_off():
        time.sleep(4)
        own_cluster.compact()
    katib.completed(study_id, 5)
    with own_cluster.cut_off():
        pass
    whole(katib, study_id)


def test_a_slow_etcd_costs_time_alone(katib: Katib, own_cluster: Cluster) -> None:
    with own_cluster.slow_etcd(pause=0.3, work=0.1):
        study_id = katib.create(script=STEPS, limits=LIMITS)
        katib.completed(study_id, 4)
    whole(katib, study_id)


def test_an_api_server_that_disappears_without_a_word_is_noticed_and_found_again(
    katib: Katib, own_cluster: Cluster
) -> None:
    study_id = katib.create(script="echo acc=0.5; sleep 20", limits={"max_trials": 2, "max_parallel": 2})
    katib.reports(study_id)
    with katib.world.client() as client, own_cluster.cut_off(silently=True):
        begin = time.monotonic()
        until(lambda: client.get_study(study_id).summary.reason == StudyReason.WORKER_UNAVAILABLE, STUDY_S)
        # Some 25 s by keep-alive, then the time for which what is known is believed.
        assert time.monotonic() - begin < 90
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5, 0.5])


# Nodes


def test_a_kubelet_that_is_restarted_while_a_trial_prints_costs_no_line(katib: Katib, own_cluster: Cluster) -> None:
    script = "i=1; while [ $i -le 40 ]; do echo acc=$i; i=$((i+1)); sleep 0.25; done"
    study_id = katib.create(script=script, limits={"max_trials": 3, "max_parallel": 3})
    until(lambda: (katib.trial(study_id).objective or 0) >= 5, STUDY_S)
    kubelet = own_cluster.nodes[0].kubelet
    kubelet.kill()
    kubelet.start()
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [40.0] * 3)
    with katib.world.client() as client:
        for trial in found:
            assert [o.value for o in client.get_trial(trial.id).observations] == [float(i) for i in range(1, 41)]


def test_a_trial_whose_node_does_not_answer_is_given_up_in_the_end(katib: Katib, own_cluster: Cluster) -> None:
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "trial"}]}}
    pod = PodSettings(template=json.dumps(template))
    study_id = katib.create("wait_gone=5s", script=f"echo acc=0.5; {SLEEP}", pod=pod, limits={"max_trials": 1})
    katib.reports(study_id)
    with own_cluster.nodes[0].kubelet.paused():
        katib.stop(study_id)
        until(lambda: katib.trial(study_id).reason in (TrialReason.STOPPING, TrialReason.STOPPED_BY_USER), STUDY_S)
        state, found = katib.end(study_id)
    assert (state, found[0].state, found[0].reason) == (
        StudyState.STOPPED,
        TrialState.KILLED,
        TrialReason.STOPPED_BY_USER,
    )


def test_a_trial_whose_node_is_lost_is_tried_again_on_another(katib: Katib, own_cluster: Cluster) -> None:
    """First the study says that the node does not answer; then an operator says that it is out of service for good."""
    script = f'[ "$KATIB_ATTEMPT" = 2 ] || {{ echo acc=0.1; {SLEEP}; }}; echo acc=1'
    label = f"{katib.namespace}/takes"
    nodes = own_cluster.kubectl
    with own_cluster.second_node() as second:
        nodes("label", "node", second.name, f"{label}=trials")
        pod = PodSettings(node_selector={label: "trials"})
        study_id = katib.create(script=script, pod=pod, limits={"max_trials": 1, "max_failed_trials": 1})
        katib.reports(study_id)
        second.lose_power()
        assert second.name in katib.reason(study_id, "NodeNotReady").message
        first = own_cluster.nodes[0].name
        nodes("label", "node", first, f"{label}=trials")
        nodes("taint", "node", second.name, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
        try:
            state, (trial,) = katib.end(study_id)
        finally:
            nodes("label", "node", first, f"{label}-")
    assert (state, trial.attempt, trial.objective) == (StudyState.COMPLETED, 2, 1.0)
    with katib.world.client() as client:
        (lost,) = client.get_trial(trial.id).earlier
    assert lost.reason == TrialReason.NODE_LOST
