"""What a study says of the Pods of its trials, and the checks that need no cluster.

A worker without Pods uses `environment` and passes over the rest, so one study file runs on a laptop and on a cluster.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from katib.domain.checks import check_count, check_word
from katib.domain.errors import FieldViolation, violation

MAX_ENTRIES: Final = 100
MAX_ENVIRONMENT_BYTES: Final = 32 * 1024
MAX_ANNOTATION_BYTES: Final = 32 * 1024
MAX_TEMPLATE: Final = 128 * 1024
MAX_DEPTH: Final = 30
MAX_START_TIMEOUT: Final = timedelta(days=30)
# What Katib itself puts on a Pod.
OWN_PREFIX: Final = "katib.kubeflow.org/"
OWN_VARIABLES: Final = frozenset({"STUDY_ID", "TRIAL_ID"})
OWN_VARIABLE_PREFIX: Final = "KATIB_"

OPERATORS: Final = ("Equal", "Exists")
EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_LABEL: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_QUANTITY: Final = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?")
_FACTORS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{unit: Decimal(10) ** (3 * (i + 1)) for i, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Decimal(2) ** (10 * (i + 1)) for i, unit in enumerate("KMGTPE")},
}
_NATIVE: Final = frozenset({"cpu", "memory", "ephemeral-storage"})

KEY_EXPECTED: Final = (
    "expected a name of letters, digits, '-', '_' and '.', at most 63 characters, after a domain and '/' or alone"
)
LABEL_EXPECTED: Final = (
    "expected at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit"
)
NAME_EXPECTED: Final = "expected lower-case letters, digits, '-' and '.', as Kubernetes names its objects"
NAMESPACE_EXPECTED: Final = "expected lower-case letters, digits and '-', at most 63 characters"
QUANTITY_EXPECTED: Final = "expected a quantity such as 500m, 2, 512Mi or 8Gi"
_RESOURCE_EXPECTED: Final = (
    "expected cpu, memory, ephemeral-storage, hugepages-SIZE, or a resource with a domain such as nvidia.com/gpu"
)


@dataclass(frozen=True, slots=True)
class Toleration:
    """As in Kubernetes; all but one may be empty. `seconds`: how long a NoExecute taint is borne; None: for ever."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class PodSettings:
    """`start_timeout`: how long a Pod may wait before its program runs; None: the worker's own deadline for what it waits for.
    `template`: a PodTemplateSpec as JSON; empty: none. Empty fields say nothing."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    service_account: str = ""
    start_timeout: timedelta | None = None
    template: str = ""


NO_POD_SETTINGS: Final = PodSettings()


def check_pod_settings(pod: PodSettings, path: str = "pod") -> list[FieldViolation]:
    """What is wrong with it wherever it runs; what one operator forbids is the worker's to say."""
    if pod == NO_POD_SETTINGS:
        return []
    found: list[FieldViolation] = []
    if pod.namespace and not is_dns_label(pod.namespace):
        found.append(violation(f"{path}.namespace", pod.namespace, NAMESPACE_EXPECTED))
    if pod.service_account and not is_object_name(pod.service_account):
        found.append(violation(f"{path}.service_account", pod.service_account, NAME_EXPECTED))
    found += _labels(f"{path}.labels", pod.labels, own=True)
    found += _labels(f"{path}.node_selector", pod.node_selector, own=False)
    found += _annotations(f"{path}.annotations", pod.annotations)
    found += _environment(f"{path}.environment", pod.environment)
    found += _resources(pod, path)
    found += check_count(f"{path}.tolerations", pod.tolerations, MAX_ENTRIES)
    for i, toleration in enumerate(pod.tolerations[:MAX_ENTRIES]):
        found += _toleration(f"{path}.tolerations[{i}]", toleration)
    timeout = pod.start_timeout
    if timeout is not None and not timedelta(0) < timeout <= MAX_START_TIMEOUT:
        found.append(
            violation(
                f"{path}.start_timeout",
                f"{timeout.total_seconds():g}s",
                f"expected more than 0, at most {MAX_START_TIMEOUT.days} days",
            )
        )
    if pod.template:
        found += _template(f"{path}.template", pod.template)
    return found


def is_dns_label(text: str) -> bool:
    return _DNS_LABEL.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    """The key of a label or an annotation, or the name of a resource: `name` or `domain/name`."""
    domain, slash, name = text.rpartition("/")
    if slash and not is_object_name(domain):
        return False
    return name != "" and _LABEL.fullmatch(name) is not None


def is_variable(text: str) -> bool:
    return _VARIABLE.fullmatch(text) is not None and text not in (".", "..")


def is_own_variable(name: str) -> bool:
    """Whether Katib sets it itself."""
    return name in OWN_VARIABLES or name.startswith(OWN_VARIABLE_PREFIX)


def quantity(text: str) -> Decimal | None:
    """The number that a Kubernetes quantity spells, or None where it spells none."""
    found = _QUANTITY.fullmatch(text)
    if found is None or len(text) > 40:
        return None
    number, suffix = found.groups()
    if suffix and suffix[0] in "eE" and len(suffix) > 1:
        return Decimal(f"{number}{suffix}") if not suffix.endswith("i") else Decimal(number) * _FACTORS[suffix]
    return Decimal(number) * (_FACTORS[suffix] if suffix else 1)


def is_resource(name: str) -> bool:
    if "/" in name:
        # `requests.` is a quota's way to speak of one.
        return is_qualified_name(name) and not name.startswith("requests.")
    return name in _NATIVE or (name.startswith("hugepages-") and quantity(name.removeprefix("hugepages-")) is not None)


def is_extended(resource: str) -> bool:
    """One that a device plugin brings, such as nvidia.com/gpu: whole numbers, and requested exactly as limited."""
    return "/" in resource


def _labels(path: str, labels: Mapping[str, str], *, own: bool) -> list[FieldViolation]:
    found = check_count(path, list(labels), MAX_ENTRIES)
    for key, value in list(labels.items())[:MAX_ENTRIES]:
        if not is_qualified_name(key):
            found.append(violation(path, key, KEY_EXPECTED))
        elif own and key.startswith(OWN_PREFIX):
            found.append(violation(f"{path}.{key}", "", f"labels with {OWN_PREFIX} are Katib's own"))
        elif not is_label_value(value):
            found.append(violation(f"{path}.{key}", value, LABEL_EXPECTED))
    return found


def _annotations(path: str, annotations: Mapping[str, str]) -> list[FieldViolation]:
    found = check_count(path, list(annotations), MAX_ENTRIES)
    for key, value in list(annotations.items())[:MAX_ENTRIES]:
        if not is_qualified_name(key) or key.rpartition("/")[0] != key.rpartition("/")[0].lower():
            found.append(violation(path, key, KEY_EXPECTED))
        elif key.startswith(OWN_PREFIX):
            found.append(violation(f"{path}.{key}", "", f"annotations with {OWN_PREFIX} are Katib's own"))
        else:
            found += check_word(f"{path}.{key}", value)
    return found + _size(path, annotations, MAX_ANNOTATION_BYTES)


def _environment(path: str, environment: Mapping[str, str]) -> list[FieldViolation]:
    found = check_count(path, list(environment), MAX_ENTRIES)
    for name, value in list(environment.items())[:MAX_ENTRIES]:
        if not is_variable(name):
            found.append(
                violation(path, name, "expected a variable's name: letters, digits, '_', '-' and '.', no digit first")
            )
        elif is_own_variable(name):
            found.append(violation(f"{path}.{name}", "", "STUDY_ID, TRIAL_ID and KATIB_... are set by Katib itself"))
        else:
            found += check_word(f"{path}.{name}", value)
    return found + _size(path, environment, MAX_ENVIRONMENT_BYTES)


def _resources(pod: PodSettings, path: str) -> list[FieldViolation]:
    found: list[FieldViolation] = []
    for name, resources in (("requests", pod.requests), ("limits", pod.limits)):
        found += check_count(f"{path}.{name}", list(resources), MAX_ENTRIES)
        for resource, text in list(resources.items())[:MAX_ENTRIES]:
            amount = quantity(text)
            if not is_resource(resource):
                found.append(violation(f"{path}.{name}", resource, _RESOURCE_EXPECTED))
            elif amount is None:
                found.append(violation(f"{path}.{name}.{resource}", text, QUANTITY_EXPECTED))
            elif is_extended(resource) and amount != amount.to_integral_value():
                found.append(violation(f"{path}.{name}.{resource}", text, "expected a whole number"))
    for resource, text in pod.requests.items():
        wanted, most = quantity(text), quantity(pod.limits.get(resource, ""))
        if wanted is None or most is None:
            continue
        if is_extended(resource) and wanted != most:
            found.append(violation(f"{path}.requests.{resource}", text, f"expected {most}, as its limit"))
        elif wanted > most:
            expected = f"expected at most {pod.limits[resource]}, its limit"
            found.append(violation(f"{path}.requests.{resource}", text, expected))
    return found


def _toleration(path: str, toleration: Toleration) -> list[FieldViolation]:
    found = []
    operator, effect = toleration.operator, toleration.effect
    if toleration.key and not is_qualified_name(toleration.key):
        found.append(violation(f"{path}.key", toleration.key, KEY_EXPECTED))
    if operator and operator not in OPERATORS:
        found.append(violation(f"{path}.operator", operator, "expected Equal or Exists"))
    elif not toleration.key and operator != "Exists":
        found.append(violation(f"{path}.key", "", "expected a key, or operator Exists for every taint"))
    if operator == "Exists" and toleration.value:
        found.append(violation(f"{path}.value", toleration.value, "expected none with operator Exists"))
    elif not is_label_value(toleration.value):
        found.append(violation(f"{path}.value", toleration.value, LABEL_EXPECTED))
    if effect and effect not in EFFECTS:
        found.append(violation(f"{path}.effect", effect, f"expected {', '.join(EFFECTS[:-1])} or {EFFECTS[-1]}"))
    if toleration.seconds is not None:
        if effect != "NoExecute":
            found.append(
                violation(f"{path}.toleration_seconds", toleration.seconds, "expected effect NoExecute with it")
            )
        elif abs(toleration.seconds) > 2**31:
            found.append(violation(f"{path}.toleration_seconds", toleration.seconds, "expected seconds"))
    return found


def _template(path: str, text: str) -> list[FieldViolation]:
    if len(text) > MAX_TEMPLATE:
        return [violation(path, "", f"expected at most {MAX_TEMPLATE // 1024} KiB as JSON")]
    try:
        template = parse_template(text)
    except ValueError as error:
        return [violation(path, text, f"expected a PodTemplateSpec as JSON: {error}")]
    for key in template:
        # A whole Pod may be pasted.
        if key not in ("apiVersion", "kind", "metadata", "spec"):
            return [violation(f"{path}.{key}", "", "expected metadata and spec, as in a Kubernetes Pod")]
    if not isinstance(template.get("spec"), dict):
        return [violation(f"{path}.spec", "", "expected the spec of a Pod")]
    return []


def parse_template(text: str) -> dict[str, Any]:
    """The template as plain data. Raises ValueError."""
    import json  # only where there is a template: every command of the command line loads this module

    def constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")

    try:
        template = json.loads(text, parse_constant=constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(template, dict):
        raise ValueError("it is no object")  # noqa: TRY004 -- of the text, like any other fault of it
    level: list[Any] = [template]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level if isinstance(value, dict | list) for inner in _inner(value)]
    if level:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    return template


def _inner(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _size(path: str, texts: Mapping[str, str], most: int) -> list[FieldViolation]:
    if sum(len(f"{name}{text}".encode(errors="replace")) for name, text in texts.items()) > most:
        return [violation(path, "", f"expected at most {most // 1024} KiB in all")]
    return []
