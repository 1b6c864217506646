"""Any template whatever: what the check lets through is harmless by a look that knows nothing of the check."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.pod import PodSettings
from katib.worker.kubernetes.pods import make_pod
from tests.worker.kubernetes.pods import STUDY, run_of
from tests.worker.kubernetes.templates import DANGEROUS, POLICY, USEFUL, refused, with_value

KEYS: Final = st.sampled_from(
    sorted(
        {part for where, _, _ in DANGEROUS for part in where.split(".") if not part.isdigit() and part != "io/trial"}
        | {
            "name",
            "image",
            "command",
            "emptyDir",
            "hostPath",
            "privileged",
            "hostProcess",
            "add",
            "secretName",
            "sources",
        }
        | {"value", "valueFrom", "secretKeyRef", "secretRef", "capabilities", "windowsOptions", "type", "hostPort"}
    )
)
LEAVES: Final = st.sampled_from(
    [True, False, None, 0, 1, "", "true", "trial", "katib", "default", "admin", "database", "Always", "Never",
     "Unconfined", "RuntimeDefault", "Unmasked", "Bidirectional", "kube-system", "/", "ALL"]
)  # fmt: skip
TREES: Final = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
# What a study may write there names nothing on the node, and Kubernetes drops what it does not know.
FREE: Final = {
    "nodeSelector", "requests", "limits",
    "affinity", "topologySpreadConstraints", "tolerations", "imagePullSecrets", "schedulingGates", "emptyDir",
    "configMap", "downwardAPI", "persistentVolumeClaim", "configMapKeyRef", "fieldRef",
    "exec", "restartPolicy", "command", "name", "image", "imagePullPolicy",
    "containerPort", "runtimeClassName", "schedulerName", "shareProcessNamespace", "terminationGracePeriodSeconds", "runAsUser",
    "fsGroup", "runAsNonRoot", "level", "drop", "readOnlyRootFilesystem", "driver",
    "path", "port", "mountPath", "configMapRef", "defaultMode",
}  # fmt: skip
PLACED: Final = st.lists(st.sampled_from(DANGEROUS), min_size=1, max_size=3)


def dangers(value: Any, key: str = "") -> Iterator[str]:
    """By the name of the field alone, wherever it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner is None or name in FREE:
                continue
            if name in ("hostPath", "gitRepo", "nfs", "iscsi", "ephemeralContainers", "nodeName", "secretKeyRef"):
                yield name
            if name in ("dataSource", "dataSourceRef", "volumeName"):
                yield name
            if name in ("secretRef", "serviceAccountToken", "ownerReferences", "finalizers", "secretName"):
                yield name
            if name in ("hostNetwork", "hostPID", "hostIPC", "privileged", "allowPrivilegeEscalation", "hostUsers"):
                yield from [] if inner is False else [name]
            if name in ("hostProcess", "hostPort", "automountServiceAccountToken") and inner not in (False, 0):
                yield name
            if name in ("serviceAccount", "serviceAccountName") and inner not in ("", "default"):
                yield name
            if name == "capabilities" and isinstance(inner, dict) and inner.get("add"):
                yield name
            if name == "mountPropagation" and inner == "Bidirectional":
                yield name
            yield from dangers(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from dangers(inner, key)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


def changed_at(template: dict[str, Any], path: tuple[str | int, ...], key: str, tree: Any) -> dict[str, Any]:
    """Something else stands there, or beside what stands there."""
    found = copy.deepcopy(template)
    at: Any = found["spec"]
    for part in path[:-1]:
        at = at[part]
    inner = at[path[-1]]
    at[path[-1]] = (
        {**inner, key: tree} if isinstance(inner, dict) else [*inner, tree] if isinstance(inner, list) else tree
    )
    return found


@given(st.sampled_from(sorted(filter(None, paths(USEFUL["spec"])), key=str)), KEYS, TREES)
def test_no_template_that_passes_holds_anything_dangerous(path: tuple[str | int, ...], key: str, tree: Any) -> None:
    template = changed_at(USEFUL, path, key, tree)
    event("is refused" if refused(template) else "is allowed")
    if not refused(template):
        assert list(dangers(template)) == []
        run = run_of(replace(STUDY, pod=PodSettings(template=json.dumps(template))))
        assert list(dangers(make_pod(run, POLICY)["spec"])) == []


@given(PLACED)
def test_one_dangerous_thing_is_not_hidden_by_another(placed: list[tuple[str, Any, str]]) -> None:
    template = USEFUL
    for where, value, _ in placed:
        template = with_value(template, where, value)
    assert refused(template) != []
    run = run_of(replace(STUDY, pod=PodSettings(template=json.dumps(template))))
    with pytest.raises(InvalidArgumentError):
        make_pod(run, POLICY)
