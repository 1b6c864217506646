"""What the use cases and the controller need of suggestion and early-stopping services. Implementations stand in
`katib.manager.remote`.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from katib.domain.errors import KatibError
from katib.domain.metrics import Observation
from katib.domain.search_space import Parameter
from katib.domain.study import Study, StudySpec
from katib.domain.trial import Tag, Trial
from katib.domain.views import ServiceKind, ServiceStatus


class History(Enum):
    """What a suggestion service needs to see of a study's trials."""

    FINALS = "finals"
    NONE = "none"
    CURVES = "curves"
    OTHERS = "others"

    def of(self, study: Study, algorithm: str) -> "History":
        """What it is for this study: OTHERS is NONE while the algorithm has suggested all of its trials, else FINALS."""
        if self is not History.OTHERS:
            return self
        return History.NONE if study.suggested_by(algorithm) else History.FINALS


class TrialHistory(Protocol):
    """The finished trials of a study as they were at one revision of it: read when they are asked for, since a service that
    has been sent most of them needs only the rest."""

    def all(self) -> Sequence[Trial]:
        """By number."""

    def since(self, revision: int) -> Iterable[Trial]:
        """Those whose last change was at this revision or later, by revision. Its cost does not depend on how many others
        there are, and no more are read than are looked at."""

    def curves(self, trials: Sequence[Trial]) -> Iterable[tuple[str, Sequence[Observation]]]:
        """As `ports.Storage.curves`, of the objective; empty for a service that needs none."""

    def values(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        """By trial id, how many observations `curves` gives of it at most; left out where that is none."""


@dataclass(frozen=True, slots=True)
class SuggestionRequest:
    """`spec` carries the manager's effective limits among its settings. For History.NONE there is no `history`, `unfinished` is
    empty and only the counts say how many trials there are."""

    study_id: str
    spec: StudySpec
    history: TrialHistory | None
    unfinished: Sequence[Trial]
    finished_count: int
    unfinished_count: int
    first_number: int


class AskAgainError(KatibError):
    """A service does not have what it was sent with earlier questions. The same question asked again brings it what it lacks;
    that comes to an end after a few."""


class MoreToTellError(AskAgainError):
    """A service has been sent a part of a history that is too long for one question. The same question asked again brings the
    next part, and each of them is nearer to the end."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    parameters: tuple[Parameter, ...]
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class SuggestionReply:
    """`note`: a sentence to show while the study runs."""

    suggestions: tuple[Suggestion, ...]
    completed: bool
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class StoppingRequest:
    """`curves`: the observations of the rule's metrics, as by `ports.Storage.curves`."""

    study_id: str
    spec: StudySpec
    running: Sequence[Trial]
    finished: Sequence[Trial]
    curves: Iterable[tuple[str, Sequence[Observation]]]


@dataclass(frozen=True, slots=True)
class TrialDelta:
    """A trial as it is now, and its observations that the service has not been told, in their order."""

    trial: Trial
    observations: Sequence[Observation]


@dataclass(frozen=True, slots=True)
class StoppingDelta:
    """What to add to what a service has as `base` so that it has `cursor`; an empty base begins anew. `more`: further ones
    follow, and no answer is wanted yet."""

    study_id: str
    spec: StudySpec
    base: str
    cursor: str
    trials: Sequence[TrialDelta]
    more: bool


@dataclass(frozen=True, slots=True)
class StoppingAnswer:
    """`stopped` as from `should_stop`; None: not wanted yet, or the service does not have the base. `have`: the cursor of what
    it has now. `metrics`: those that the rule looks at."""

    stopped: Mapping[str, str] | None
    have: str
    metrics: tuple[str, ...]


class SuggestionServices(Protocol):
    """The suggestion services, each found by its algorithm's name at the moment of the call.

    Calls start and return a future at once. Its exception is UnavailableError when no service answers under that name,
    DeadlineExceededError when it took too long, InvalidArgumentError with what it refused, AskAgainError (of `generate`), or
    another KatibError as it says.
    """

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[History]":
        """What it needs, which has accepted these settings; see `History.of`."""

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]": ...

    def stop(self, algorithm: str, study_id: str) -> None:
        """Best effort: nobody waits for it and it never raises."""


class EarlyStoppingServices(Protocol):
    """The early-stopping services; calls and errors as for SuggestionServices."""

    def set_parameters(self, rule: str, study_id: str, spec: StudySpec) -> "Future[None]": ...

    def should_stop(self, rule: str, request: StoppingRequest) -> "Future[Mapping[str, str]]":
        """By id, the running trials that should stop: why, as the service says it; empty where it does not."""

    def should_stop_delta(self, rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        """UnimplementedError: the service has no deltas, as one of Katib 0.1."""


class Directory(Protocol):
    """Which services there are."""

    def names(self, kind: ServiceKind) -> frozenset[str]:
        """Those known by configuration and by what can be listed; nobody is asked."""

    def services(self, algorithms: frozenset[str], rules: frozenset[str]) -> Sequence[ServiceStatus]:
        """Those known by these names, by configuration and by what can be listed, each asked whether it serves now."""
