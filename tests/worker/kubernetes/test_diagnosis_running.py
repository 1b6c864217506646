"""What is wrong with a Pod that runs, or has ended."""

import pytest

from katib.domain.trial import DISRUPTIONS
from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import Diagnosis
from tests.worker.kubernetes.diagnosing import diagnose
from tests.worker.kubernetes.statuses import (
    PULLING,
    SCHEDULED,
    WORKING,
    Json,
    at,
    condition,
    container,
    pod,
    running,
    terminated,
    waiting,
)


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

    def test_a_trial_that_ended_well_did_so_whatever_became_of_its_pod_later(self) -> None:
        ended = container(terminated(0, "Completed", end=60))
        drained = condition("DisruptionTarget", seconds=61, reason="EvictionByEvictionAPI")
        for found in (
            pod("Failed", ended, container(terminated(1), "proxy")),
            pod("Failed", ended, reason="Evicted", message="The node was low on resource: memory."),
            pod("Failed", ended, reason="Terminated", message="Pod was terminated.", deleted=70),
            pod("Running", ended, deleted=70),
            pod("Running", ended, conditions=(*WORKING, drained), deleted=61),
            pod("Succeeded", conditions=(drained,)),
        ):
            assert diagnose(found, 100).phase is RunPhase.SUCCEEDED

    @pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
    @pytest.mark.parametrize(
        ("kind", "said", "reason"),
        [
            ("DisruptionTarget", "EvictionByEvictionAPI", "Evicted"),
            ("DisruptionTarget", "PreemptionByScheduler", "Preempted"),
            ("TerminationTarget", "WorkloadEvictedDueToPreempted", "Preempted"),
        ],
    )
    @pytest.mark.parametrize("asked", [50, 60])
    def test_a_trial_that_ends_well_when_it_is_asked_to_has_half_a_result_and_is_tried_again(
        self, phase: str, kind: str, said: str, reason: str, asked: float
    ) -> None:
        ended = container(terminated(0, "Completed", end=60))
        target = condition(kind, seconds=asked, reason=said, message="its words")
        found = diagnose(pod(phase, ended, conditions=(*WORKING, target), deleted=asked), 100)
        assert (found.phase, found.reason, found.exit_code, found.ended_at) == (RunPhase.FAILED, reason, 0, at(60))
        assert "its words" in found.message
        assert found.reason in DISRUPTIONS

    def test_a_pod_whose_deletion_began_before_its_trial_ended_well_says_what_ended_it(self) -> None:
        ended = container(terminated(0, "Completed", end=60))
        found = diagnose(pod("Failed", ended, reason="Preempting", message="its words", deleted=55), 100)
        assert (found.phase, found.reason) == (RunPhase.FAILED, "Preempted")

    @pytest.mark.parametrize(
        ("state", "reason", "words", "code"),
        [
            (terminated(1), "ExitCode", "exited with code 1; see the end of its output", 1),
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
            # Its kubelet was restarted at that moment.
            (
                terminated(128, "StartError", message="failed to get task pid: context canceled: unknown"),
                "NodeRefused",
                "its node broke off its start (failed to get task pid: context canceled",
                128,
            ),
            (terminated(137, "ContainerStatusUnknown"), "NodeLost", "how it ended is not known", None),
            # What containerd says of a program that was there when the node's power went.
            (terminated(255, "Unknown"), "NodeLost", "how it ended is not known", None),
            (terminated(255), "ExitCode", "exited with code 255", 255),
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
        "words",
        [
            "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ",
            'Container trial exceeded its local ephemeral storage limit "5Mi". ',
            'Usage of EmptyDir volume "data" exceeds the limit "1Gi". ',
        ],
    )
    def test_one_that_wrote_beyond_its_own_limit_is_no_victim_of_its_node_and_is_not_tried_again_for_that(
        self, words: str
    ) -> None:
        found = diagnose(pod("Failed", container(terminated(137)), reason="Evicted", message=words), 100)
        assert (found.phase, found.reason) == (RunPhase.FAILED, "StorageLimitExceeded")
        assert found.reason not in DISRUPTIONS
        assert "raise pod.limits.ephemeral-storage" in found.message
        assert words.strip() in found.message

    def test_one_beside_which_others_wrote_too_much_is_tried_again(self) -> None:
        words = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 0."
        found = diagnose(pod("Failed", container(terminated(137)), reason="Evicted", message=words), 100)
        assert found.reason in DISRUPTIONS

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

    def test_what_runs_beside_a_trial_goes_down_with_its_node(self) -> None:
        lost = terminated(255, "Unknown")
        found = pod("Failed", container(lost), container(lost, "proxy"), init=(container(lost, "log"),))
        assert diagnose(found, 100).reason == "NodeLost"

    def test_an_init_container_that_went_down_with_its_node_is_not_to_blame(self) -> None:
        found = pod(
            "Failed",
            container(waiting("PodInitializing")),
            init=(container(terminated(255, "Unknown"), "download"),),
        )
        assert diagnose(found, 100).reason == "NodeLost"

    def test_a_pod_that_failed_and_says_nothing_says_that(self) -> None:
        found = diagnose(pod("Failed"), 100)
        assert (found.phase, found.reason, found.ended_at) == (RunPhase.FAILED, "PodFailed", at(100))
