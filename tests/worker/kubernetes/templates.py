"""Pod templates: what a study could want of one, and what an operator does not let it have."""

import copy
import json
from dataclasses import replace
from typing import Any, Final

from katib.worker.kubernetes.allowed import check_template
from katib.worker.kubernetes.policy import Policy

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
