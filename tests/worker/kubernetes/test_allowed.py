"""What an operator lets a Pod template ask for: the useful passes, the dangerous does not, wherever it stands."""

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
from katib.worker.kubernetes.allowed import check_template
from katib.worker.kubernetes.pods import check_pod, make_pod
from katib.worker.kubernetes.policy import Policy
from tests.worker.kubernetes.test_pods import STUDY, run_of

POLICY = Policy(namespace="katib", csi_drivers=("fast.example",))

CLAIM: Final = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
# As much of a Pod as a study could sensibly want.
USEFUL: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "labels": {"kueue.x-k8s.io/queue-name": "gpus"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "namespace": "katib",
        "creationTimestamp": None,
    },
    "spec": {
        "restartPolicy": "Never",
        "schedulerName": "volcano",
        "priorityClassName": "batch-low",
        "runtimeClassName": "nvidia",
        "shareProcessNamespace": True,
        "hostNetwork": False,
        "hostUsers": False,
        "automountServiceAccountToken": False,
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 60,
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "schedulingGates": [{"name": "example.com/gate"}],
        "securityContext": {
            "runAsUser": 1000,
            "fsGroup": 1000,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "seLinuxOptions": {"level": "s0:c1"},
        },
        "initContainers": [
            {"name": "download", "image": "curl:1", "command": ["curl"]},
            {"name": "log", "image": "log:1", "restartPolicy": "Always"},
        ],
        "containers": [
            {
                "name": "trial",
                "image": "train:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["train"],
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                    {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "c"}}],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
                "lifecycle": {"preStop": {"exec": {"command": ["save"]}}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "privileged": False,
                    "capabilities": {"drop": ["ALL"]},
                    "procMount": "Default",
                },
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
            },
            {"name": "proxy", "image": "proxy:1"},
        ],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
            {"name": "code", "configMap": {"name": "code", "defaultMode": 0o755}},
            {"name": "all", "projected": {"sources": [{"configMap": {"name": "c"}}, {"downwardAPI": {"items": []}}]}},
            {"name": "fast", "csi": {"driver": "fast.example"}},
        ],
    },
}

C = "spec.containers.0"
I = "spec.initContainers.0"  # noqa: E741
V = "spec.volumes.0"
# Where, what, and the option that opens it; empty: nothing does.
DANGEROUS: Final = [
    ("spec.hostNetwork", True, "allow_host_network"),
    ("spec.hostNetwork", "true", "allow_host_network"),
    ("spec.hostPID", True, "allow_host_network"),
    ("spec.hostIPC", True, "allow_host_network"),
    ("spec.hostUsers", True, "allow_privileged"),
    ("spec.nodeName", "control-plane", ""),
    ("spec.ephemeralContainers", [{"name": "debug"}], ""),
    ("spec.restartPolicy", "Always", ""),
    ("spec.priorityClassName", "system-node-critical", ""),
    ("spec.priority", 2_000_000_000, ""),
    ("spec.serviceAccountName", "admin", "service_accounts"),
    ("spec.serviceAccount", "admin", "service_accounts"),
    ("spec.automountServiceAccountToken", True, "service_accounts"),
    ("spec.automountServiceAccountToken", "yes", "service_accounts"),
    ("spec.securityContext.windowsOptions", {"hostProcess": True}, "allow_privileged"),
    ("spec.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}], "allow_privileged"),
    ("spec.securityContext.seccompProfile", {"type": "Unconfined"}, "allow_privileged"),
    ("spec.securityContext.appArmorProfile", {"type": "Unconfined"}, "allow_privileged"),
    ("spec.securityContext.seLinuxOptions", {"type": "spc_t"}, "allow_privileged"),
    ("spec.securityContext.seLinuxOptions", {"role": "sysadm_r"}, "allow_privileged"),
    ("spec.securityContext.procMount", "Unmasked", ""),
    ("metadata.namespace", "kube-system", ""),
    ("metadata.name", "mine", ""),
    ("metadata.generateName", "mine", ""),
    ("metadata.finalizers", ["example.com/never"], ""),
    ("metadata.ownerReferences", [{"kind": "Node"}], ""),
    ("metadata.annotations.container.apparmor.security.beta.kubernetes.io/trial", "unconfined", "allow_privileged"),
    ("metadata.annotations.container.apparmor.security.beta.kubernetes.io/trial", "localhost/x", "allow_privileged"),
    (f"{V}.hostPath", {"path": "/"}, "allow_host_path"),
    (f"{V}.gitRepo", {"repository": "x"}, ""),
    (f"{V}.nfs", {"server": "x", "path": "/"}, ""),
    (f"{V}.iscsi", {}, ""),
    (f"{V}.flexVolume", {"driver": "x"}, ""),
    (f"{V}.secret", {"secretName": "database"}, "secrets"),
    (f"{V}.projected", {"sources": [{"secret": {"name": "database"}}]}, "secrets"),
    (f"{V}.projected", {"sources": [{"serviceAccountToken": {"path": "t"}}]}, "service_accounts"),
    (f"{V}.projected", {"sources": [{"podCertificate": {}}]}, ""),
    (f"{V}.csi", {"driver": "fast.example", "nodePublishSecretRef": {"name": "database"}}, "secrets"),
    (f"{V}.csi", {"driver": "secrets-store.csi.k8s.io"}, "csi_drivers"),
    (
        f"{V}.ephemeral",
        {"volumeClaimTemplate": {"spec": {**CLAIM, "dataSource": {"kind": "PersistentVolumeClaim"}}}},
        "",
    ),
    (f"{V}.ephemeral", {"volumeClaimTemplate": {"spec": {**CLAIM, "dataSourceRef": {"namespace": "katib"}}}}, ""),
    (f"{V}.ephemeral", {"volumeClaimTemplate": {"spec": {**CLAIM, "volumeName": "another's"}}}, ""),
    ("metadata.annotations.iam.amazonaws.com/role", "admin", "annotations"),
    ("metadata.annotations.vault.hashicorp.com/agent-inject", "true", "annotations"),
    ("metadata.annotations.sidecar.istio.io/userVolume", "[]", "annotations"),
    ("metadata.labels.azure.workload.identity/use", "true", "labels"),
    ("metadata.labels.app", "somebody's", "labels"),
    *(
        (f"{container}.{where}", value, option)
        for container in (C, I)
        for where, value, option in (
            ("securityContext", {"privileged": True}, "allow_privileged"),
            ("securityContext", {"privileged": "true"}, "allow_privileged"),
            ("securityContext", {"privileged": 1}, "allow_privileged"),
            ("securityContext", {"privileged": 0}, "allow_privileged"),
            ("securityContext", {"allowPrivilegeEscalation": True}, "allow_privileged"),
            ("securityContext", {"capabilities": {"add": ["SYS_ADMIN"]}}, "allow_privileged"),
            ("securityContext", {"procMount": "Unmasked"}, "allow_privileged"),
            ("securityContext", {"windowsOptions": {"hostProcess": True}}, "allow_privileged"),
            ("securityContext", {"seccompProfile": {"type": "Unconfined"}}, "allow_privileged"),
            ("securityContext", {"appArmorProfile": {"type": "Unconfined"}}, "allow_privileged"),
            ("securityContext", {"seLinuxOptions": {"user": "system_u"}}, "allow_privileged"),
            ("ports", [{"containerPort": 80, "hostPort": 80}], "allow_host_network"),
            ("ports", [{"containerPort": 80, "hostIP": "0.0.0.0"}], "allow_host_network"),
            (
                "volumeMounts",
                [{"name": "v", "mountPath": "/", "mountPropagation": "Bidirectional"}],
                "allow_privileged",
            ),
            ("env", [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "database", "key": "p"}}}], "secrets"),
            ("env", [{"name": "P", "valueFrom": {"secretKeyRef": {"key": "p"}}}], ""),
            ("envFrom", [{"secretRef": {"name": "database"}}], "secrets"),
            ("livenessProbe", {"httpGet": {"host": "169.254.169.254", "port": 80}}, ""),
            ("readinessProbe", {"tcpSocket": {"host": "10.0.0.1", "port": 80}}, ""),
            ("lifecycle", {"postStart": {"httpGet": {"host": "10.0.0.1", "port": 80}}}, ""),
            ("restartPolicyRules", [{"action": "Restart"}], ""),
            ("somethingNew", True, ""),
        )
    ),
    (f"{C}.restartPolicy", "Always", ""),
]
OPEN: Final = {
    "allow_host_network": replace(POLICY, allow_host_network=True),
    "allow_host_path": replace(POLICY, allow_host_path=True),
    "allow_privileged": replace(POLICY, allow_privileged=True),
    "service_accounts": replace(POLICY, service_accounts=("default", "admin")),
    "secrets": replace(POLICY, secrets=("database",)),
    "csi_drivers": replace(POLICY, csi_drivers=("fast.example", "secrets-store.csi.k8s.io")),
    "annotations": replace(
        POLICY, annotations=("iam.amazonaws.com/role", "vault.hashicorp.com/", "sidecar.istio.io/userVolume")
    ),
    "labels": replace(POLICY, labels=("*",)),
}
NAMES: Final = [f"{where}={json.dumps(value)}" for where, value, _ in DANGEROUS]


def with_value(template: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy in which `value` stands there and nothing beside it."""
    changed = copy.deepcopy(template)
    parts = (
        where.split(".", 3)
        if where.startswith(("spec.containers", "spec.init", "spec.volumes"))
        else where.split(".", 2)
    )
    if where.startswith(V):
        changed["spec"]["volumes"][0] = {"name": "v"}
    at: Any = changed
    for part in parts[:-1]:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    at[parts[-1]] = value
    return changed


def refused(template: dict[str, Any], policy: Policy = POLICY) -> list[str]:
    return [f"{v.field}: {v.expected}" for v in check_template(template, policy, "katib", "t")]


def test_what_a_study_could_sensibly_want_is_allowed() -> None:
    assert refused(USEFUL) == []


@pytest.mark.parametrize(("where", "value", "option"), DANGEROUS, ids=NAMES)
def test_what_is_dangerous_is_refused_unless_its_own_option_opens_it(where: str, value: Any, option: str) -> None:
    template = with_value(USEFUL, where, value)
    (found,) = refused(template)
    head = ".".join(p for p in where.split(".")[:2] if not p.isdigit())
    assert found.startswith(f"t.{head}")
    for name, policy in OPEN.items():
        assert (refused(template, policy) == []) == (name == option)
    if option:
        assert f"--worker-option {option}=" in found


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ("spec.nodeSelectr", {}, "a study may not set this (did you mean 'nodeSelector'?)"),
        ("spec.nodeName", "n", "nodes are the scheduler's to choose"),
        (f"{C}.imagePullPolcy", "Always", "did you mean 'imagePullPolicy'?"),
        (f"{V}.hostPath", {"path": "/"}, "--worker-option allow_host_path=true"),
        (f"{C}.env", [{"name": "A", "value": 1}], "expected a text: put it in quotes"),
        ("metadata.labels", {"a": 1}, "expected a text: put it in quotes"),
        ("spec.containers", [], "expected at least one container"),
        ("spec.containers", {}, "expected a list"),
        ("spec.volumes", [None], "expected a mapping"),
        ("metadata", [], "expected a mapping"),
        ("spec", None, "expected the spec of a Pod"),
    ],
)
def test_what_is_refused_is_refused_in_words(where: str, value: Any, expected: str) -> None:
    assert any(expected in line for line in refused(with_value(USEFUL, where, value)))


def test_a_secret_that_is_open_opens_no_other() -> None:
    template = with_value(USEFUL, f"{V}.secret", {"secretName": "other"})
    assert refused(template, OPEN["secrets"]) != []
    assert refused(template, replace(POLICY, secrets=("*",))) == []


def test_a_token_of_an_account_is_for_those_who_may_name_the_account_and_never_for_katib_itself() -> None:
    def asked(account: str, **token: str) -> dict[str, Any]:
        sources = [{"serviceAccountToken": {"path": "t", **token}}]
        template = with_value(USEFUL, f"{V}.projected", {"sources": sources})
        template["spec"]["serviceAccountName"] = account
        return template

    trainer = replace(POLICY, service_accounts=("trainer",))
    assert refused(asked("trainer", audience="vault"), trainer) == []
    for account in ("default", ""):
        (found,) = refused(asked(account, audience="vault"), trainer)
        assert "the service account default is not open to studies" in found
    (found,) = refused(asked("trainer", audience="katib"), trainer)
    assert "expected another audience: a token for Katib itself is for no trial" in found
    assert refused(asked("trainer", audience="katib"), replace(trainer, audience="lab")) == []
    assert refused(asked("trainer", audience="lab"), replace(trainer, audience="lab")) != []


def test_priority_classes_and_pull_secrets_are_what_the_operator_says() -> None:
    listed = replace(POLICY, priority_classes=("batch-low",), pull_secrets=("registry",))
    assert refused(USEFUL, listed) == []
    (found,) = refused(with_value(USEFUL, "spec.priorityClassName", "urgent"), listed)
    assert "--worker-option priority_classes=urgent" in found
    (found,) = refused(with_value(USEFUL, "spec.imagePullSecrets", [{"name": "finance"}]), listed)
    assert "--worker-option pull_secrets=finance" in found
    # The operator's own, which every Pod gets.
    own = replace(POLICY, pull_secrets=(), pull_secret="registry")
    assert refused(USEFUL, own) == []
    closed = check_pod(replace(STUDY, pull_secret="finance", pod=PodSettings(labels={"app": "x"})), listed)
    assert [v.field for v in closed] == ["pull_secret", "pod.labels.app"]


def test_a_parameters_value_cannot_become_what_is_closed() -> None:
    """Where everything under a name is open at creation and closed when the trial starts, too."""
    for where, value in (
        ("spec.serviceAccountName", "${trialParameters.kind}"),
        (f"{V}.secret", {"secretName": "${trialParameters.kind}"}),
        ("metadata.namespace", "${trialParameters.kind}"),
        ("spec.priorityClassName", "${trialParameters.kind}"),
    ):
        template = with_value(USEFUL, where, value)
        opened = replace(POLICY, service_accounts=("${trialParameters.kind}",), secrets=("${trialParameters.kind}",))
        run = run_of(
            replace(STUDY, pod=PodSettings(template=json.dumps(template))), ("kind=system-node-critical", "--lr=1")
        )
        for policy in (POLICY, opened):
            with pytest.raises(InvalidArgumentError):
                make_pod(run, policy)


# Any template whatever: what the check lets through is harmless by a look that knows nothing of the check.

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
