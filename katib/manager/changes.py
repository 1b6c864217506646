"""What the controller and the use cases ask storage to do to one study in one transaction (`ports.Storage.apply`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from katib.domain.metrics import Observation
from katib.domain.study import Study, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState


@dataclass(frozen=True, slots=True)
class TrialMove:
    """One move of `trial.MOVES`, compared and set: it takes place only if the trial is still in `from_state` at `attempt`.

    RUNNING -> PENDING begins attempt + 1: run, cursor, objective, start and stop request are those of a new attempt, and
    `not_before` holds it back; the attempt that failed is kept with `failed_reason`, `failed_message` and its end `at` (see
    `Storage.earlier_attempts`). A move to RUNNING sets `run` and `started_at`; one to a finished state sets `ended_at`.
    """

    trial_id: str
    attempt: int
    from_state: TrialState
    to_state: TrialState
    reason: str = ""
    message: str = ""
    run: str = ""
    at: datetime | None = None
    not_before: datetime | None = None
    failed_reason: str = ""
    failed_message: str = ""


@dataclass(frozen=True, slots=True)
class TrialNote:
    """Another reason and message for an unfinished trial at `attempt`."""

    trial_id: str
    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Asks an unfinished trial to end; the first request's reason stays, but for a time-out's, after which the trial might be
    tried again. The trial shows reason `Stopping` from then on. With `attempt` it takes place only if the trial is still at
    that one: what it was asked for says nothing of the next."""

    trial_id: str
    reason: str
    message: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """Output taken in: observations, and the cursor after them. Takes place only if the trial is unfinished, at `attempt`
    and its cursor is still `from_cursor`. Observations whose key is there already are passed over; the trial's objective is
    folded over the values that were new, as its study says. `model_path` is what the output says of the model, empty where it
    says nothing; the latest one counts."""

    trial_id: str
    attempt: int
    from_cursor: str
    to_cursor: str
    observations: tuple[Observation, ...]
    model_path: str = ""


@dataclass(frozen=True, slots=True)
class StudyMove:
    """Another state, reason and message of the study. `ended_at` is set with a finished state and cleared without; a finished
    state is what Intent.STOP asked for, and clears it.

    With `read`, the study as it was when this was decided, it takes place only if state, intent and spec are still those: what
    a user has changed since is not overwritten; nor does it end a study with an unfinished trial. Left out, the study's id is
    among the refused."""

    state: StudyState
    reason: str
    message: str
    at: datetime | None = None
    read: Study | None = None


@dataclass(frozen=True, slots=True)
class StudyChanges:
    """Applied in this order: intakes, moves, notes, stop requests, study. One that no longer fits is left out (see
    `Applied`), the others take place. `places`: where the study's runs may be from now on; None: as before."""

    intakes: tuple[Intake, ...] = ()
    moves: tuple[TrialMove, ...] = ()
    notes: tuple[TrialNote, ...] = ()
    stops: tuple[StopRequest, ...] = ()
    study: StudyMove | None = None
    places: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        changes = self.intakes or self.moves or self.notes or self.stops or self.study
        return bool(changes) or self.places is not None


@dataclass(frozen=True, slots=True)
class Giving:
    """Trials that a client asks for: see `Storage.give_trials`.

    `choose` is told the study and how many are lacking, and says which become the study's next, possibly fewer. It may be
    called more than once, and must not wait for another write.
    """

    study_id: str
    client_id: str
    count: int
    lease: timedelta | None
    at: datetime
    choose: Callable[[Study, int], Sequence[NewTrial]]


@dataclass(frozen=True, slots=True)
class Applied:
    """The study afterwards, the trials that the changes changed as they are now, and the ids of trials (or of the study) of
    which something was left out because somebody else had changed them first. `given`: what was given then, which is not in
    `trials`; None where that was refused, or not asked for."""

    study: Study
    trials: Mapping[str, Trial]
    refused: frozenset[str]
    given: Sequence[Trial] | None = None
