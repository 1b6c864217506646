"""What the driver writes on Pods, for itself and its successors to read: why a run was ended, and that one may never start.

A run is **stopped** without its Pod being deleted, so that its exit code, its log and its name stay: the deadline of the Pod is
set to a moment that is over, and its node ends it as it would by any deadline, with SIGTERM, the grace, SIGKILL. A Pod that no
node has yet is made Failed where it stands; no scheduler takes it then, and no node would execute it.

A **tombstone** holds the name of a run that may never start: a Pod that no scheduler takes, made Failed at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from katib.domain.pod import OWN_PREFIX
from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import Diagnosis, diagnose_pod, time_of
from katib.worker.kubernetes.podapi import Pod
from katib.worker.kubernetes.pods import (
    ANNOTATION_INSTALLATION,
    LABEL_ATTEMPT,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    LABEL_STUDY,
    LABEL_TRIAL,
    MANAGED_BY,
    trial_container,
)
from katib.worker.kubernetes.policy import Waits
from katib.worker.kubernetes.reasons import PodReason
from katib.worker.kubernetes.template import ANNOTATION_CONTAINER
from katib.worker.names import is_run_name, split_name

ANNOTATION_STOPPED: Final = f"{OWN_PREFIX}stopped"
ANNOTATION_REASON: Final = f"{OWN_PREFIX}reason"
ANNOTATION_MESSAGE: Final = f"{OWN_PREFIX}message"
ANNOTATION_TOMBSTONE: Final = f"{OWN_PREFIX}tombstone"
ANNOTATION_START_TIMEOUT: Final = f"{OWN_PREFIX}start-timeout"
GATE: Final = f"{OWN_PREFIX}never"
DEFAULT_GRACE_S: Final = 30


class DriverReason:
    """The stable words for what the driver itself does to a run, or cannot do for it."""

    STOPPED: Final = "Stopped"
    INVALID_POD: Final = "InvalidPod"
    POD_REFUSED: Final = "PodRefused"
    NAME_TAKEN: Final = "NameTaken"


def judge(pod: Pod, now: datetime, waits: Waits, seen: Mapping[str, datetime] | None = None) -> Diagnosis:
    """How the run of a Pod stands, with what the driver has written on it."""
    metadata, spec, status = _parts(pod)
    annotations = metadata.get("annotations") or {}
    own = annotations.get(ANNOTATION_REASON) or "", annotations.get(ANNOTATION_MESSAGE) or ""
    if ANNOTATION_TOMBSTONE in annotations:
        created = time_of(metadata.get("creationTimestamp")) or now
        return Diagnosis(RunPhase.FAILED, *own, ended_at=created)
    found = diagnose_pod(pod, now, waits, seen)
    if status.get("phase") == "Failed" and not spec.get("nodeName") and status.get("reason"):
        # Nobody but the driver fails a Pod that no node has.
        return replace(found, reason=str(status["reason"]), message=str(status.get("message") or ""))
    if ANNOTATION_STOPPED not in annotations:
        return found
    if not found.phase.ended and found.phase is not RunPhase.STOPPING:
        return replace(found, phase=RunPhase.STOPPING, reason=own[0], message=own[1], hopeless=False)
    by_deadline = found.phase is RunPhase.FAILED and status.get("reason") == "DeadlineExceeded"
    if by_deadline or found.reason == PodReason.POD_DELETED:
        return replace(found, reason=own[0], message=own[1])
    return found


def waits_of(pod: Pod, waits: Waits) -> Waits:
    """With the study's own start_timeout, as it was when the Pod was made."""
    text = ((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_START_TIMEOUT)
    try:
        return replace(waits, total=timedelta(seconds=float(text))) if text else waits
    except (ValueError, OverflowError):
        return waits


def stop_change(pod: Pod, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """What to patch on a Pod that has a node so that it ends, and says why."""
    metadata, spec, _ = _parts(pod)
    deadline = spec.get("activeDeadlineSeconds")
    return {
        "metadata": {
            "uid": metadata.get("uid"),
            "annotations": {
                ANNOTATION_STOPPED: now.isoformat(timespec="seconds"),
                ANNOTATION_REASON: reason,
                ANNOTATION_MESSAGE: message,
            },
        },
        # One second is the least there is; a deadline can only be brought forward.
        "spec": {"activeDeadlineSeconds": min(deadline, 1) if isinstance(deadline, int) else 1},
    }


def fail_change(pod: Pod, reason: str, message: str) -> dict[str, Any]:
    """What to patch on the status of a Pod that has no node; refused if it got one, or anything else changed, meanwhile."""
    metadata, _, _ = _parts(pod)
    return {
        "metadata": {"uid": metadata.get("uid"), "resourceVersion": metadata.get("resourceVersion")},
        "status": {"phase": "Failed", "reason": reason, "message": message},
    }


def make_tombstone(
    study_id: str, name: str, namespace: str, installation: str, reason: str, message: str, *, sized: bool = False
) -> Pod:
    """`sized`: it says that it needs nothing, where a quota wants every Pod to say what it needs."""
    container: dict[str, Any] = {
        "name": "never",
        # Never pulled; a name that no registry has.
        "image": "katib.invalid/never",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if sized:
        nothing = {"cpu": "0", "memory": "0"}
        container["resources"] = {"requests": nothing, "limits": nothing}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": own_labels(study_id, name, installation),
            "annotations": {
                ANNOTATION_TOMBSTONE: "true",
                ANNOTATION_REASON: reason,
                ANNOTATION_MESSAGE: message,
                ANNOTATION_INSTALLATION: installation,
            },
        },
        "spec": {
            # A gate that nobody lifts; a selector that no node meets, for clusters that do not know gates.
            "schedulingGates": [{"name": GATE}],
            "nodeSelector": {GATE: "true"},
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def own_labels(study_id: str, name: str, installation: str) -> dict[str, str]:
    """By which a run's Pod is found, and known as its own."""
    trial_id, attempt = split_name(name)
    return {
        LABEL_STUDY: study_id,
        LABEL_TRIAL: trial_id,
        LABEL_ATTEMPT: str(attempt),
        LABEL_INSTALLATION: installation,
        LABEL_MANAGED_BY: MANAGED_BY,
    }


def identity(pod: Pod) -> tuple[str, str, int] | None:
    """The study, the trial and the attempt that a Pod is for; None: it is no run's."""
    metadata, _, _ = _parts(pod)
    labels = metadata.get("labels") or {}
    name, study_id = str(metadata.get("name") or ""), labels.get(LABEL_STUDY)
    if not is_run_name(name) or not study_id or labels.get(LABEL_MANAGED_BY) != MANAGED_BY:
        return None
    trial_id, attempt = split_name(name)
    if (labels.get(LABEL_TRIAL), labels.get(LABEL_ATTEMPT)) != (trial_id, str(attempt)):
        return None
    return study_id, trial_id, attempt


def slim(pod: Pod) -> Pod:
    """What of a Pod is looked at again: a tenth of it."""
    metadata, spec, status = _parts(pod)
    annotations = metadata.get("annotations") or {}
    keep = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
    return {
        "metadata": {
            **_some(metadata, (*keep, "deletionGracePeriodSeconds")),
            "annotations": {name: text for name, text in annotations.items() if name.startswith(OWN_PREFIX)},
        },
        "spec": {
            **_some(
                spec,
                (
                    "nodeName",
                    "schedulerName",
                    "schedulingGates",
                    "readinessGates",
                    "activeDeadlineSeconds",
                    "terminationGracePeriodSeconds",
                ),
            ),
            "containers": [_some(c, ("name", "resources")) for c in spec.get("containers") or []],
            "initContainers": [_some(c, ("name", "restartPolicy")) for c in spec.get("initContainers") or []],
        },
        "status": {
            **_some(status, ("phase", "reason", "message", "startTime")),
            "conditions": [
                _some(c, ("type", "status", "reason", "message", "lastTransitionTime"))
                for c in status.get("conditions") or []
            ],
            "containerStatuses": [_some(c, ("name", "state")) for c in status.get("containerStatuses") or []],
            "initContainerStatuses": [
                _some(c, ("name", "state", "started")) for c in status.get("initContainerStatuses") or []
            ],
        },
    }


def is_tombstone(pod: Pod) -> bool:
    return ANNOTATION_TOMBSTONE in ((pod.get("metadata") or {}).get("annotations") or {})


def is_driven(pod: Pod) -> bool:
    """Whether this driver has made it, by what it writes on each."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return ANNOTATION_CONTAINER in annotations or ANNOTATION_TOMBSTONE in annotations


def installation_of(pod: Pod) -> str:
    """Of which installation it is; empty: it does not say so any more, as one whose label was taken away and that was made
    before there was that annotation."""
    metadata, _, _ = _parts(pod)
    kept = (metadata.get("annotations") or {}).get(ANNOTATION_INSTALLATION)
    return str(kept or (metadata.get("labels") or {}).get(LABEL_INSTALLATION) or "")


def is_over(pod: Pod) -> bool:
    """Whether all of its containers have ended, not only the trial's."""
    return is_tombstone(pod) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def node_of(pod: Pod) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def has_started(pod: Pod) -> bool:
    """Whether the trial's container has been executed, so that there may be a log."""
    name = trial_container(pod)
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == name:
            state = status.get("state") or {}
            return bool(state.get("running") or state.get("terminated"))
    return False


def grace_of(pod: Pod) -> float:
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return float(grace) if isinstance(grace, int) else DEFAULT_GRACE_S


def stopped_at(pod: Pod) -> datetime | None:
    return time_of(((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_STOPPED))


def _parts(pod: Pod) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    return pod.get("metadata") or {}, pod.get("spec") or {}, pod.get("status") or {}


def _some(thing: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: thing[key] for key in keys if key in thing}
