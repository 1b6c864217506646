"""What is wrong with a Pod, from its JSON alone: each state has a reason, a sentence that says what to do, and a deadline."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import Diagnosis, diagnose_pod
from katib.worker.kubernetes.policy import Waits
from tests.worker.kubernetes.statuses import (
    CREATED,
    PREPARING,
    PULLING,
    SCHEDULED,
    WORKING,
    Json,
    at,
    condition,
    container,
    pod,
    running,
    stamp,
    terminated,
    waiting,
)

WAITS = Waits()
IMAGE = 'failed to resolve reference "registry.example/train:1": registry.example/train:1: not found'


def diagnose(found: Json, seconds: float = 10, waits: Waits = WAITS) -> Diagnosis:
    return diagnose_pod(found, at(seconds), waits)


def unscheduled(**more: str) -> Json:
    return pod(conditions=(condition("PodScheduled", "False", 1, **more),), node="")


UNSCHEDULABLE = unscheduled(
    reason="Unschedulable",
    message="0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient nvidia.com/gpu.",
)
GATED = pod(
    conditions=(
        condition("PodScheduled", "False", 0, reason="SchedulingGated", message="Scheduling is blocked due to gates"),
    ),
    node="",
    spec={"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
)
PULL = pod("Pending", container(waiting("ErrImagePull", IMAGE)), conditions=PULLING)


class TestWaiting:
    @pytest.mark.parametrize(
        ("found", "reason", "words", "since", "most"),
        [
            (UNSCHEDULABLE, "Unschedulable", "2 Insufficient nvidia.com/gpu", 1, WAITS.unschedulable),
            (GATED, "SchedulingGated", "it waits for kueue.x-k8s.io/admission", 0, WAITS.gated),
            (PULL, "ErrImagePull", "correct the image", 1, WAITS.image),
            (PULL, "ErrImagePull", IMAGE, 1, WAITS.image),
            (
                pod("Pending", container(waiting("ImagePullBackOff", "Back-off pulling image")), conditions=PULLING),
                "ImagePullBackOff",
                "pull_secret",
                1,
                WAITS.image,
            ),
            (
                pod("Pending", container(waiting("RegistryUnavailable")), conditions=PULLING),
                "ErrImagePull",
                "the registry does not answer",
                1,
                WAITS.image,
            ),
            (
                pod(
                    "Pending",
                    container(waiting("CreateContainerConfigError", 'secret "keys" not found')),
                    conditions=PULLING,
                ),
                "CreateContainerConfigError",
                'create the Secret or ConfigMap that it names (secret "keys" not found)',
                1,
                WAITS.config,
            ),
            (
                pod("Pending", container(waiting("CreateContainerError", "no command specified")), conditions=PULLING),
                "CreateContainerError",
                "correct the command",
                1,
                WAITS.create,
            ),
            (
                pod("Pending", container(waiting("RunContainerError", "stat /x: no such file")), conditions=PULLING),
                "CreateContainerError",
                "stat /x: no such file",
                1,
                WAITS.create,
            ),
            (
                pod("Pending", container(waiting("ContainerCreating")), conditions=PREPARING),
                "ContainerCreating",
                "volumes are mounted and the network is set up on node-1",
                1,
                WAITS.sandbox,
            ),
            (
                pod("Pending", container(waiting("ContainerCreating")), conditions=PULLING),
                "ContainerCreating",
                "images are pulled",
                1,
                WAITS.start,
            ),
            # A kubelet before 1.29, and one that has only just taken the Pod.
            (pod("Pending", conditions=(SCHEDULED,)), "ContainerCreating", "images are pulled", 1, WAITS.start),
            (
                pod(
                    "Pending",
                    container(waiting("PodInitializing")),
                    init=(container(running(20), "download"),),
                    conditions=PULLING,
                ),
                "PodInitializing",
                "init container download runs",
                20,
                WAITS.start,
            ),
            (
                pod(
                    "Pending",
                    container(waiting("PodInitializing")),
                    init=(container(waiting("ImagePullBackOff", "Back-off"), "download"),),
                    conditions=PULLING,
                ),
                "ImagePullBackOff",
                "init container download: correct the image",
                1,
                WAITS.image,
            ),
            # The time that an earlier init container took is not the image's.
            (
                pod(
                    "Pending",
                    container(waiting("ErrImagePull", IMAGE)),
                    init=(container(terminated(0, "Completed", end=300), "download"),),
                    conditions=PULLING,
                ),
                "ErrImagePull",
                IMAGE,
                300,
                WAITS.image,
            ),
            # A sidecar beside the trial.
            (
                pod(
                    "Pending",
                    container(waiting("ContainerCreating")),
                    container(waiting("ErrImagePull", "denied"), "proxy"),
                    conditions=PULLING,
                ),
                "ErrImagePull",
                "container proxy: correct the image",
                1,
                WAITS.image,
            ),
        ],
    )
    def test_it_is_said_at_once_and_given_up_at_its_deadline(
        self, found: Json, reason: str, words: str, since: float, most: timedelta
    ) -> None:
        deadline = at(since) + most
        for moment in (at(since), deadline - timedelta(seconds=1)):
            early = diagnose_pod(found, moment, WAITS)
            assert (early.phase, early.reason, early.hopeless) == (RunPhase.WAITING, reason, False)
            assert words in early.message
            assert early.look_again == deadline
        late = diagnose_pod(found, deadline, WAITS)
        assert (late.phase, late.reason, late.hopeless, late.look_again) == (RunPhase.WAITING, reason, True, None)
        assert words in late.message
        assert "it waited for" in late.message
        assert "pod.start_timeout allows more" in late.message

    @pytest.mark.parametrize("found", [UNSCHEDULABLE, GATED, PULL, pod(node="")])
    def test_the_studys_own_start_timeout_counts_from_creation_in_place_of_all(self, found: Json) -> None:
        waits = Waits(total=timedelta(minutes=90))
        early, late = diagnose(found, 90 * 60 - 1, waits), diagnose(found, 90 * 60, waits)
        assert (early.hopeless, early.look_again) == (False, at(90 * 60))
        assert late.hopeless
        assert "longer than pod.start_timeout (1h30m)" in late.message

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("InvalidImageName", "correct the image"),
            ("ErrImageNeverPull", "imagePullPolicy is Never"),
        ],
    )
    def test_what_can_never_run_is_given_up_at_once(self, reason: str, words: str) -> None:
        found = diagnose(pod("Pending", container(waiting(reason, "said so")), conditions=PULLING), 2)
        assert (found.phase, found.reason, found.hopeless) == (RunPhase.WAITING, reason, True)
        assert words in found.message
        assert "(said so)" in found.message

    def test_a_pod_that_no_scheduler_looks_at_is_said_to_be_so_after_a_while(self) -> None:
        found = pod(node="", spec={"schedulerName": "volcano"})
        fresh, old = diagnose(found, 5), diagnose(found, 30)
        assert (fresh.phase, fresh.reason, fresh.look_again) == (RunPhase.WAITING, "", at(30))
        assert (old.phase, old.reason, old.look_again) == (RunPhase.WAITING, "NotScheduled", CREATED + WAITS.scheduler)
        hasty = diagnose_pod(found, at(3), replace(WAITS, total=timedelta(seconds=10)))
        assert (hasty.reason, hasty.look_again) == ("", at(10))
        # Given up before anybody was told that it waits, it names the scheduler all the same.
        given_up = diagnose_pod(found, at(10), replace(WAITS, total=timedelta(seconds=10)))
        assert (given_up.reason, given_up.hopeless) == ("NotScheduled", True)
        assert given_up.message.startswith(old.message)
        assert old.message == "volcano has not looked at it: is there a scheduler of that name?"
        assert diagnose_pod(found, CREATED + WAITS.scheduler, WAITS).hopeless

    def test_a_queue_does_not_eat_into_the_time_for_finding_a_node(self) -> None:
        found = pod(
            conditions=(condition("PodScheduled", "False", 86_400 * 3, reason="Unschedulable", message="0/3 nodes"),),
            node="",
        )
        assert not diagnose(found, 86_400 * 3 + 60).hopeless

    def test_a_sidecar_that_has_started_is_no_reason_to_wait(self) -> None:
        found = pod(
            "Pending",
            container(waiting("PodInitializing")),
            init=(container(running(2), "proxy", started=True),),
            conditions=PULLING,
        )
        assert diagnose(found).reason == "ContainerCreating"


class TestRunning:
    def test_it_runs_since_its_program_started(self) -> None:
        found = diagnose(pod("Running", container(running(5), started=True, ready=True), conditions=WORKING))
        assert found == Diagnosis(RunPhase.RUNNING, started_at=at(5))

    def test_the_trials_container_counts_and_not_the_one_beside_it(self) -> None:
        found = pod(
            "Running",
            container(running(3), "proxy"),
            container(waiting("ContainerCreating")),
            conditions=PULLING,
        )
        assert diagnose(found).phase is RunPhase.WAITING
        found["spec"]["containers"][1]["name"] = found["status"]["containerStatuses"][1]["name"] = "main"
        # Without one that is named so, the first is the trial.
        assert diagnose(found).phase is RunPhase.RUNNING

    def test_a_node_that_is_not_heard_of_is_said_to_be_so(self) -> None:
        conditions = (*WORKING[:2], condition("Ready", "False", 100), *WORKING[3:])
        found = diagnose(pod("Running", container(running()), conditions=conditions), 101)
        assert (found.phase, found.reason, found.hopeless) == (RunPhase.RUNNING, "NodeNotReady", False)
        assert "node-1 does not answer" in found.message

    def test_a_program_that_is_not_ready_yet_by_its_own_probe_simply_runs(self) -> None:
        conditions = (*WORKING[:2], condition("Ready", "False", 1), condition("ContainersReady", "False", 1), SCHEDULED)
        assert diagnose(pod("Running", container(running()), conditions=conditions)).reason == ""

    def test_one_that_is_to_be_evicted_says_so_while_it_runs(self) -> None:
        target = condition(
            "DisruptionTarget", seconds=50, reason="EvictionByEvictionAPI", message="Eviction API: evicting"
        )
        found = diagnose(pod("Running", container(running()), conditions=(*WORKING, target)), 51)
        assert (found.phase, found.reason) == (RunPhase.RUNNING, "Evicted")


class TestEnded:
    def test_it_ended_well(self) -> None:
        found = diagnose(pod("Succeeded", container(terminated(0, "Completed")), conditions=WORKING), 100)
        assert found == Diagnosis(RunPhase.SUCCEEDED, "", "", 0, at(5), at(60))

    def test_a_sidecar_that_never_ends_does_not_keep_a_trial_from_ending(self) -> None:
        ended = pod("Running", container(terminated(0, "Completed")), container(running(), "proxy"), conditions=WORKING)
        failed = pod("Running", container(terminated(3)), container(running(), "proxy"), conditions=WORKING)
        assert diagnose(ended).phase is RunPhase.SUCCEEDED
        assert (diagnose(failed).phase, diagnose(failed).exit_code) == (RunPhase.FAILED, 3)

    def test_a_trial_that_ended_well_did_so_whatever_became_of_its_pod(self) -> None:
        ended = container(terminated(0, "Completed"))
        for found in (
            pod("Failed", ended, container(terminated(1), "proxy")),
            pod("Failed", ended, reason="Evicted", message="The node was low on resource: memory."),
            pod("Running", ended, deleted=70),
        ):
            assert diagnose(found, 100).phase is RunPhase.SUCCEEDED

    @pytest.mark.parametrize(
        ("state", "reason", "words", "code"),
        [
            (terminated(1), "ExitCode", "exited with code 1; the end of its output says why", 1),
            (terminated(126), "StartFailed", "could not be executed", 126),
            (terminated(127), "StartFailed", "a program was not found", 127),
            (
                terminated(137),
                "Signal",
                "killed by SIGKILL (9); somebody ended it by force; out of memory is the usual",
                137,
            ),
            (terminated(139), "Signal", "killed by SIGSEGV (11); native code crashed", 139),
            (terminated(143), "Signal", "killed by SIGTERM (15); somebody asked it to end", 143),
            (terminated(137, "OOMKilled"), "OOMKilled", "more memory than what its node had left", 137),
            # A child was killed and the program gave up by itself.
            (terminated(1, "OOMKilled"), "OOMKilled", "raise pod.limits.memory", 1),
            (
                terminated(128, "StartError", message='exec: "trian": executable file not found in $PATH: unknown'),
                "StartFailed",
                'its command could not be started; correct the command or the image (exec: "trian": executable file',
                128,
            ),
            (terminated(127, "ContainerCannotRun", message="not found"), "StartFailed", "could not be started", 127),
            (terminated(137, "ContainerStatusUnknown"), "NodeLost", "how it ended is not known", None),
        ],
    )
    def test_how_its_program_ended(self, state: Json, reason: str, words: str, code: int | None) -> None:
        found = diagnose(pod("Failed", container(state), conditions=WORKING), 100)
        assert (found.phase, found.reason, found.exit_code) == (RunPhase.FAILED, reason, code)
        assert words in found.message
        assert (found.started_at, found.ended_at) == (at(5), at(60))

    def test_a_memory_limit_is_named(self) -> None:
        found = pod("Failed", container(terminated(137, "OOMKilled")))
        found["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
        assert "its limit of 2Gi" in diagnose(found, 100).message

    @pytest.mark.parametrize(
        ("said", "reason", "words"),
        [
            ("Evicted", "Evicted", "request what it needs"),
            ("DeadlineExceeded", "DeadlineExceeded", "longer than its Pod may"),
            ("NodeLost", "NodeLost", "does not answer"),
            ("Terminated", "NodeShutdown", "was shut down"),
            ("NodeShutdown", "NodeShutdown", "shutting down"),
            ("Shutdown", "NodeShutdown", "was shut down"),
            ("Preempting", "Preempted", "more important"),
            ("OutOfcpu", "NodeRefused", "OutOfcpu"),
            ("OutOfnvidia.com/gpu", "NodeRefused", "OutOfnvidia.com/gpu"),
            ("NodeAffinity", "NodeRefused", "NodeAffinity"),
            ("UnexpectedAdmissionError", "NodeRefused", "UnexpectedAdmissionError"),
            ("TopologyAffinityError", "NodeRefused", "TopologyAffinityError"),
            ("Odd", "PodFailed", "Odd"),
        ],
    )
    @pytest.mark.parametrize("killed", [True, False])
    def test_what_ended_the_pod_comes_before_how_its_program_ended(
        self, said: str, reason: str, words: str, killed: bool
    ) -> None:
        containers = (container(terminated(137)),) if killed and said != "Odd" else ()
        found = diagnose(pod("Failed", *containers, reason=said, message="The kubelet's words"), 100)
        assert (found.phase, found.reason) == (RunPhase.FAILED, reason)
        assert words in found.message
        assert "The kubelet's words" in found.message
        assert found.ended_at is not None

    @pytest.mark.parametrize(
        ("kind", "said", "message", "reason"),
        [
            ("DisruptionTarget", "PreemptionByScheduler", "default-scheduler: preempting", "Preempted"),
            ("DisruptionTarget", "DeletionByTaintManager", "Taint manager: deleting", "NodeLost"),
            ("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", "Evicted"),
            ("DisruptionTarget", "DeletionByPodGC", "PodGC: node no longer exists", "NodeLost"),
            ("DisruptionTarget", "TerminationByKubelet", "The node was low on resource: memory.", "Evicted"),
            (
                "DisruptionTarget",
                "TerminationByKubelet",
                "Pod was terminated in response to imminent node shutdown.",
                "NodeShutdown",
            ),
            (
                "DisruptionTarget",
                "TerminationByKubelet",
                "Preempted in order to admit critical pod",
                "Preempted",
            ),
            ("DisruptionTarget", "SomethingNew", "new words", "Evicted"),
            ("TerminationTarget", "WorkloadEvictedDueToPreempted", "Preempted to accommodate a workload", "Preempted"),
        ],
    )
    @pytest.mark.parametrize("deleted", [None, 60.0])
    def test_a_disruption_says_who_ended_it(
        self, kind: str, said: str, message: str, reason: str, deleted: float | None
    ) -> None:
        target = condition(kind, seconds=60, reason=said, message=message)
        found = pod("Failed", container(terminated(143)), conditions=(*WORKING, target), deleted=deleted)
        assert (diagnose(found, 100).reason, diagnose(found, 100).phase) == (reason, RunPhase.FAILED)
        assert message in diagnose(found, 100).message

    def test_a_disruption_that_did_not_come_to_pass_says_nothing(self) -> None:
        target = condition("DisruptionTarget", "False", 60, reason="PreemptionByScheduler")
        assert diagnose(pod("Failed", container(terminated(1)), conditions=(target,)), 100).reason == "ExitCode"

    def test_somebody_deleted_it(self) -> None:
        found = diagnose(pod("Failed", container(terminated(143, end=55)), deleted=50), 100)
        assert (found.reason, found.message) == ("PodDeleted", "somebody deleted its Pod")
        assert found.exit_code == 143

    def test_one_that_had_failed_before_somebody_deleted_it_failed_by_itself(self) -> None:
        found = diagnose(pod("Failed", container(terminated(3, end=40)), deleted=50), 100)
        assert (found.reason, found.exit_code) == ("ExitCode", 3)

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            (terminated(1, message="no such bucket"), "init container download failed: exited with code 1"),
            (terminated(1, message="no such bucket"), "(no such bucket)"),
            (terminated(137, "OOMKilled"), "init container download ran out of memory"),
        ],
    )
    def test_an_init_container_failed(self, state: Json, words: str) -> None:
        found = pod("Failed", container(waiting("PodInitializing")), init=(container(state, "download"),))
        assert diagnose(found, 100).reason == "InitContainerFailed"
        assert words in diagnose(found, 100).message
        assert diagnose(found, 100).exit_code is None

    def test_a_pod_that_failed_and_says_nothing_says_that(self) -> None:
        found = diagnose(pod("Failed"), 100)
        assert (found.phase, found.reason, found.ended_at) == (RunPhase.FAILED, "PodFailed", at(100))


class TestStopping:
    FOUND = pod("Running", container(running()), conditions=WORKING, deleted=50)

    def test_it_is_stopping_while_its_grace_lasts(self) -> None:
        found = diagnose(self.FOUND, 55)
        assert (found.phase, found.reason, found.hopeless) == (RunPhase.STOPPING, "PodDeleted", False)
        assert (found.started_at, found.look_again) == (at(5), at(60))

    def test_one_that_does_not_go_away_is_on_a_lost_node_and_is_given_up_at_the_deadline(self) -> None:
        deadline = at(60) + WAITS.gone
        early, late = diagnose(self.FOUND, 70), diagnose_pod(self.FOUND, deadline, WAITS)
        assert (early.phase, early.reason, early.hopeless) == (RunPhase.STOPPING, "NodeLost", False)
        assert "node-1 does not answer" in early.message
        assert early.look_again == deadline
        assert (late.phase, late.reason, late.hopeless) == (RunPhase.STOPPING, "NodeLost", True)

    def test_a_start_timeout_does_not_hurry_it(self) -> None:
        waits = Waits(total=timedelta(seconds=1))
        assert not diagnose(self.FOUND, 70, waits).hopeless

    def test_one_that_never_ran_is_stopping_too(self) -> None:
        assert diagnose(pod("Pending", deleted=5), 6).phase is RunPhase.STOPPING


PIECES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["True", "False", "Failed", "Running", "Pending", "Evicted", stamp(0), "9999-12-31T23:59:59Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


WHOLE = (
    GATED,
    PULL,
    TestStopping.FOUND,
    pod("Failed", container(terminated(137)), init=(container(terminated(1), "i"),), deleted=5),
    pod("Running", container(running()), conditions=(*WORKING, condition("DisruptionTarget", reason="x"))),
)


@pytest.mark.long
@given(st.sampled_from(WHOLE), st.randoms(use_true_random=False), st.lists(PIECES, min_size=1, max_size=3))
def test_no_status_at_all_makes_it_raise(found: Json, random: Random, pieces: list[Any]) -> None:
    """Parts of a real Pod are replaced by anything."""

    def broken(value: Any) -> Any:
        if random.random() < 0.1:
            return random.choice(pieces)
        if isinstance(value, dict):
            return {key: broken(inner) for key, inner in value.items()}
        return [broken(inner) for inner in value] if isinstance(value, list) else value

    found = {key: broken(value) for key, value in found.items()}
    for seconds in (0, 1e6, 1e8):
        diagnosis = diagnose(found, seconds)
        # Who waits is looked at again, or given up.
        assert diagnosis.phase is not RunPhase.WAITING or diagnosis.hopeless or diagnosis.look_again
