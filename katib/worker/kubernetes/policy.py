"""What the operator of a cluster allows and gives by default: each `--worker-option NAME=VALUE`, described once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from katib.domain.errors import FieldViolation, InvalidArgumentError
from katib.domain.pod import is_dns_label, is_label_value, is_object_name, is_qualified_name, is_resource, quantity
from katib.domain.settings import Option, Options, choice
from katib.domain.study import Setting, StudySpec
from katib.domain.study_file_values import PERIOD_EXPECTED, format_period, parse_period

T = TypeVar("T")

# As the one name of a list: any.
ANY: Final = "*"
KEEP_NONE: Final = "none"
KEEP_FAILED: Final = "failed"
KEEP_ALL: Final = "all"
MAX_PERIOD: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a Pod may wait for one thing before its run is given up; the reason is shown from the first moment on.

    `total` is a study's own start_timeout, from the Pod's creation until its program runs; it takes the place of all of them
    but `gone`.
    """

    # Another try a minute later often succeeds: a registry that is overloaded, an image that is being pushed.
    image: timedelta = timedelta(minutes=5)
    # A Secret or ConfigMap may be created after the Pod that names it.
    config: timedelta = timedelta(minutes=5)
    create: timedelta = timedelta(minutes=2)
    # A volume is attached only once another node has let go of it, for which Kubernetes allows six minutes.
    sandbox: timedelta = timedelta(minutes=15)
    # Images of 20 GB and more are common.
    start: timedelta = timedelta(hours=1)
    scheduler: timedelta = timedelta(minutes=15)
    # A full cluster is no error: somebody else's job ends some time. A day is long enough to know that none does.
    unschedulable: timedelta = timedelta(hours=24)
    # A queue is there to be waited in.
    gated: timedelta = timedelta(days=7)
    # Who has changed a rule has to hear of what it does, and may be asleep.
    refused: timedelta = timedelta(hours=24)
    # After the end of its grace a Pod that stays belongs to a node that does not answer.
    gone: timedelta = timedelta(minutes=10)
    total: timedelta | None = None


_WAITS: Final = {
    "image": "after an image could not be pulled",
    "config": "for a Secret or a ConfigMap that is not there",
    "create": "after a container could not be created",
    "sandbox": "for volumes to be mounted and the network to be set up",
    "start": "for images to be pulled and init containers to end",
    "scheduler": "for a scheduler that does not look at the Pod at all",
    "unschedulable": "for a node with room",
    "gated": "for a queue such as Kueue's to admit the Pod",
    "refused": "for the cluster's rules to admit a trial's Pod, as they did others of its study",
    "gone": "for a Pod to go away once its grace is over",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """`namespace` is where Pods go whose study names none; empty until the driver has put the manager's own there.

    Tuples of names hold ANY for all of them. Pods of one `installation` are never looked at by another. `keep` says which
    finished Pods stay for `keep_time`, so that their logs can be read.
    """

    namespace: str = ""
    namespaces: tuple[str, ...] = ()
    gone_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = (ANY,)
    priority_classes: tuple[str, ...] = (ANY,)
    csi_drivers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    audience: str = "katib"
    allow_host_path: bool = False
    allow_host_network: bool = False
    allow_privileged: bool = False
    scheduler: str = ""
    pull_secret: str = ""
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    gpu_resource: str = "nvidia.com/gpu"
    keep: str = KEEP_FAILED
    keep_time: timedelta = timedelta(hours=1)
    installation: str = "katib"
    kubeconfig: str = ""
    context: str = ""
    mount_root: str = ""
    waits: Waits = field(default_factory=Waits)

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> "Policy":
        """From the options of the command line. Raises InvalidArgumentError that names the option, its value and what is
        expected."""
        names = list(options)
        try:
            values = OPTIONS.read([Setting(name, value) for name, value in options.items()], "o")
        except InvalidArgumentError as error:
            raise InvalidArgumentError(_of_option(violation, names) for violation in error.violations) from None
        given = {row.name: values[row] for row in OPTIONS.rows if row.name in options}
        _check_gone(given)
        waits = {name: given.pop(f"wait_{name}") for name in _WAITS if f"wait_{name}" in given}
        return replace(cls(**given), waits=replace(Waits(), **waits))  # type: ignore[arg-type]

    def namespace_of(self, spec: StudySpec) -> str:
        return spec.pod.namespace or self.namespace

    def allows_namespace(self, name: str) -> bool:
        return name not in self.gone_namespaces and allows((self.namespace, *self.namespaces), name)

    def waits_of(self, spec: StudySpec) -> Waits:
        return self.waits if spec.pod.start_timeout is None else replace(self.waits, total=spec.pod.start_timeout)


def allows(names: tuple[str, ...], name: str) -> bool:
    return ANY in names or name in names


def _check_gone(given: Mapping[str, Any]) -> None:
    for name in given.get("gone_namespaces", ()):
        if name == ANY or name in (given.get("namespace"), *given.get("namespaces", ())):
            raise InvalidArgumentError.of(
                "--worker-option gone_namespaces",
                name,
                "expected names of namespaces that are gone for good, none of which stands in namespace or namespaces",
            )


def _of_option(violation: FieldViolation, names: list[str]) -> FieldViolation:
    """`o[3].value` becomes the option as its user wrote it."""
    index = int(violation.field.split("[")[1].split("]")[0])
    name = f" {names[index]}" if violation.field.endswith(".value") else ""
    return replace(violation, field=f"--worker-option{name}")


def _text(
    name: str, default: str, meaning: str, expected: str, fits: Callable[[str], bool], shown: str = ""
) -> Option[str]:
    return Option(name, meaning, expected, lambda text: text if fits(text) else None, default, shown or default)


def _names(
    name: str, meaning: str, what: str, fits: Callable[[str], bool], default: tuple[str, ...] = ()
) -> Option[tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...] | None:
        found = tuple(dict.fromkeys(text.replace(",", " ").split()))
        return found if all(n == ANY or fits(n) for n in found) else None

    return Option(
        name,
        meaning,
        f"names of {what} separated by commas, or * for any",
        parse,
        default,
        "any of them" if default else "none",
    )


def _switch(name: str, meaning: str) -> Option[bool]:
    return Option(
        name, meaning, "true or false", {"true": True, "false": False}.get, default=False, default_text="false"
    )


def _resources(name: str, meaning: str) -> Option[dict[str, str]]:
    def parse(text: str) -> dict[str, str] | None:
        found = {}
        for pair in text.replace(",", " ").split():
            resource, equals, amount = pair.partition("=")
            if not equals or not is_resource(resource) or quantity(amount) is None:
                return None
            found[resource] = amount
        return found

    return Option(name, meaning, "resources such as cpu=1,memory=2Gi", parse, {}, "none")


def _period(name: str, default: timedelta, meaning: str) -> Option[timedelta]:
    def parse(text: str) -> timedelta | None:
        try:
            period = parse_period(text)
        except ValueError:
            return None
        return period if timedelta(0) <= period <= MAX_PERIOD else None

    expected = PERIOD_EXPECTED.removeprefix("expected ") + f", at most {MAX_PERIOD.days}d"
    return Option(name, meaning, expected, parse, default, format_period(default))


def _is_key(text: str) -> bool:
    return is_qualified_name(f"{text}x" if text.endswith("/") else text)


def _any_text(text: str) -> bool:
    return text.isprintable()


_OBJECT: Final = "a name of lower-case letters, digits, '-' and '.'"
_DEFAULTS: Final = Policy()

OPTIONS: Final = Options(
    "the Kubernetes worker",
    (
        _text("namespace", "", "where Pods go", "a namespace's name", is_dns_label, "the manager's own"),
        _names("namespaces", "further namespaces that a study may name", "namespaces", is_dns_label),
        _names(
            "gone_namespaces",
            "namespaces that are gone for good: what ran there is taken for deleted",
            "namespaces",
            is_dns_label,
        ),
        _names("service_accounts", "service accounts that a study may name", "service accounts", is_object_name),
        _names("secrets", "Secrets that a template may use", "Secrets", is_object_name),
        _names(
            "pull_secrets",
            "Secrets that a study may name to pull images",
            "Secrets",
            is_object_name,
            _DEFAULTS.pull_secrets,
        ),
        _names(
            "priority_classes",
            "priority classes that a template may name; none of the system's in any case",
            "priority classes",
            is_object_name,
            _DEFAULTS.priority_classes,
        ),
        _names("csi_drivers", "drivers of CSI volumes that a template may use", "drivers", is_object_name),
        _names(
            "labels",
            "further labels that a study may give its Pods",
            "labels or, with a / at the end, prefixes",
            _is_key,
        ),
        _names(
            "annotations",
            "further annotations that a study may give its Pods",
            "annotations or, with a / at the end, prefixes",
            _is_key,
        ),
        _text(
            "audience",
            _DEFAULTS.audience,
            "of tokens for Katib itself, which no template may ask for",
            "the manager's --auth-audience, which it is by itself",
            _any_text,
        ),
        _switch("allow_host_path", "templates may mount folders of the node"),
        _switch("allow_host_network", "templates may use the node's network, ports and process table"),
        _switch("allow_privileged", "templates may be privileged and add capabilities"),
        _text("scheduler", "", "of studies that name none", _OBJECT, is_object_name, "the cluster's default"),
        _text("pull_secret", "", "of studies that name none", _OBJECT, is_object_name, "none"),
        _resources("requests", "for resources of which a study says nothing"),
        _resources("limits", "for resources of which a study says nothing"),
        _text(
            "gpu_resource",
            _DEFAULTS.gpu_resource,
            "what `gpu` asks for",
            "a resource such as nvidia.com/gpu",
            lambda text: "/" in text and is_qualified_name(text),
        ),
        choice(
            "keep",
            _DEFAULTS.keep,
            (KEEP_NONE, KEEP_FAILED, KEEP_ALL),
            "finished Pods that stay, for their logs to be read",
        ),
        _period("keep_time", _DEFAULTS.keep_time, "how long they stay"),
        _text(
            "installation",
            _DEFAULTS.installation,
            "tells the Pods of several Katibs in one namespace apart",
            "at most 63 letters, digits, '-', '_' and '.'",
            lambda text: text != "" and is_label_value(text),
        ),
        _text(
            "kubeconfig",
            "",
            "the file that says how to reach the cluster",
            "a path",
            _any_text,
            "$KUBECONFIG; in a cluster the Pod's account; else ~/.kube/config",
        ),
        _text("context", "", "the context in that file", "a name", _any_text, "the current one"),
        _text(
            "mount_root",
            "",
            "where the manager has volume claims mounted, each under its name, to read metrics files there",
            "an absolute path",
            lambda text: text.startswith("/") and text.isprintable(),
            "none",
        ),
        *(
            _period(f"wait_{f.name}", getattr(_DEFAULTS.waits, f.name), f"how long to wait {_WAITS[f.name]}")
            for f in fields(Waits)
            if f.name in _WAITS
        ),
    ),
)
