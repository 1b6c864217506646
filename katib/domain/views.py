"""What the manager shows of its studies: the answers of its use cases, the same in process and through the client."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic, TypeVar

from katib.domain.metrics import Observation
from katib.domain.study import Objective, Study, StudySpec, StudyState, effective_limits
from katib.domain.trial import Trial, TrialAttempt

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """A part of a list; `next_token` is empty on the last one. A token belongs to the filter it was made with."""

    items: Sequence[T_co]
    next_token: str = ""


def pages(fetch: Callable[[str], Page[T]]) -> Iterator[Page[T]]:
    """Every page of a list, fetched when it is its turn: `fetch(token)` gives the one that a token leads to."""
    token = ""
    while True:
        page = fetch(token)
        yield page
        token = page.next_token
        if not token:
            return


def every(fetch: Callable[[str], Page[T]]) -> Iterator[T]:
    """Every item of a list; see `pages`."""
    for page in pages(fetch):
        yield from page.items


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study in a list; `max_trials` and `max_parallel` are the limits that count, old spellings included."""

    id: str
    name: str
    owner: str
    state: StudyState
    reason: str
    message: str
    created_at: datetime
    ended_at: datetime | None
    pending: int
    running: int
    completed: int
    killed: int
    failed: int
    best_trial_id: str
    best_objective: float | None
    algorithm: str
    early_stopping: str
    optimization: Objective | None
    objective_name: str
    max_trials: int | None
    max_parallel: int | None
    revision: int

    @property
    def finished_trials(self) -> int:
        return self.completed + self.killed + self.failed

    @property
    def trials(self) -> int:
        return self.finished_trials + self.pending + self.running


def summary(study: Study) -> StudySummary:
    limits = effective_limits(study.spec)
    return StudySummary(
        id=study.id,
        name=study.spec.name,
        owner=study.spec.owner,
        state=study.state,
        reason=study.reason,
        message=study.message,
        created_at=study.created_at,
        ended_at=study.ended_at,
        pending=study.pending,
        running=study.running,
        completed=study.completed,
        killed=study.killed,
        failed=study.failed,
        best_trial_id=study.best_trial_id,
        best_objective=study.best_objective,
        algorithm=study.spec.algorithm,
        early_stopping=study.spec.rule,
        optimization=study.spec.optimization,
        objective_name=study.spec.objective_name,
        max_trials=limits.max_trials,
        max_parallel=limits.max_parallel,
        revision=study.revision,
    )


@dataclass(frozen=True, slots=True)
class StudyDetail:
    summary: StudySummary
    spec: StudySpec
    best_trial: Trial | None


@dataclass(frozen=True, slots=True)
class TrialDetail:
    """`observations` are the newest of the current attempt, oldest first; `truncated`: older ones are left out. `earlier` are
    the attempts before the current one, by number."""

    trial: Trial
    observations: Sequence[Observation]
    truncated: bool
    earlier: Sequence[TrialAttempt] = ()


@dataclass(frozen=True, slots=True)
class StudyEvent:
    """One step of watching a study: how it stands, and the trials that are new or changed since the step before."""

    study: StudySummary
    trials: Sequence[Trial]
    revision: int


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a run's raw output; `finished`: nothing will be added after `next_offset`."""

    data: bytes
    next_offset: int
    finished: bool


class ServiceKind(Enum):
    SUGGESTION = "suggestion"
    EARLY_STOPPING = "earlystopping"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One algorithm or rule; `message` says why it does not serve."""

    name: str
    kind: ServiceKind
    address: str
    serving: bool
    message: str = ""
