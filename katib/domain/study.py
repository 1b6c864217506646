"""A study: what the user asks for (`StudySpec`), its limits, its state, and the checks that every entry makes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Final

from katib.domain.checks import MAX_TEXT, check_count, check_text, check_word
from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector, MetricsSource, check_collector
from katib.domain.errors import FieldViolation, InvalidArgumentError, below, violation
from katib.domain.metrics import MetricStrategy
from katib.domain.names import SERVICE_NAME_EXPECTED, is_service_name
from katib.domain.pod import NO_POD_SETTINGS, PodSettings, check_pod_settings
from katib.domain.retention import check_retention
from katib.domain.search_space import MAX_VALUE, ParameterConfig, SearchSpace, check_name, check_widths
from katib.domain.trial import Tag

MAX_STUDY_NAME: Final = 200
MAX_METRICS: Final = 100
MAX_TAGS: Final = 100
MAX_SETTINGS: Final = 300
MAX_COMMAND: Final = 1000
MAX_COMMAND_BYTES: Final = 96 * 1024
MAX_COUNT: Final = 2**31 - 1
MAX_PERIOD: Final = timedelta(days=3650)
NO_RULE: Final = frozenset({"", "none"})
# The old spellings of the first two limits, among the suggestion parameters.
SUGGESTION_NUM: Final = "SuggestionNum"
MAX_PARALLEL: Final = "MaxParallel"
CHECK_INTERVAL: Final = "CheckInterval"
# A study that says nothing runs this many trials at once, as Katib's successors do.
DEFAULT_MAX_PARALLEL: Final = 3


class Objective(Enum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class StudyState(Enum):
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    @property
    def finished(self) -> bool:
        return self in (StudyState.COMPLETED, StudyState.STOPPED, StudyState.FAILED)


# Beside StudyReason.PAUSED.
PAUSED_MESSAGE: Final = "nothing new begins until it is resumed; what runs goes on"


class StudyReason:
    """The stable words in `Study.reason`; programs may compare with them."""

    # while it runs
    RUNNING: Final = ""
    CLIENT_DRIVEN: Final = "ClientDriven"
    STOPPING: Final = "Stopping"
    DELETING: Final = "Deleting"
    PAUSED: Final = "PausedByUser"
    WAITING_FOR_SUGGESTIONS: Final = "WaitingForSuggestions"
    SUGGESTION_UNAVAILABLE: Final = "SuggestionServiceUnavailable"
    SUGGESTION_FAILED: Final = "SuggestionServiceFailed"
    NO_SUGGESTIONS: Final = "NoSuggestions"
    EARLY_STOPPING_UNAVAILABLE: Final = "EarlyStoppingServiceUnavailable"
    EARLY_STOPPING_FAILED: Final = "EarlyStoppingServiceFailed"
    WORKER_UNAVAILABLE: Final = "WorkerUnavailable"
    CONTROLLER_FAILED: Final = "ControllerFailed"
    NO_MANAGER: Final = "NoManager"
    QUOTA: Final = "QuotaReached"
    # when it has ended
    MAX_TRIALS: Final = "MaxTrialsReached"
    GOAL: Final = "GoalReached"
    EXHAUSTED: Final = "SearchSpaceExhausted"
    SWEPT: Final = "SweepFinished"
    MAX_FAILED_TRIALS: Final = "MaxFailedTrialsReached"
    MAX_DURATION: Final = "MaxDurationReached"
    STOPPED_BY_USER: Final = "StoppedByUser"


class Intent(Enum):
    """What a user has asked of a study that it has not come to yet."""

    NONE = ""
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of an algorithm or a rule."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Mount:
    pvc: str
    path: str


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit of that kind. A field by its own name wins over its old spelling among the settings."""

    max_trials: int | None = None
    max_parallel: int | None = None
    max_failed_trials: int | None = None
    retry_limit: int | None = None
    trial_timeout: timedelta | None = None
    max_duration: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StudySpec:
    """What a user asks for, as in the wire's StudyConfig."""

    name: str
    objective_name: str
    optimization: Objective | None
    parameters: tuple[ParameterConfig, ...]
    owner: str = ""
    goal: float | None = None
    access_permissions: tuple[str, ...] = ()
    algorithm: str = ""
    early_stopping: str = ""
    task_name: str = ""
    settings: tuple[Setting, ...] = ()
    early_stopping_settings: tuple[Setting, ...] = ()
    tags: tuple[Tag, ...] = ()
    metrics: tuple[str, ...] = ()
    image: str = ""
    command: tuple[str, ...] = ()
    gpu: int = 0
    scheduler: str = ""
    mount: Mount | None = None
    pull_secret: str = ""
    limits: Limits = field(default_factory=Limits)
    working_dir: str = ""
    objective_strategy: MetricStrategy = MetricStrategy.LATEST
    pod: PodSettings = NO_POD_SETTINGS
    collector: MetricsCollector = DEFAULT_COLLECTOR
    # See `retention.Retention`.
    keep_models: str = ""

    @property
    def client_driven(self) -> bool:
        """Without an algorithm nobody but its clients asks for trials."""
        return not self.algorithm

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Every metric to collect: the objective first."""
        return (self.objective_name, *(m for m in self.metrics if m != self.objective_name))

    @property
    def rule(self) -> str:
        """The early-stopping rule, or empty."""
        return "" if self.early_stopping in NO_RULE else self.early_stopping

    def setting(self, name: str) -> str | None:
        """The value of the suggestion setting of that name; the last one counts."""
        return next((s.value for s in reversed(self.settings) if s.name == name), None)

    def better(self, a: float, b: float) -> bool:
        """Whether objective value `a` is better than `b`. NaN is worse than everything, and no better than NaN."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(b) and not math.isnan(a)
        return a > b if self.optimization is Objective.MAXIMIZE else a < b

    def reaches_goal(self, value: float) -> bool:
        return self.goal is not None and not math.isnan(value) and not self.better(self.goal, value)


@dataclass(frozen=True, slots=True)
class Study:
    """As stored. Times are UTC and aware.

    The counters are kept in the same transaction as each move of a trial. `suggested` counts the trials ever inserted, so the
    next one bears the number `suggested + 1`; `observed` counts their observations. `revision` grows with every change of the
    study or of its trials.
    `manager` is the id of the manager that drives it (empty: nobody); `placement` says which managers can (see
    `Worker.placement`; empty: any).
    """

    id: str
    spec: StudySpec
    state: StudyState
    created_at: datetime
    revision: int
    reason: str = ""
    message: str = ""
    intent: Intent = Intent.NONE
    ended_at: datetime | None = None
    suggested: int = 0
    pending: int = 0
    running: int = 0
    completed: int = 0
    killed: int = 0
    failed: int = 0
    best_trial_id: str = ""
    best_objective: float | None = None
    manager: str = ""
    placement: str = ""
    request_id: str = ""
    observed: int = 0

    @property
    def finished_trials(self) -> int:
        return self.completed + self.killed + self.failed

    @property
    def unfinished_trials(self) -> int:
        return self.pending + self.running


def effective_limits(spec: StudySpec) -> Limits:
    """The limits that count: the old spellings and the default parallelism applied. `max_parallel` 0 or less in the old
    spelling meant everything at once: None."""
    limits = spec.limits
    max_parallel = limits.max_parallel
    if max_parallel is None:
        old = _whole(spec.setting(MAX_PARALLEL))
        max_parallel = DEFAULT_MAX_PARALLEL if old is None else old if old > 0 else None
    return replace(limits, max_trials=effective_max_trials(spec), max_parallel=max_parallel)


def effective_max_trials(spec: StudySpec) -> int | None:
    """That one alone, for what is asked at each call of a client."""
    limit = spec.limits.max_trials
    return _whole(spec.setting(SUGGESTION_NUM)) if limit is None else limit


def with_effective_settings(spec: StudySpec, max_parallel: int | None = None) -> tuple[Setting, ...]:
    """The settings for the suggestion service: the manager's own effective limits under the names that 0.1 knows.

    `max_parallel`, when given, replaces the limit: how many the service may have out at once in this call.
    """
    limits = effective_limits(spec)
    own = {SUGGESTION_NUM: limits.max_trials, MAX_PARALLEL: max_parallel or limits.max_parallel}
    others = tuple(s for s in spec.settings if s.name not in own)
    return (*others, *(Setting(name, str(value)) for name, value in own.items() if value is not None))


def check_study(spec: StudySpec, path: str = "study_config") -> SearchSpace:
    """Checks everything that can be known without asking a service; returns the search space.

    Raises InvalidArgumentError with every violation found, each under `path`.
    """
    at = partial(below, path)
    found = [*_check_named(spec, at), *_check_texts(spec, at), *_check_lists(spec, at)]
    found += _command(at("command"), spec.command)
    if not 0 <= spec.gpu <= 1000:
        found.append(violation(at("gpu"), spec.gpu, "expected 0 to 1000"))
    found += check_pod_settings(spec.pod, at("pod"))
    found += check_collector(spec.collector, at("metrics_collector"))
    if spec.client_driven and spec.collector.source is not MetricsSource.OUTPUT:
        expected = "expected output: clients report for their trials"
        found.append(violation(at("metrics_collector.source"), spec.collector.source.value, expected))
    found += check_retention(at("keep_models"), spec.keep_models)
    found += _check_limits(path, spec)
    try:
        space = SearchSpace.of(spec.parameters, at("parameter_configs"))
        check_widths(space, spec.parameters, at("parameter_configs"))
    except InvalidArgumentError as error:
        raise InvalidArgumentError([*found, *error.violations]) from None
    if found:
        raise InvalidArgumentError(found)
    return space


def _check_named(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    """The study's name, what it optimizes, and who suggests and stops."""
    found = list(check_text(at("name"), spec.name, MAX_STUDY_NAME, required="a name for the study"))
    if spec.objective_name:
        found += check_name(at("objective_value_name"), spec.objective_name)
    else:
        found.append(violation(at("objective_value_name"), "", "expected the name of the metric to optimize"))
    if spec.optimization is None:
        found.append(violation(at("optimization_type"), "", "expected minimize (1) or maximize (2)"))
    if spec.goal is not None and math.isnan(spec.goal):
        found.append(violation(at("optimization_goal"), "nan", "expected a number"))
    for name, value in (("suggest_algorithm", spec.algorithm), ("early_stopping_algorithm", spec.early_stopping)):
        if value and not is_service_name(value):
            found.append(violation(at(name), value, f"expected {SERVICE_NAME_EXPECTED}"))
    return found


def _check_texts(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    found: list[FieldViolation] = []
    for name, text in (
        ("owner", spec.owner),
        ("study_task_name", spec.task_name),
        ("image", spec.image),
        ("scheduler", spec.scheduler),
        ("pull_secret", spec.pull_secret),
        ("working_dir", spec.working_dir),
    ):
        found += check_text(at(name), text, MAX_TEXT)
    if spec.mount is not None:
        # 0.1's clients send an empty one for none; half of one mounts nothing.
        pvc, folder = spec.mount.pvc, spec.mount.path
        found += check_text(at("mount.pvc"), pvc, MAX_TEXT, required="a volume claim" if folder else "")
        found += check_text(at("mount.path"), folder, MAX_TEXT, required="a path" if pvc else "")
    return found


def _check_lists(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    """No more than the first items of a list that is too long are looked into."""
    found = list(check_count(at("metrics"), spec.metrics, MAX_METRICS))
    for i, metric in enumerate(spec.metrics[:MAX_METRICS]):
        found += check_name(at(f"metrics[{i}]"), metric)
    named: tuple[tuple[str, Sequence[Setting | Tag], int], ...] = (
        ("suggestion_parameters", spec.settings, MAX_SETTINGS),
        ("early_stopping_parameters", spec.early_stopping_settings, MAX_SETTINGS),
        ("tags", spec.tags, MAX_TAGS),
    )
    for name, settings, most in named:
        found += check_count(at(name), settings, most)
        for i, setting in enumerate(settings[:most]):
            found += check_text(at(f"{name}[{i}].name"), setting.name, MAX_TEXT, required="a name")
            found += check_text(at(f"{name}[{i}].value"), setting.value, MAX_VALUE)
    found += check_count(at("access_permissions"), spec.access_permissions, MAX_TAGS)
    for i, permission in enumerate(spec.access_permissions[:MAX_TAGS]):
        found += check_text(at(f"access_permissions[{i}]"), permission, MAX_TEXT)
    return found


def check_limits(limits: Limits, path: str = "") -> list[FieldViolation]:
    """The violations of the limits' own ranges."""
    at = partial(below, path)
    found = []
    for name, value, least in (
        ("max_trials", limits.max_trials, 1),
        ("max_parallel", limits.max_parallel, 1),
        ("max_failed_trials", limits.max_failed_trials, 1),
        ("retry_limit", limits.retry_limit, 0),
    ):
        if value is not None and not least <= value <= MAX_COUNT:
            found.append(violation(at(name), value, f"expected a whole number from {least} on"))
    for name, period in (("trial_timeout", limits.trial_timeout), ("max_duration", limits.max_duration)):
        if period is not None and not timedelta(0) < period <= MAX_PERIOD:
            found.append(
                violation(
                    at(name), f"{period.total_seconds():g}s", f"expected more than 0, at most {MAX_PERIOD.days} days"
                )
            )
    return found


def _check_limits(path: str, spec: StudySpec) -> list[FieldViolation]:
    at = partial(below, path)
    found = check_limits(spec.limits, path)
    for i, setting in enumerate(spec.settings[:MAX_SETTINGS]):
        if setting.name in (SUGGESTION_NUM, MAX_PARALLEL) and _whole(setting.value) is None:
            found.append(
                violation(
                    at(f"suggestion_parameters[{i}].value"),
                    setting.value,
                    f"expected a whole number for {setting.name}",
                )
            )
    for i, setting in enumerate(spec.early_stopping_settings[:MAX_SETTINGS]):
        if setting.name == CHECK_INTERVAL and not (_whole(setting.value) or 0) > 0:
            found.append(
                violation(
                    at(f"early_stopping_parameters[{i}].value"),
                    setting.value,
                    "expected seconds between checks, from 1 on",
                )
            )
    return found


def _command(field_: str, command: Sequence[str]) -> list[FieldViolation]:
    found = check_count(field_, command, MAX_COMMAND)
    if sum(len(word.encode(errors="surrogatepass")) for word in command) > MAX_COMMAND_BYTES:
        found.append(violation(field_, "", f"expected at most {MAX_COMMAND_BYTES // 1024} KiB in all"))
    for i, word in enumerate(command[:MAX_COMMAND]):
        found += check_word(f"{field_}[{i}]", word)
    if command and not command[0]:
        found.append(violation(f"{field_}[0]", "", "expected the program to run"))
    return found


def _whole(text: str | None) -> int | None:
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) <= MAX_COUNT else None
