"""Pods as an API server shows them, from creation to every kind of end."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

CREATED = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)

Json = dict[str, Any]


def stamp(seconds: float) -> str:
    """`seconds` after the Pod's creation, as Kubernetes writes times."""
    return (CREATED + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


def condition(kind: str, status: str = "True", seconds: float = 0, **more: str) -> Json:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": stamp(seconds), **more}


SCHEDULED = condition("PodScheduled", seconds=1)
# A Pod whose containers are being made, as a kubelet of 1.29 and later shows it.
PREPARING = (
    condition("PodReadyToStartContainers", "False", 1),
    condition("Initialized", "True", 1),
    condition("Ready", "False", 1, reason="ContainersNotReady", message="containers with unready status: [trial]"),
    condition("ContainersReady", "False", 1, reason="ContainersNotReady"),
    SCHEDULED,
)
PULLING = (condition("PodReadyToStartContainers", "True", 3), *PREPARING[1:])
WORKING = (
    condition("PodReadyToStartContainers", "True", 3),
    condition("Initialized", "True", 1),
    condition("Ready", "True", 5),
    condition("ContainersReady", "True", 5),
    SCHEDULED,
)


def container(state: Mapping[str, Any], name: str = "trial", *, started: bool = False, ready: bool = False) -> Json:
    return {
        "name": name,
        "state": dict(state),
        "lastState": {},
        "ready": ready,
        "restartCount": 0,
        "image": "registry.example/train:1",
        "imageID": "",
        "started": started,
    }


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(seconds: float = 5) -> Json:
    return {"running": {"startedAt": stamp(seconds)}}


def terminated(code: int, reason: str = "Error", start: float = 5, end: float = 60, **more: str) -> Json:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": stamp(start),
            "finishedAt": stamp(end),
            "containerID": "containerd://0123456789abcdef",
            **more,
        }
    }


def pod(
    phase: str = "Pending",
    *containers: Json,
    conditions: tuple[Json, ...] = (),
    init: tuple[Json, ...] = (),
    spec: Mapping[str, Any] | None = None,
    node: str = "node-1",
    deleted: float | None = None,
    grace: int = 10,
    **status: Any,
) -> Json:
    """`deleted`: when somebody asked for its deletion; its deletionTimestamp is at the end of the grace."""
    names = [c["name"] for c in containers] or ["trial"]
    found: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a0123456789abcde-1", "namespace": "katib", "creationTimestamp": stamp(0)},
        "spec": {
            "containers": [{"name": name, "image": "registry.example/train:1"} for name in names],
            "restartPolicy": "Never",
            "schedulerName": "default-scheduler",
            **({"nodeName": node} if node else {}),
            **(spec or {}),
        },
        "status": {"phase": phase, "qosClass": "Burstable", "conditions": list(conditions), **status},
    }
    if deleted is not None:
        found["metadata"]["deletionTimestamp"] = stamp(deleted + grace)
        found["metadata"]["deletionGracePeriodSeconds"] = grace
    if containers:
        found["status"]["containerStatuses"] = list(containers)
    if init:
        found["status"]["initContainerStatuses"] = list(init)
    if node:
        found["status"]["startTime"] = status.get("startTime", stamp(1))
    return found
