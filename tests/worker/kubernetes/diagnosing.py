"""Pods that wait, and what is said of them."""

from katib.worker.kubernetes.diagnosis import Diagnosis, diagnose_pod
from katib.worker.kubernetes.policy import Waits
from tests.worker.kubernetes.statuses import (
    PULLING,
    Json,
    at,
    condition,
    container,
    pod,
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
