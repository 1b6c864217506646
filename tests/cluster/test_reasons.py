"""Everything that can be wrong with a Pod and can be made to happen happens, and its trial says what it is and what to do."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from katib.domain.names import run_name
from katib.domain.pod import PodSettings
from katib.domain.study import StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.outside import SLEEP, STUDY_S, Katib, values
from tests.e2e.harness import until, world

# The first attempt goes on until somebody ends it; the second does what it should.
SECOND = f'[ "$KATIB_ATTEMPT" = 2 ] || {{ echo begun; {SLEEP}; exit 8; }}; echo acc=1'

UNSCHEDULABLE_S = 5


def one(**fields: object) -> dict[str, object]:
    return {"limits": {"max_trials": 1, "max_failed_trials": 1}, **fields}


def failed(katib: Katib, **fields: object) -> Trial:
    """A study's only trial, which failed."""
    state, (trial,) = katib.run(**one(**fields))
    assert (state, trial.state) == (StudyState.FAILED, TrialState.ERROR)
    return trial


@pytest.fixture(scope="module")
def shared(cluster: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Katib]:
    """One manager for most of these tests, with less patience than usual."""
    with cluster.namespace() as namespace, world(tmp_path_factory.mktemp("katib")) as it:
        katib = Katib(it, cluster, namespace)
        with katib.granted():
            it.suggestion("random")
            # A test before these may have restarted the API server, and the scheduler is back later than these wait for it.
            cluster.run("scheduled", namespace, "true")
            cluster.wait_for_phase("scheduled", namespace, "Succeeded")
            katib.start("wait_image=10s", "wait_scheduler=5s", "secrets=late", "keep=all")
            yield katib


# It does not start


def test_an_image_that_cannot_be_pulled_is_said_and_given_up(shared: Katib) -> None:
    study_id = shared.create(**one(image="nowhere.invalid/none:1"))
    waiting = shared.reason(study_id, "ErrImagePull", "ImagePullBackOff")
    assert "nowhere.invalid" in waiting.message
    _, found = shared.end(study_id)
    assert (found[0].state, found[0].reason in ("ErrImagePull", "ImagePullBackOff")) == (TrialState.ERROR, True)


def test_a_name_that_no_image_can_have_is_given_up_at_once(shared: Katib) -> None:
    trial = failed(shared, image="Not/A/Name:1")
    assert trial.reason == "InvalidImageName"
    assert "Not/A/Name" in trial.message


def test_a_pod_that_fits_on_no_node_is_said_and_given_up(shared: Katib) -> None:
    pod = PodSettings(requests={"cpu": "10000"}, start_timeout=timedelta(seconds=5))
    study_id = shared.create(**one(pod=pod))
    assert "Insufficient cpu" in shared.reason(study_id, "Unschedulable").message
    _, found = shared.end(study_id)
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, "Unschedulable")
    assert "start_timeout" in found[0].message


def test_a_scheduler_that_is_not_there_is_named(shared: Katib) -> None:
    trial = failed(shared, scheduler="nobody")
    assert trial.reason == "NotScheduled"
    assert "nobody has not looked at it: is there a scheduler of that name?" in trial.message


def test_a_secret_that_is_not_there_is_named_and_may_still_come(shared: Katib) -> None:
    variable = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "late", "key": "key"}}}
    template = {"spec": {"containers": [{"name": "trial", "env": [variable]}]}}
    study_id = shared.create(**one(script="echo acc=$KEY", pod=PodSettings(template=json.dumps(template))))
    assert "late" in shared.reason(study_id, "CreateContainerConfigError").message
    shared.kubectl("create", "secret", "generic", "late", "--from-literal=key=0.75")
    state, found = shared.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.75])


def test_a_command_that_is_not_in_the_image_is_named(shared: Katib) -> None:
    trial = failed(shared, command=("no-such-program",))
    assert trial.reason == TrialReason.START_FAILED
    assert "no-such-program" in trial.message


def test_an_init_container_that_fails_is_named(shared: Katib) -> None:
    download = {"name": "download", "image": shared.cluster.busybox, "command": ["sh", "-c", "exit 4"]}
    template = {"spec": {"initContainers": [download], "containers": [{"name": "trial"}]}}
    trial = failed(shared, pod=PodSettings(template=json.dumps(template)))
    assert trial.reason == "InitContainerFailed"
    assert "download" in trial.message


def test_an_init_container_that_runs_is_named(shared: Katib) -> None:
    download = {"name": "download", "image": shared.cluster.busybox, "command": ["sleep", "5"]}
    template = {"spec": {"initContainers": [download], "containers": [{"name": "trial"}]}}
    study_id = shared.create(**one(pod=PodSettings(template=json.dumps(template))))
    assert "init container download runs" in shared.reason(study_id, "PodInitializing").message
    assert shared.end(study_id)[0] is StudyState.COMPLETED


def test_a_queue_does_not_eat_into_the_time_for_finding_a_node(katib: Katib) -> None:
    spec = {
        "schedulingGates": [{"name": "example.com/queue"}],
        "nodeSelector": {"pool": "none"},
        "containers": [{"name": "trial"}],
    }
    pod = PodSettings(template=json.dumps({"spec": spec}))
    study_id = katib.create(f"wait_unschedulable={UNSCHEDULABLE_S}s", **one(pod=pod))
    katib.reason(study_id, "SchedulingGated")
    time.sleep(UNSCHEDULABLE_S + 1)
    lifted = time.monotonic()
    name = katib.pod(study_id, "Pending")
    katib.kubectl("patch", "pod", name, "--type=json", "-p", '[{"op": "remove", "path": "/spec/schedulingGates"}]')
    katib.reason(study_id, "Unschedulable")
    assert katib.end(study_id)[1][0].reason == "Unschedulable"
    assert time.monotonic() - lifted > UNSCHEDULABLE_S


def test_a_quota_that_is_used_up_is_waited_for(katib: Katib) -> None:
    katib.kubectl("create", "quota", "few", "--hard=pods=0")
    study_id = katib.create(limits={"max_trials": 1})
    with katib.world.client() as client:
        until(lambda: "quota" in client.get_study(study_id).summary.message, STUDY_S)
    katib.kubectl("delete", "quota", "few")
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5])


def test_what_pod_security_refuses_fails_with_its_words(katib: Katib) -> None:
    katib.cluster.kubectl("label", "namespace", katib.namespace, "pod-security.kubernetes.io/enforce=restricted")
    trial = failed(katib)
    assert trial.reason == "PodRefused"
    assert "restricted" in trial.message


# It ends


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        ("echo out of ideas; exit 3", TrialReason.EXIT_CODE, ("3", "out of ideas")),
        ("sh -c 'kill -SEGV $$'; exit $?", TrialReason.SIGNAL, ("SIGSEGV",)),
        ("echo done", TrialReason.METRICS_UNAVAILABLE, ("acc=NUMBER", "done")),
    ],
)
def test_how_a_program_ended_is_said(shared: Katib, script: str, reason: str, words: tuple[str, ...]) -> None:
    trial = failed(shared, script=script)
    assert trial.reason == reason
    assert all(word in trial.message for word in words), trial.message


def test_a_trial_beyond_its_memory_is_said_to_be_so(shared: Katib) -> None:
    pod = PodSettings(limits={"memory": "24Mi"})
    trial = failed(shared, pod=pod, script="echo begun; tail /dev/zero")
    assert trial.reason == "OOMKilled"
    assert "24Mi" in trial.message


# Somebody ends it


def test_a_pod_that_somebody_deletes_is_tried_again(shared: Katib) -> None:
    study_id = shared.create(script=SECOND, limits={"max_trials": 1, "retry_limit": 1})
    name = shared.pod(study_id, "Running")
    shared.kubectl("delete", "pod", name, "--wait=false", "--grace-period=1")
    state, found = shared.end(study_id)
    assert (state, found[0].attempt, values(found)) == (StudyState.COMPLETED, 2, [1.0])
    with shared.world.client() as client:
        (first,) = client.get_trial(found[0].id).earlier
    assert first.reason == "PodDeleted"
    # Nobody can start the first attempt again: its name is held.
    assert name == run_name(found[0].id, 1)
    until(lambda: [pod for pod in shared.pods(study_id) if pod["metadata"]["name"] == name], STUDY_S)


def tried_again(katib: Katib, study_id: str, reason: str) -> None:
    """Without a retry_limit: it was no fault of the trial."""
    state, (trial,) = katib.end(study_id)
    assert (state, trial.attempt, trial.objective) == (StudyState.COMPLETED, 2, 1.0)
    with katib.world.client() as client:
        (first,) = client.get_trial(trial.id).earlier
    assert (first.number, first.reason) == (1, reason)


@pytest.mark.parametrize("script", [SECOND, SECOND.replace("exit 9", "echo acc=0.5; exit 0")])
def test_a_pod_that_is_evicted_is_tried_again(shared: Katib, script: str) -> None:
    """As `kubectl drain` does it; the second program ends well for that, with half a result."""
    study_id = shared.create(**one(script=script))
    name = shared.pod(study_id, "Running")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": shared.namespace},
    }
    path = f"/api/v1/namespaces/{shared.namespace}/pods/{name}/eviction"
    shared.kubectl("create", "--raw", path, "-f", "-", data=json.dumps(eviction))
    tried_again(shared, study_id, TrialReason.EVICTED)


@contextmanager
def priority(katib: Katib, name: str, value: int) -> Iterator[None]:
    named = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
    katib.cluster.create({**named, "value": value})
    try:
        yield
    finally:
        katib.cluster.kubectl("delete", "priorityclass", name)


def test_a_pod_that_makes_room_for_a_more_important_one_is_tried_again(shared: Katib, own_cluster: Cluster) -> None:
    """It has most of the machine, as the other one would."""
    cpu = own_cluster.get("node", own_cluster.nodes[0].name)["status"]["allocatable"]["cpu"]
    most = {"cpu": str(int(cpu) * 0.6)}
    with priority(shared, f"{shared.namespace}-high", 1000):
        study_id = shared.create(**one(script=SECOND, pod=PodSettings(requests=most)))
        shared.pod(study_id, "Running")
        important = {"priorityClassName": f"{shared.namespace}-high"}
        asks = {"resources": {"requests": most}}
        shared.cluster.run("important", shared.namespace, "sleep", "2", container=asks, spec=important)
        tried_again(shared, study_id, TrialReason.PREEMPTED)
