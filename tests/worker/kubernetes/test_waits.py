"""What a Pod waits for counts from when it was first seen to, where no status says since when."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from katib.worker.kubernetes.diagnosis import Diagnosis
from katib.worker.kubernetes.policy import Waits
from katib.worker.kubernetes.runs import Runs
from tests.worker.kubernetes.statuses import PULLING, Json, at, condition, container, pod, waiting

NAME = "a0123456789abcde-1"
WAITS = Waits()
DAY = 86_400.0
HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return at(self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Callable[[], Runs]:
    return lambda: Runs(WAITS, lambda _: None, clock)


@pytest.fixture
def runs(start: Callable[[], Runs]) -> Runs:
    return start()


def told(runs: Runs, found: Json, *, uid: str = "u") -> Diagnosis:
    version = getattr(runs.get(NAME), "version", 0) + 1
    labels = {"study": "s", "trial": NAME.removesuffix("-1"), "attempt": "1"}
    own = {f"katib.kubeflow.org/{name}": text for name, text in labels.items()}
    metadata = {"uid": uid, "resourceVersion": str(version), "labels": {**own, "app.kubernetes.io/managed-by": "katib"}}
    run = runs.put({**found, "metadata": {**found["metadata"], **metadata}})
    assert run is not None
    return run.diagnosis


def looked_at(runs: Runs) -> Diagnosis:
    run = runs.get(NAME)
    assert run is not None
    runs.look_again(run)
    return run.diagnosis


def held(reason: str) -> Json:
    """By a queue or for want of a node: the time of the condition is that of its creation in both."""
    gates = [{"name": "kueue.x-k8s.io/admission"}] if reason == "SchedulingGated" else []
    return pod(
        conditions=(condition("PodScheduled", "False", 0, reason=reason),), node="", spec={"schedulingGates": gates}
    )


def kept(reason: str, name: str = "trial") -> Json:
    beside = [container(waiting("ContainerCreating"), other) for other in ("trial", "proxy") if other != name]
    return pod("Pending", container(waiting(reason), name), *beside, conditions=PULLING)


def test_a_pod_that_its_queue_admits_after_days_has_all_its_time_for_finding_a_node(runs: Runs, clock: Clock) -> None:
    assert told(runs, held("SchedulingGated")).reason == "SchedulingGated"
    clock.seconds = 3 * DAY
    assert not told(runs, held("Unschedulable")).hopeless
    clock.seconds += DAY - 1
    assert not looked_at(runs).hopeless
    assert not told(runs, held("Unschedulable")).hopeless
    clock.seconds += 1
    assert looked_at(runs).hopeless


@pytest.mark.parametrize(
    ("first", "then", "most"),
    [
        ("ErrImagePull", "ImagePullBackOff", WAITS.image),
        ("CreateContainerConfigError", "CreateContainerConfigError", WAITS.config),
        ("CreateContainerError", "RunContainerError", WAITS.create),
    ],
)
def test_what_fails_only_late_has_all_its_time_to_come_right(
    runs: Runs, clock: Clock, first: str, then: str, most: timedelta
) -> None:
    told(runs, kept("ContainerCreating"))
    clock.seconds = HOUR / 2
    found = told(runs, kept(first))
    assert (found.hopeless, found.look_again) == (False, at(HOUR / 2) + most)
    clock.seconds += most.total_seconds() - 1
    # Kubernetes has several words for it, which follow one another.
    assert not told(runs, kept(then)).hopeless
    clock.seconds += 1
    assert looked_at(runs).hopeless


def test_the_trouble_of_one_container_is_not_anothers(runs: Runs, clock: Clock) -> None:
    told(runs, kept("ErrImagePull", "proxy"))
    clock.seconds = HOUR
    assert not told(runs, kept("ErrImagePull")).hopeless


def test_another_pod_of_the_name_has_its_own_time(runs: Runs, clock: Clock) -> None:
    told(runs, kept("ErrImagePull"))
    clock.seconds = HOUR
    assert not told(runs, kept("ErrImagePull"), uid="v").hopeless


def test_a_manager_that_is_started_again_counts_from_then(runs: Runs, start: Callable[[], Runs], clock: Clock) -> None:
    told(runs, kept("ErrImagePull"))
    clock.seconds = HOUR
    assert looked_at(runs).hopeless
    assert not told(start(), kept("ErrImagePull")).hopeless
