"""What an operator lets the Pod template of a study ask for. Pure.

This is a list of what is allowed: a field that it does not know is refused, so what a later Kubernetes adds does nothing until
somebody has thought about it.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from katib.domain.errors import FieldViolation, violation
from katib.worker.kubernetes.keys import closed_keys
from katib.worker.kubernetes.policy import Policy, allows
from katib.worker.kubernetes.shapes import (
    Check,
    amount,
    anything,
    fields,
    items,
    mapping,
    mapping_of,
    only,
    text,
    texts,
)

_SYSTEM_PRIORITY: Final = "system-"
_DEFAULT_ACCOUNT: Final = "default"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP: Final = ("seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/")

_FALSE: Final = (False,)


def check_template(template: Mapping[str, Any], policy: Policy, namespace: str, path: str) -> list[FieldViolation]:
    """What of a template this operator does not let a study have; also for a whole Pod."""
    return list(_Rules(policy, namespace).template(template, path))


def check_labels(labels: Any, policy: Policy, path: str) -> list[FieldViolation]:
    return list(_Rules(policy, "").labels(labels, path))


def check_annotations(annotations: Any, policy: Policy, path: str) -> list[FieldViolation]:
    return list(_Rules(policy, "").annotations(annotations, path))


def check_pull_secret(name: str, policy: Policy, path: str) -> list[FieldViolation]:
    return list(_Rules(policy, "").pull_secret(name, path))


def _closed(option: str) -> str:
    return f"not allowed here (the operator can: --worker-option {option}=true)"


class _Rules:
    """One check for each part of a Pod."""

    def __init__(self, policy: Policy, namespace: str) -> None:
        self._policy = policy
        self._namespace = namespace
        self._account = ""

    def _unless(self, allowed: bool, option: str, harmless: tuple[object, ...]) -> Check:
        """Only these values, unless the operator has allowed all of them."""
        if allowed:
            return anything
        return partial(only, harmless, _closed(option))

    def _unless_privileged(self, *harmless: object) -> Check:
        return self._unless(self._policy.allow_privileged, "allow_privileged", harmless)

    def _secret(self, value: Any, path: str) -> Iterator[FieldViolation]:
        if not isinstance(value, str) or not allows(self._policy.secrets, value):
            option = f"--worker-option secrets={value if isinstance(value, str) else 'NAME'}"
            yield violation(path, value, f"this Secret is not open to studies (the operator can: {option})")

    def _secret_ref(self, value: Any, path: str) -> Iterator[FieldViolation]:
        yield from mapping({**fields("key optional"), "name": self._secret}, value, path)
        # Without a name it would be nobody's Secret; what that means is Kubernetes' to decide.
        if isinstance(value, dict) and not value.get("name"):
            yield violation(f"{path}.name", "", "expected the name of a Secret")

    # The parts

    def template(self, value: Mapping[str, Any], path: str) -> Iterator[FieldViolation]:
        known = {**fields("apiVersion kind"), "metadata": self._metadata, "spec": self._spec}
        yield from mapping(known, value, path)
        if value.get("spec") is None:
            yield violation(f"{path}.spec", "", "expected the spec of a Pod")

    def _metadata(self, value: Any, path: str) -> Iterator[FieldViolation]:
        here = partial(only, (self._namespace,), f"expected {self._namespace}; name another one as pod.namespace")
        known: dict[str, Check] = {"labels": self.labels, "annotations": self.annotations, "namespace": here}
        why = dict.fromkeys(("name", "generateName"), "Katib names its Pods itself")
        yield from mapping(known, value, path, why)

    def labels(self, value: Any, path: str) -> Iterator[FieldViolation]:
        yield from texts(value, path)
        yield from closed_keys("labels", self._policy.labels, value, path)

    def annotations(self, value: Any, path: str) -> Iterator[FieldViolation]:
        yield from texts(value, path)
        if not isinstance(value, dict):
            return
        profiles = {key: named for key, named in value.items() if key.startswith((_APPARMOR, *_SECCOMP))}
        for key, named in profiles.items():
            if not self._policy.allow_privileged and named not in ("runtime/default", "docker/default"):
                yield violation(
                    f"{path}.{key}",
                    named,
                    f"expected runtime/default; anything else is {_closed('allow_privileged')}",
                )
        others = {key: other for key, other in value.items() if key not in profiles}
        yield from closed_keys("annotations", self._policy.annotations, others, path)

    def _spec(self, value: Any, path: str) -> Iterator[FieldViolation]:
        host = self._unless(self._policy.allow_host_network, "allow_host_network", _FALSE)
        known: dict[str, Check] = {
            **fields(
                "activeDeadlineSeconds affinity dnsConfig dnsPolicy enableServiceLinks hostAliases hostname"
                " os preemptionPolicy readinessGates resourceClaims"
                " runtimeClassName schedulerName schedulingGates schedulingGroup setHostnameAsFQDN shareProcessNamespace"
                " subdomain terminationGracePeriodSeconds topologySpreadConstraints"
            ),
            "imagePullSecrets": partial(items, partial(mapping, {"name": self.pull_secret})),
            "nodeSelector": texts,
            "resources": self._resources,
            "tolerations": partial(items, anything),
            "automountServiceAccountToken": anything,  # looked at together with the account
            "serviceAccount": self._account_name,
            "serviceAccountName": self._account_name,
            "containers": partial(items, self._container),
            "initContainers": partial(items, self._init_container),
            "hostNetwork": host,
            "hostPID": host,
            "hostIPC": host,
            "hostUsers": self._unless_privileged(*_FALSE),
            "priorityClassName": self._priority,
            "restartPolicy": partial(only, ("Never",), "expected Never: Katib itself tries again (retry_limit)"),
            "securityContext": self._pod_security,
            "volumes": partial(items, self._volume),
        }
        why = {"nodeName": "nodes are the scheduler's to choose: use nodeSelector or affinity"}
        if isinstance(value, dict):
            self._account = str(value.get("serviceAccountName") or value.get("serviceAccount") or _DEFAULT_ACCOUNT)
        yield from mapping(known, value, path, why)
        if not isinstance(value, dict):
            return
        if not isinstance(value.get("containers"), list) or not value["containers"]:
            yield violation(f"{path}.containers", "", "expected at least one container")
        token = value.get("automountServiceAccountToken")
        if token not in (None, False) and not allows(self._policy.service_accounts, self._account):
            yield violation(f"{path}.automountServiceAccountToken", token, self._closed(self._account))

    def _account_name(self, value: Any, path: str) -> Iterator[FieldViolation]:
        # The default account without its token is no more than none.
        if value not in ("", _DEFAULT_ACCOUNT) and not (
            isinstance(value, str) and allows(self._policy.service_accounts, value)
        ):
            yield violation(path, value, self._closed(str(value)))

    def _closed(self, account: str) -> str:
        option = f"--worker-option service_accounts={account}"
        return f"the service account {account} is not open to studies (the operator can: {option})"

    def _priority(self, value: Any, path: str) -> Iterator[FieldViolation]:
        if not isinstance(value, str) or value.startswith(_SYSTEM_PRIORITY):
            yield violation(path, value, "expected a priority class of users, not one of the system's")
        elif not allows(self._policy.priority_classes, value):
            option = f"--worker-option priority_classes={value}"
            yield violation(path, value, f"not open to studies (the operator can: {option})")

    def pull_secret(self, value: Any, path: str) -> Iterator[FieldViolation]:
        if value == self._policy.pull_secret:
            return  # everybody's
        if not isinstance(value, str) or not allows(self._policy.pull_secrets, value):
            option = f"--worker-option pull_secrets={value if isinstance(value, str) else 'NAME'}"
            yield violation(path, value, f"not open to studies (the operator can: {option})")

    def _init_container(self, value: Any, path: str) -> Iterator[FieldViolation]:
        yield from self._container(value, path, restart=("Always", "Never"))

    def _container(self, value: Any, path: str, restart: tuple[str, ...] = ()) -> Iterator[FieldViolation]:
        known: dict[str, Check] = {
            **fields(
                "args command imagePullPolicy resizePolicy stdin stdinOnce terminationMessagePath"
                " terminationMessagePolicy tty volumeDevices workingDir"
            ),
            "name": text,
            "image": text,
            "resources": self._resources,
            "env": partial(items, self._variable),
            "envFrom": partial(items, self._variables),
            "lifecycle": self._lifecycle,
            "livenessProbe": self._probe,
            "ports": partial(items, self._port),
            "readinessProbe": self._probe,
            "startupProbe": self._probe,
            "securityContext": self._security,
            "volumeMounts": partial(items, self._mount),
        }
        if restart:
            known["restartPolicy"] = partial(only, restart, f"expected {' or '.join(restart)}")
        yield from mapping(known, value, path)

    def _resources(self, value: Any, path: str) -> Iterator[FieldViolation]:
        claim: dict[str, Check] = {"name": text, "request": text}
        known: dict[str, Check] = {**self._amounts(), "claims": partial(items, partial(mapping, claim))}
        yield from mapping(known, value, path)

    def _amounts(self) -> dict[str, Check]:
        return dict.fromkeys(("requests", "limits"), partial(mapping_of, amount))

    def _variable(self, value: Any, path: str) -> Iterator[FieldViolation]:
        source: dict[str, Check] = {
            **fields("configMapKeyRef fieldRef fileKeyRef resourceFieldRef"),
            "secretKeyRef": self._secret_ref,
        }
        known: dict[str, Check] = {"name": text, "value": text, "valueFrom": partial(mapping, source)}
        yield from mapping(known, value, path)

    def _variables(self, value: Any, path: str) -> Iterator[FieldViolation]:
        yield from mapping({**fields("configMapRef prefix"), "secretRef": self._secret_ref}, value, path)

    def _lifecycle(self, value: Any, path: str) -> Iterator[FieldViolation]:
        handler = partial(mapping, {**fields("exec sleep"), **self._requests()})
        yield from mapping({**fields("stopSignal"), "postStart": handler, "preStop": handler}, value, path)

    def _probe(self, value: Any, path: str) -> Iterator[FieldViolation]:
        known = {
            **fields(
                "exec failureThreshold grpc initialDelaySeconds periodSeconds successThreshold"
                " terminationGracePeriodSeconds timeoutSeconds"
            ),
            **self._requests(),
        }
        yield from mapping(known, value, path)

    def _requests(self) -> dict[str, Check]:
        """The node asks, from its own network: never anybody but the Pod."""
        why = {"host": "the node asks the Pod itself; leave it out"}
        return {
            "httpGet": partial(mapping, fields("httpHeaders path port scheme"), why=why),
            "tcpSocket": partial(mapping, fields("port"), why=why),
        }

    def _port(self, value: Any, path: str) -> Iterator[FieldViolation]:
        host = partial(self._unless, self._policy.allow_host_network, "allow_host_network")
        known = {**fields("containerPort name protocol"), "hostPort": host((0,)), "hostIP": host(("",))}
        yield from mapping(known, value, path)

    def _mount(self, value: Any, path: str) -> Iterator[FieldViolation]:
        known = {
            **fields("mountPath name readOnly recursiveReadOnly subPath subPathExpr"),
            "mountPropagation": self._unless_privileged("None", "HostToContainer"),
        }
        yield from mapping(known, value, path)

    # Security contexts: what Kubernetes' own "baseline" lets everybody have, without added capabilities

    def _security(self, value: Any, path: str) -> Iterator[FieldViolation]:
        known: dict[str, Check] = {
            **self._security_of_both(),
            **fields("readOnlyRootFilesystem"),
            "allowPrivilegeEscalation": self._unless_privileged(*_FALSE),
            "capabilities": partial(mapping, {**fields("drop"), "add": self._unless_privileged([])}),
            "privileged": self._unless_privileged(*_FALSE),
            "procMount": self._unless_privileged("Default", ""),
        }
        yield from mapping(known, value, path)

    def _pod_security(self, value: Any, path: str) -> Iterator[FieldViolation]:
        known: dict[str, Check] = {
            **self._security_of_both(),
            **fields("fsGroup fsGroupChangePolicy seLinuxChangePolicy supplementalGroups supplementalGroupsPolicy"),
            "sysctls": self._unless_privileged([]),
        }
        yield from mapping(known, value, path)

    def _security_of_both(self) -> dict[str, Check]:
        profile: dict[str, Check] = {
            **fields("localhostProfile"),
            "type": self._unless_privileged("RuntimeDefault", "Localhost"),
        }
        linux: dict[str, Check] = {
            **fields("level"),
            "type": self._unless_privileged("", "container_t", "container_init_t", "container_kvm_t"),
            "user": self._unless_privileged(""),
            "role": self._unless_privileged(""),
        }
        windows: dict[str, Check] = {
            **fields("runAsUserName gmsaCredentialSpecName"),
            "gmsaCredentialSpec": self._unless_privileged(""),
            "hostProcess": self._unless_privileged(*_FALSE),
        }
        return {
            **fields("runAsGroup runAsNonRoot runAsUser"),
            "appArmorProfile": partial(mapping, profile),
            "seccompProfile": partial(mapping, profile),
            "seLinuxOptions": partial(mapping, linux),
            "windowsOptions": partial(mapping, windows),
        }

    # Volumes

    def _volume(self, value: Any, path: str) -> Iterator[FieldViolation]:
        secret: dict[str, Check] = {**fields("defaultMode items optional"), "secretName": self._secret}
        csi: dict[str, Check] = {
            **fields("fsType readOnly volumeAttributes"),
            "driver": self._driver,
            "nodePublishSecretRef": self._secret_ref,
        }
        known: dict[str, Check] = {
            **fields("name configMap downwardAPI emptyDir image persistentVolumeClaim"),
            "ephemeral": partial(mapping, {"volumeClaimTemplate": self._claim}),
            "csi": partial(mapping, csi),
            "projected": partial(mapping, {**fields("defaultMode"), "sources": partial(items, self._source)}),
            "secret": partial(mapping, secret),
        }
        why = {}
        if self._policy.allow_host_path:
            known["hostPath"] = anything
        else:
            why["hostPath"] = f"{_closed('allow_host_path')}; use a claim"
        yield from mapping(known, value, path, why)

    def _source(self, value: Any, path: str) -> Iterator[FieldViolation]:
        secret: dict[str, Check] = {**fields("items optional"), "name": self._secret}
        known: dict[str, Check] = {
            **fields("clusterTrustBundle configMap downwardAPI"),
            "secret": partial(mapping, secret),
        }
        why = {}
        if allows(self._policy.service_accounts, self._account):
            known["serviceAccountToken"] = partial(
                mapping, {**fields("expirationSeconds path"), "audience": self._audience}
            )
        else:
            why["serviceAccountToken"] = self._closed(self._account)
        yield from mapping(known, value, path, why)

    def _audience(self, value: Any, path: str) -> Iterator[FieldViolation]:
        if not isinstance(value, str) or value == self._policy.audience:
            yield violation(path, value, "expected another audience: a token for Katib itself is for no trial")

    def _driver(self, value: Any, path: str) -> Iterator[FieldViolation]:
        """Such a volume is whatever its driver makes of it: a Secret of another store, a certificate for any name."""
        if not isinstance(value, str) or not allows(self._policy.csi_drivers, value):
            option = f"--worker-option csi_drivers={value if isinstance(value, str) else 'NAME'}"
            yield violation(path, value, f"this driver is not open to studies (the operator can: {option})")

    def _claim(self, value: Any, path: str) -> Iterator[FieldViolation]:
        """An empty volume for this Pod: not a copy of another one, nor another one itself."""
        spec: dict[str, Check] = {
            **dict.fromkeys(("storageClassName", "volumeAttributesClassName", "volumeMode"), text),
            "accessModes": partial(items, text),
            "resources": partial(mapping, self._amounts()),
        }
        why = dict.fromkeys(
            ("dataSource", "dataSourceRef", "selector", "volumeName"), "a volume of the Pod's own begins empty"
        )
        metadata: dict[str, Check] = {"labels": self.labels, "annotations": self.annotations}
        known: dict[str, Check] = {
            "metadata": partial(mapping, metadata),
            "spec": partial(mapping, spec, why=why),
        }
        yield from mapping(known, value, path)
