"""What is wrong with a Pod, from its JSON alone: each state has a reason, a sentence that says what to do, and a deadline."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import diagnose_pod
from katib.worker.kubernetes.marks import slim
from katib.worker.kubernetes.policy import Waits
from tests.worker.kubernetes.diagnosing import GATED, IMAGE, PULL, UNSCHEDULABLE, WAITS, diagnose
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

# When a kubelet has said for the first time what is wrong: long after it took the Pod, as behind a large image or a queue.
LATE = 86_400 * 3


class TestWaiting:
    @pytest.mark.parametrize(
        ("found", "reason", "words", "since", "most"),
        [
            (UNSCHEDULABLE, "Unschedulable", "2 Insufficient nvidia.com/gpu", LATE, WAITS.unschedulable),
            (GATED, "SchedulingGated", "it waits for kueue.x-k8s.io/admission", 0, WAITS.gated),
            (PULL, "ErrImagePull", "correct the image", LATE, WAITS.image),
            (PULL, "ErrImagePull", IMAGE, LATE, WAITS.image),
            (
                pod("Pending", container(waiting("ImagePullBackOff", "Back-off pulling image")), conditions=PULLING),
                "ImagePullBackOff",
                "pull_secret",
                LATE,
                WAITS.image,
            ),
            (
                pod("Pending", container(waiting("RegistryUnavailable")), conditions=PULLING),
                "ErrImagePull",
                "the registry does not answer",
                LATE,
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
                LATE,
                WAITS.config,
            ),
            (
                pod("Pending", container(waiting("CreateContainerError", "no command specified")), conditions=PULLING),
                "CreateContainerError",
                "correct the command",
                LATE,
                WAITS.create,
            ),
            (
                pod("Pending", container(waiting("RunContainerError", "stat /x: no such file")), conditions=PULLING),
                "CreateContainerError",
                "stat /x: no such file",
                LATE,
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
                    init=(container(running(20), "download", started=True),),
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
                LATE,
                WAITS.image,
            ),
            (
                pod(
                    "Pending",
                    container(waiting("ErrImagePull", IMAGE)),
                    init=(container(terminated(0, "Completed", end=300), "download"),),
                    conditions=PULLING,
                ),
                "ErrImagePull",
                IMAGE,
                LATE,
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
                LATE,
                WAITS.image,
            ),
        ],
    )
    def test_it_is_said_at_once_and_given_up_at_its_deadline(
        self, found: Json, reason: str, words: str, since: float, most: timedelta
    ) -> None:
        deadline = at(since) + most
        first = diagnose_pod(found, at(since), WAITS)
        assert bool(first.trouble) is (since == LATE)
        seen = {first.trouble: at(since)}
        for moment in (at(since), deadline - timedelta(seconds=1)):
            early = diagnose_pod(found, moment, WAITS, seen)
            assert (early.phase, early.reason, early.hopeless) == (RunPhase.WAITING, reason, False)
            assert words in early.message
            assert early.look_again == deadline
        late = diagnose_pod(found, deadline, WAITS, seen)
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
        # Kubernetes keeps the time at which the Pod was first held: the status is False before and after.
        found = pod(
            conditions=(condition("PodScheduled", "False", 0, reason="Unschedulable", message="0/3 nodes"),), node=""
        )
        assert not diagnose(found, 86_400 * 3).hopeless

    def test_a_sidecar_that_has_started_is_no_reason_to_wait(self) -> None:
        found = pod(
            "Pending",
            container(waiting("PodInitializing")),
            init=(container(running(2), "proxy", started=True),),
            conditions=PULLING,
            spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
        )
        assert diagnose(found).reason == diagnose(slim(found)).reason == "ContainerCreating"
        found["status"]["initContainerStatuses"][0]["started"] = False
        assert diagnose(found).reason == "PodInitializing"


class TestStopping:
    FOUND = pod("Running", container(running()), conditions=WORKING, deleted=50)

    def test_it_is_stopping_while_its_grace_lasts(self) -> None:
        found = diagnose(self.FOUND, 55)
        assert (found.phase, found.reason, found.hopeless) == (RunPhase.STOPPING, "PodDeleted", False)
        assert (found.started_at, found.look_again) == (at(5), at(80))

    def test_a_node_has_a_moment_after_the_grace_before_it_is_said_not_to_answer(self) -> None:
        """Whose Pod is deleted by force, or has no node, is gone by its next event: that was no node's fault."""
        found = diagnose(self.FOUND, 79)
        assert (found.phase, found.reason, found.message) == (
            RunPhase.STOPPING,
            "PodDeleted",
            "somebody deleted its Pod",
        )
        # That it is deleted may be heard of late, together with its end.
        assert diagnose(self.FOUND, 300).reason == "PodDeleted"
        assert diagnose_pod(self.FOUND, at(300), WAITS, {"deleted": at(281)}).reason == "PodDeleted"

    def test_one_that_does_not_go_away_is_on_a_lost_node_and_is_given_up_at_the_deadline(self) -> None:
        deadline = at(60) + WAITS.gone
        early = diagnose_pod(self.FOUND, at(80), WAITS, {"deleted": at(60)})
        late = diagnose_pod(self.FOUND, deadline, WAITS)
        assert (early.phase, early.reason, early.hopeless) == (RunPhase.STOPPING, "NodeLost", False)
        assert "node-1 does not answer" in early.message
        assert early.look_again == deadline
        assert (late.phase, late.reason, late.hopeless) == (RunPhase.STOPPING, "NodeLost", True)

    def test_a_start_timeout_does_not_hurry_it(self) -> None:
        waits = Waits(total=timedelta(seconds=1))
        assert not diagnose(self.FOUND, 80, waits).hopeless

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
