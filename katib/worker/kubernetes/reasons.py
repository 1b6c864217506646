"""Why a run that is a Pod waits or has failed: our stable words, and Kubernetes' words for the same.

A reason is a stable word. Where Kubernetes has a word of its own that people know, it is that one; where a local process can
end in the same way, it is `TrialReason`'s.
"""

import re
from collections.abc import Mapping
from typing import Final

from katib.domain.trial import TrialReason


class PodReason:
    """The stable words for what only a Pod can come to."""

    # while it waits; when its deadline is over, these are why the run failed
    SCHEDULING_GATED: Final = "SchedulingGated"
    NOT_SCHEDULED: Final = "NotScheduled"
    UNSCHEDULABLE: Final = "Unschedulable"
    CONTAINER_CREATING: Final = "ContainerCreating"
    POD_INITIALIZING: Final = "PodInitializing"
    ERR_IMAGE_PULL: Final = "ErrImagePull"
    IMAGE_PULL_BACK_OFF: Final = "ImagePullBackOff"
    INVALID_IMAGE_NAME: Final = "InvalidImageName"
    ERR_IMAGE_NEVER_PULL: Final = "ErrImageNeverPull"
    CONFIG_ERROR: Final = "CreateContainerConfigError"
    CREATE_ERROR: Final = "CreateContainerError"
    # while it runs
    NODE_NOT_READY: Final = "NodeNotReady"
    # when it has failed
    OOM_KILLED: Final = "OOMKilled"
    STORAGE_LIMIT: Final = "StorageLimitExceeded"
    INIT_FAILED: Final = "InitContainerFailed"
    EVICTED: Final = TrialReason.EVICTED
    PREEMPTED: Final = TrialReason.PREEMPTED
    NODE_LOST: Final = TrialReason.NODE_LOST
    NODE_SHUTDOWN: Final = TrialReason.NODE_SHUTDOWN
    NODE_REFUSED: Final = TrialReason.NODE_REFUSED
    POD_DELETED: Final = "PodDeleted"
    POD_FAILED: Final = "PodFailed"


# Kubernetes' words for one thing, under ours, with what to do.
_IMAGE: Final = "correct the image, or give pull_secret if its registry asks for one"
IMAGE_WAITS: Final[Mapping[str, tuple[str, str]]] = {
    "ErrImagePull": (PodReason.ERR_IMAGE_PULL, _IMAGE),
    "ImagePullBackOff": (PodReason.IMAGE_PULL_BACK_OFF, _IMAGE),
    "ImageInspectError": (PodReason.ERR_IMAGE_PULL, "its node cannot read the image; tell the cluster's operator"),
    "RegistryUnavailable": (PodReason.ERR_IMAGE_PULL, "the registry does not answer"),
    "SignatureValidationFailed": (PodReason.ERR_IMAGE_PULL, "the image's signature is not accepted; correct the image"),
}
NEVER: Final[Mapping[str, tuple[str, str]]] = {
    "InvalidImageName": (PodReason.INVALID_IMAGE_NAME, "correct the image"),
    "ErrImageNeverPull": (
        PodReason.ERR_IMAGE_NEVER_PULL,
        "the template's imagePullPolicy is Never and its node does not have the image; change one of the two",
    ),
}
CONFIG: Final = "correct the study, or create the Secret or ConfigMap that it names"
CREATE: Final = "correct the command, the working directory or the mounts"
CREATE_WAITS: Final = frozenset(
    {"CreateContainerError", "RunContainerError", "PreStartHookError", "PostStartHookError", "CrashLoopBackOff"}
)
START_ERRORS: Final = frozenset({"StartError", "ContainerCannotRun"})
# With such words it was the node that was restarted, or too slow, and not the command.
BROKEN_STARTS: Final = ("context canceled", "context deadline exceeded", "ttrpc: closed")
# The Pod's own reason, once it has failed: ours, and what to say.
POD_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "Evicted": (PodReason.EVICTED, "its node ran out of something; request what it needs under pod.requests"),
    "DeadlineExceeded": (TrialReason.DEADLINE_EXCEEDED, "it ran longer than its Pod may"),
    "NodeLost": (PodReason.NODE_LOST, "its node does not answer"),
    "Terminated": (PodReason.NODE_SHUTDOWN, "its node was shut down"),
    "Shutdown": (PodReason.NODE_SHUTDOWN, "its node was shut down"),
    "NodeShutdown": (PodReason.NODE_SHUTDOWN, "its node was shutting down when it came"),
    "Preempting": (PodReason.PREEMPTED, "it made room for a more important Pod"),
    "Preempted": (PodReason.PREEMPTED, "it made room for a more important Pod"),
}
# With such words it is a limit of the Pod's own that it went beyond, and no other node would bear it longer.
OWN_STORAGE: Final = re.compile(
    r"usage exceeds the total limit of containers|exceeded its local ephemeral storage limit|^Usage of EmptyDir volume"
)
STORAGE: Final = (
    PodReason.STORAGE_LIMIT,
    "it wrote more than its own limit; raise pod.limits.ephemeral-storage or the volume's sizeLimit, or write less",
)
# What a node says that does not take a Pod which the scheduler sent: OutOfcpu, OutOfnvidia.com/gpu, NodeAffinity, ...
REFUSALS: Final = (
    "OutOf",
    "NodeAffinity",
    "NodePorts",
    "UnexpectedAdmissionError",
    "TopologyAffinityError",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "InvalidNodeInfo",
    "PodLevelResourcesNotSupported",
    "AppArmor",
    "SysctlForbidden",
    "TaintToleration",
)
# Conditions that say why somebody ended the Pod; the second is Kueue's.
DISRUPTIONS: Final = ("DisruptionTarget", "TerminationTarget")
DISRUPTION_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "PreemptionByScheduler": (PodReason.PREEMPTED, "it made room for a more important Pod"),
    "PreemptionByKubeScheduler": (PodReason.PREEMPTED, "it made room for a more important Pod"),
    "DeletionByTaintManager": (
        PodReason.NODE_LOST,
        "its node does not answer, or got a taint that it does not tolerate",
    ),
    "EvictionByEvictionAPI": (PodReason.EVICTED, "its node is drained"),
    "DeletionByPodGC": (PodReason.NODE_LOST, "its node is gone"),
    "TerminationByKubelet": (PodReason.EVICTED, "its node ended it"),
}
