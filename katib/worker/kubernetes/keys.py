"""The labels and annotations that a study may give its Pods."""

from collections.abc import Iterator
from typing import Any, Final

from katib.domain.errors import FieldViolation, violation
from katib.domain.pod import OWN_PREFIX
from katib.worker.kubernetes.policy import allows

# What queues, schedulers and autoscalers read, and how a mesh is kept out. By others a Pod takes on a role in a cloud, is given
# a Secret, another network or another image, or becomes one of somebody's Service.
ALWAYS: Final = (
    "cluster-autoscaler.kubernetes.io/",
    "karpenter.sh/do-not-disrupt",
    "kubectl.kubernetes.io/default-container",
    "kueue.x-k8s.io/",
    "linkerd.io/inject",
    "prometheus.io/",
    "scheduling.k8s.io/",
    "scheduling.volcano.sh/",
    "scheduling.x-k8s.io/",
    "sidecar.istio.io/inject",
    "volcano.sh/",
)
# Katib's own, which it sets last.
_OWN: Final = (OWN_PREFIX, "app.kubernetes.io/managed-by")


def closed_keys(option: str, opened: tuple[str, ...], value: Any, path: str) -> Iterator[FieldViolation]:
    """`opened`: what the operator allows besides, by the option of this name."""
    for key in value if isinstance(value, dict) else ():
        if not _allows((*ALWAYS, *_OWN, *opened), key):
            yield violation(
                f"{path}.{key}", "", f"not open to studies (the operator can: --worker-option {option}={key})"
            )


def _allows(names: tuple[str, ...], key: str) -> bool:
    """A name with a slash at its end stands for all that begin so."""
    return allows(names, key) or any(name.endswith("/") and key.startswith(name) for name in names)
