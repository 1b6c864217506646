"""A study: what the user asks for (`StudySpec`), its limits and its state."""

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector
from katib.domain.metrics import MetricStrategy
from katib.domain.pod import NO_POD_SETTINGS, PodSettings
from katib.domain.search_space import ParameterConfig
from katib.domain.trial import Tag

MAX_COUNT: Final = 2**31 - 1
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
    next one bears the number `suggested + 1`; `suggester` is the algorithm that suggested all of them, in a study that clients
    drive (empty: several did, or an earlier version did not say); `observed` counts their observations. `revision` grows with
    every change of the study or of its trials.
    `manager` is the id of the manager that drives it (empty: nobody); `placement` says which managers can (see
    `Worker.placement`; empty: any), and `places` where its runs may be (see `Worker.places`).
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
    places: tuple[str, ...] = ()
    suggester: str = ""

    def suggested_by(self, algorithm: str) -> bool:
        """Whether this algorithm has suggested all of its trials so far. One that names its algorithm asks no other."""
        return algorithm == self.spec.algorithm or not self.suggested or self.suggester == algorithm

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
        old = whole_number(spec.setting(MAX_PARALLEL))
        max_parallel = DEFAULT_MAX_PARALLEL if old is None else old if old > 0 else None
    return replace(limits, max_trials=effective_max_trials(spec), max_parallel=max_parallel)


def effective_max_trials(spec: StudySpec) -> int | None:
    """That one alone, for what is asked at each call of a client."""
    limit = spec.limits.max_trials
    return whole_number(spec.setting(SUGGESTION_NUM)) if limit is None else limit


def with_effective_settings(spec: StudySpec, max_parallel: int | None = None) -> tuple[Setting, ...]:
    """The settings for the suggestion service: the manager's own effective limits under the names that 0.1 knows.

    `max_parallel`, when given, replaces the limit: how many the service may have out at once in this call.
    """
    limits = effective_limits(spec)
    own = {SUGGESTION_NUM: limits.max_trials, MAX_PARALLEL: max_parallel or limits.max_parallel}
    others = tuple(s for s in spec.settings if s.name not in own)
    return (*others, *(Setting(name, str(value)) for name, value in own.items() if value is not None))


def whole_number(text: str | None) -> int | None:
    """A setting's, where it is one."""
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) <= MAX_COUNT else None
