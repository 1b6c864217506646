"""The Pod of a run, as JSON. Pure: nothing here speaks to a cluster."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from katib.domain.errors import FieldViolation, InvalidArgumentError, violation
from katib.domain.pod import (
    NAME_EXPECTED,
    OWN_PREFIX,
    Toleration,
    is_extended,
    is_object_name,
    is_own_variable,
    parse_template,
)
from katib.domain.study import StudySpec
from katib.worker.base import STOP_GRACE_S, RunSpec
from katib.worker.kubernetes.allowed import check_annotations, check_labels, check_pull_secret, check_template
from katib.worker.kubernetes.metric_files import check_metric_files, pod_path
from katib.worker.kubernetes.models import model_folder
from katib.worker.kubernetes.policy import Policy, allows
from katib.worker.kubernetes.template import (
    ANNOTATION_CONTAINER,
    TRIAL_CONTAINER,
    check_references,
    substitute,
    trial_index,
    trial_name,
    used_parameters,
)

LABEL_STUDY: Final = f"{OWN_PREFIX}study"
LABEL_TRIAL: Final = f"{OWN_PREFIX}trial"
LABEL_ATTEMPT: Final = f"{OWN_PREFIX}attempt"
LABEL_INSTALLATION: Final = f"{OWN_PREFIX}installation"
LABEL_OWNER: Final = f"{OWN_PREFIX}owner"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "katib"
ANNOTATION_STUDY_NAME: Final = f"{OWN_PREFIX}study-name"
# Whose it is, as the label of this name says too, which somebody may change.
ANNOTATION_INSTALLATION: Final = LABEL_INSTALLATION
# Of the template that says how long a Pod may run, were its manager never to come back: what the manager may do late.
DEADLINE_SLACK: Final = timedelta(minutes=10)

_MOUNT: Final = "katib-mount"
_STUDY_ID: Final = "{{STUDY_ID}}"
_TRIAL_ID: Final = "{{TRIAL_ID}}"
# What `${trialSpec.NAME}` may name, in lower case; `name` is what Katib's successors call the trial's id.
_SPEC_NAMES: Final = frozenset({"name", "namespace", "trialid", "studyid", "studyname", "attempt"})
_MAX_LABEL: Final = 63
_MAX_DEADLINE: Final = 2**31 - 1
_NOT_IN_LABELS: Final = re.compile(r"[^-A-Za-z0-9_.]+")


def make_pod(run: RunSpec, policy: Policy) -> dict[str, Any]:
    """The Pod of a run, in the namespace of its study.

    Raises InvalidArgumentError for a study that this policy does not let run: it may have changed since the study was
    created, and a parameter's value may have become a part of the template.
    """
    spec = run.study
    namespace = policy.namespace_of(spec)
    template = _filled(run, policy, namespace) if spec.pod.template else _plain()
    metadata = template.get("metadata") or {}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": run.name,
            "namespace": namespace,
            "labels": {**(metadata.get("labels") or {}), **spec.pod.labels, **_own_labels(run, policy)},
            "annotations": {
                **(metadata.get("annotations") or {}),
                **spec.pod.annotations,
                ANNOTATION_STUDY_NAME: spec.name,
                ANNOTATION_INSTALLATION: policy.installation,
            },
        },
        "spec": template["spec"],
    }
    _complete(pod["spec"], spec, policy)
    containers = pod["spec"]["containers"]
    _complete_container(containers[trial_index(containers)], run, policy)
    pod["metadata"]["annotations"][ANNOTATION_CONTAINER] = trial_container(pod)
    # The name is Katib's own here.
    checked = {"metadata": {**pod["metadata"], "name": None}, "spec": pod["spec"]}
    found = check_template(checked, policy, namespace, "pod")
    if not policy.allows_namespace(namespace):
        found.append(_closed_namespace(namespace))
    if found:
        raise InvalidArgumentError(found)
    return pod


def check_pod(spec: StudySpec, policy: Policy) -> Sequence[FieldViolation]:
    """What of a study cannot run as Pods here; fields are paths below `study_config`. `check_study` has accepted it."""
    if spec.client_driven:
        return []
    pod = spec.pod
    namespace = policy.namespace_of(spec)
    found: list[FieldViolation] = []
    if pod.namespace and not policy.allows_namespace(pod.namespace):
        found.append(_closed_namespace(pod.namespace))
    if pod.service_account and not allows((*policy.service_accounts, "default"), pod.service_account):
        expected = f"not open to studies (the operator can: --worker-option service_accounts={pod.service_account})"
        found.append(violation("pod.service_account", pod.service_account, expected))
    for name, text in (("scheduler", spec.scheduler), ("pull_secret", spec.pull_secret)):
        if text and not is_object_name(text):
            found.append(violation(name, text, NAME_EXPECTED))
    if spec.mount is not None and spec.mount.pvc:
        if not is_object_name(spec.mount.pvc):
            found.append(violation("mount.pvc", spec.mount.pvc, NAME_EXPECTED))
        if not spec.mount.path.startswith("/") or ":" in spec.mount.path:
            found.append(violation("mount.path", spec.mount.path, "expected an absolute path without ':'"))
    if spec.working_dir and not spec.working_dir.startswith("/"):
        found.append(violation("working_dir", spec.working_dir, "expected an absolute path"))
    wanted = pod.limits.get(policy.gpu_resource, pod.requests.get(policy.gpu_resource))
    if spec.gpu and wanted is not None and wanted != str(spec.gpu):
        found.append(
            violation("gpu", spec.gpu, f"expected {wanted}, as pod says of {policy.gpu_resource}, or leave it out")
        )
    found += check_metric_files(spec, policy.mount_root)
    if spec.pull_secret:
        found += check_pull_secret(spec.pull_secret, policy, "pull_secret")
    found += check_labels(dict(pod.labels), policy, "pod.labels")
    found += check_annotations(dict(pod.annotations), policy, "pod.annotations")
    if pod.template:
        found += _check_template(spec, policy, namespace)
    elif not spec.image:
        found.append(violation("image", "", "expected the image that a trial runs in"))
    return found


def trial_container(pod: Mapping[str, Any]) -> str:
    """The name of the container whose end is the trial's end and whose log is its output."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return trial_name(annotations, (pod.get("spec") or {}).get("containers") or [])


def label_value(text: str) -> str:
    """`text` as the value of a label: itself where it is one, else something like it that no other text becomes."""
    fit = _NOT_IN_LABELS.sub("-", text).strip("-_.")
    if fit == text and len(text) <= _MAX_LABEL:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{fit[: _MAX_LABEL - len(digest) - 1]}-{digest}" if fit else digest


def _closed_namespace(namespace: str) -> FieldViolation:
    expected = f"not open to studies (the operator can: --worker-option namespaces={namespace})"
    return violation("pod.namespace", namespace, expected)


def _check_template(spec: StudySpec, policy: Policy, namespace: str) -> list[FieldViolation]:
    path = "pod.template"
    template = parse_template(spec.pod.template)
    found = check_template(template, policy, namespace, path)
    if found:
        return found
    names = frozenset(p.name for p in spec.parameters)
    found += check_references(template, names, _SPEC_NAMES, path)
    containers = template["spec"]["containers"]
    at = trial_index(containers)
    if not spec.image and not containers[at].get("image"):
        found.append(violation(f"{path}.spec.containers[{at}].image", "", "expected the image that a trial runs in"))
    if not spec.command:
        # Otherwise every trial would do the same.
        found += [
            violation(path, "", f"expected ${{trialParameters.{name}}} somewhere in it, or a command for the study")
            for name in sorted(names - used_parameters(template))
        ]
    mount = spec.mount
    mounts = containers[at].get("volumeMounts") or []
    if mount is not None and mount.pvc and any(m.get("mountPath") == mount.path for m in mounts):
        found.append(violation("mount.path", mount.path, "something is mounted there in the template already"))
    return found


def _plain() -> dict[str, Any]:
    """What a study without a template has for one."""
    return {
        "spec": {
            "containers": [{"name": TRIAL_CONTAINER, "securityContext": {"allowPrivilegeEscalation": False}}],
        }
    }


def _filled(run: RunSpec, policy: Policy, namespace: str) -> dict[str, Any]:
    template = parse_template(run.study.pod.template)
    parameters = dict(argument.split("=", 1) for argument in run.arguments if "=" in argument)
    specs = {
        "name": run.trial_id,
        "namespace": namespace,
        "trialid": run.trial_id,
        "studyid": run.study_id,
        "studyname": run.study.name,
        "attempt": str(run.attempt),
    }
    filled: dict[str, Any] = substitute(template, parameters, specs, {_STUDY_ID: run.study_id, _TRIAL_ID: run.trial_id})
    found = check_template(filled, policy, namespace, "pod.template")
    if found:
        raise InvalidArgumentError(found)
    return filled


def _own_labels(run: RunSpec, policy: Policy) -> dict[str, str]:
    owner = run.study.owner
    return {
        LABEL_STUDY: run.study_id,
        LABEL_TRIAL: run.trial_id,
        LABEL_ATTEMPT: str(run.attempt),
        LABEL_INSTALLATION: policy.installation,
        LABEL_MANAGED_BY: MANAGED_BY,
        **({LABEL_OWNER: label_value(owner)} if owner else {}),
    }


def _complete(pod: dict[str, Any], spec: StudySpec, policy: Policy) -> None:
    """Adds what the study and the operator say to a Pod's spec, but for the trial's container; what the study's own fields say
    wins over its template, there as here."""
    settings = spec.pod
    pod["restartPolicy"] = "Never"
    # Hundreds of variables with the Services of the namespace, KATIB_MANAGER_PORT among them.
    pod.setdefault("enableServiceLinks", False)
    pod.setdefault("terminationGracePeriodSeconds", int(STOP_GRACE_S))
    if settings.service_account:
        pod.pop("serviceAccount", None)
        pod["serviceAccountName"] = settings.service_account
    named = pod.get("serviceAccountName") or pod.get("serviceAccount")
    if not named or not allows(policy.service_accounts, named):
        pod.setdefault("automountServiceAccountToken", False)
    scheduler = spec.scheduler or ("" if pod.get("schedulerName") else policy.scheduler)
    if scheduler:
        pod["schedulerName"] = scheduler
    secret = spec.pull_secret or policy.pull_secret
    if secret and {"name": secret} not in (pod.get("imagePullSecrets") or []):
        pod["imagePullSecrets"] = [*(pod.get("imagePullSecrets") or []), {"name": secret}]
    if settings.node_selector:
        pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), **settings.node_selector}
    if settings.tolerations:
        pod["tolerations"] = [*(pod.get("tolerations") or []), *map(_toleration, settings.tolerations)]
    if spec.mount is not None and spec.mount.pvc:
        volume = {"name": _MOUNT, "persistentVolumeClaim": {"claimName": spec.mount.pvc}}
        pod["volumes"] = [*(pod.get("volumes") or []), volume]
    _set_deadline(pod, spec, policy)


def _complete_container(container: dict[str, Any], run: RunSpec, policy: Policy) -> None:
    spec = run.study
    container.setdefault("name", TRIAL_CONTAINER)
    if spec.image:
        container["image"] = spec.image
    if not container.get("image"):
        raise InvalidArgumentError.of("image", "", "expected the image that a trial runs in")
    _set_command(container, run)
    if spec.working_dir:
        container["workingDir"] = spec.working_dir
    container["env"] = _environment(container, run)
    _set_resources(container, spec, policy)
    if spec.mount is not None and spec.mount.pvc:
        mount = {"name": _MOUNT, "mountPath": spec.mount.path}
        container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _set_deadline(pod: dict[str, Any], spec: StudySpec, policy: Policy) -> None:
    """Time-outs are the manager's to keep; but a Pod ends even when no manager ever comes back. It counts from when its node
    has taken it, so what a Pod may wait for there comes on top: each init container gets the time to start anew."""
    timeout = spec.limits.trial_timeout
    if timeout is None:
        return
    starts = 1 + len(pod.get("initContainers") or [])
    waiting = spec.pod.start_timeout or starts * policy.waits.start + policy.waits.sandbox
    whole = timeout + waiting + DEADLINE_SLACK
    seconds = min(int(whole.total_seconds()) + 1, _MAX_DEADLINE)
    own = pod.get("activeDeadlineSeconds")
    pod["activeDeadlineSeconds"] = min(seconds, own) if isinstance(own, int) else seconds


def _set_command(container: dict[str, Any], run: RunSpec) -> None:
    """The command as it stands, then the parameters. Without one, the parameters follow the image's own entry point, or what
    a template has for them."""
    arguments = [_literal(argument) for argument in run.arguments]
    if run.command:
        words = [w.replace(_STUDY_ID, run.study_id).replace(_TRIAL_ID, run.trial_id) for w in run.command]
        container["command"] = [_literal(word) for word in words]
        container["args"] = arguments
    elif not run.study.pod.template:
        container["args"] = arguments


def _environment(container: Mapping[str, Any], run: RunSpec) -> list[dict[str, Any]]:
    """Those of the template first, in their order, which counts among them; each name once."""
    own = {
        **{n: v for n, v in run.study.pod.environment.items() if not is_own_variable(n)},
        **run.environment,
        "STUDY_ID": run.study_id,
        "TRIAL_ID": run.trial_id,
        "KATIB_ATTEMPT": str(run.attempt),
    }
    if model := model_folder(run.study, run.study_id, run.trial_id):
        own["KATIB_MODEL_DIR"] = model
    if metrics := pod_path(run.study, run.study_id, run.name):
        own["KATIB_METRICS_PATH"] = metrics
    template = [v for v in container.get("env") or [] if not isinstance(v, dict) or v.get("name") not in own]
    named = {v.get("name") for v in template if isinstance(v, dict)}
    # What a trial prints is read while it runs.
    buffered = {} if "PYTHONUNBUFFERED" in own or "PYTHONUNBUFFERED" in named else {"PYTHONUNBUFFERED": "1"}
    return [*template, *({"name": n, "value": _literal(v)} for n, v in {**buffered, **own}.items())]


def _set_resources(container: dict[str, Any], spec: StudySpec, policy: Policy) -> None:
    resources = container.get("resources") or {}
    requests = {**(resources.get("requests") or {}), **spec.pod.requests}
    limits = {**(resources.get("limits") or {}), **spec.pod.limits}
    if spec.gpu:
        requests[policy.gpu_resource] = limits[policy.gpu_resource] = str(spec.gpu)
    said = frozenset(requests) | frozenset(limits)
    requests = {**{name: amount for name, amount in policy.requests.items() if name not in said}, **requests}
    limits = {**{name: amount for name, amount in policy.limits.items() if name not in said}, **limits}
    for name in said:
        if is_extended(name):
            amount = limits[name] if name in limits else requests[name]
            requests[name] = limits[name] = amount
    if requests or limits:
        container["resources"] = {
            **resources,
            **({"requests": requests} if requests else {}),
            **({"limits": limits} if limits else {}),
        }


def _toleration(toleration: Toleration) -> dict[str, object]:
    fields: dict[str, object] = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    found = {name: value for name, value in fields.items() if value}
    if toleration.seconds is not None:
        found["tolerationSeconds"] = toleration.seconds
    return found


def _literal(text: str) -> str:
    """`text` as Kubernetes gives it to a program unchanged: it would put variables in the place of `$(NAME)`."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text
