"""What a change does to a study and its trials: pure functions of what was read, shared by every storage.

A storage reads under its lock, lets these decide, and writes what they return.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from katib.domain.errors import AbortedError, FailedPreconditionError, ResourceExhaustedError
from katib.domain.metrics import MetricStrategy, Observation, fold_objective
from katib.domain.permissions import owner_of
from katib.domain.study import Intent, Study, StudyState
from katib.domain.trial import FINISHED, MOVES, NewTrial, Trial, TrialAttempt, TrialReason, TrialState
from katib.manager.changes import Intake, StopRequest, StudyChanges, StudyMove, TrialMove, TrialNote

# An observation within its trial's attempt.
Key = tuple[str, int, int]

# What a trial may have been asked to end for and still be tried again.
_NOT_FOR_GOOD: Final = frozenset({"", TrialReason.DEADLINE_EXCEEDED})
_COUNTERS: Final = {
    TrialState.PENDING: "pending",
    TrialState.RUNNING: "running",
    TrialState.COMPLETED: "completed",
    TrialState.KILLED: "killed",
    TrialState.ERROR: "failed",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """`study` and `trials` as they are to be; `observations` by trial id, in the order in which they are taken in; `attempts`
    by trial id, the one that has just failed and is followed by another."""

    study: Study
    trials: Mapping[str, Trial]
    observations: Mapping[str, Sequence[Observation]]
    attempts: Mapping[str, TrialAttempt]
    refused: frozenset[str]


def check_studies(study: Study, there: int, of_owner: int, most: int, most_of_owner: int) -> None:
    """See Storage.create_study."""
    owner = owner_of(study.spec.owner)
    if most_of_owner and owner and of_owner >= most_of_owner:
        raise ResourceExhaustedError(
            f"{owner} has {of_owner} studies, the most of one owner (--max-studies-per-owner): delete some that are not needed "
            "any more, or have the limit raised"
        )
    if most and there >= most:
        raise ResourceExhaustedError(
            f"there are {there} studies, the most that are kept here (--max-studies): delete some that are not needed any "
            "more, or have the limit raised"
        )


def observation_key(observation: Observation) -> Key:
    return observation.source, observation.position, observation.ordinal


def check_changes(changes: StudyChanges) -> None:
    """Raises ValueError for what no state of the study could make right."""
    for move in changes.moves:
        if (move.from_state, move.to_state) not in MOVES:
            raise ValueError(f"no trial may move from {move.from_state.value} to {move.to_state.value}")
    for stop in changes.stops:
        if not stop.reason:
            raise ValueError(f"the request to stop trial {stop.trial_id} has no reason")


def trials_named(changes: StudyChanges) -> set[str]:
    """The ids of the trials that the changes are about."""
    named = {intake.trial_id for intake in changes.intakes}
    named.update(move.trial_id for move in changes.moves)
    named.update(note.trial_id for note in changes.notes)
    named.update(stop.trial_id for stop in changes.stops)
    return named


def check_driver(study: Study, manager_id: str | None) -> None:
    if manager_id is not None and study.manager != manager_id:
        raise AbortedError(f"study {study.id} is driven by {study.manager or 'nobody'}, not by {manager_id}")


def decide_trials(
    study: Study,
    expected_suggested: int,
    trials: Sequence[NewTrial],
    at: datetime,
    client_id: str,
    manager_id: str | None,
    running: bool = False,
    lease: timedelta | None = None,
    now: datetime | None = None,
) -> tuple[Study, Sequence[Trial]]:
    """See Storage.add_trials. `now` by the clock of leases."""
    check_driver(study, manager_id)
    if study.suggested != expected_suggested:
        raise AbortedError(
            f"study {study.id} has {study.suggested} trials, not {expected_suggested} any more: "
            "somebody else has added some"
        )
    if study.state is not StudyState.RUNNING or study.intent is not Intent.NONE:
        doing = f"is to {study.intent.value}" if study.intent is not Intent.NONE else f"is {study.state.value}"
        raise AbortedError(f"study {study.id} {doing}: it takes no new trials")
    if not trials:
        return study, ()
    revision = study.revision + 1
    state = TrialState.RUNNING if running else TrialState.PENDING
    added = tuple(
        Trial(
            id=new.id,
            study_id=study.id,
            number=expected_suggested + i,
            attempt=1,
            state=state,
            parameters=new.parameters,
            tags=new.tags,
            reason=new.reason,
            message=_storable(new.message),
            created_at=at,
            started_at=at if running else None,
            client_id=new.client_id or client_id,
            revision=revision,
            lease=period,
            lease_until=None if period is None or now is None else now + period,
        )
        for i, new in enumerate(trials, start=1)
        for period in (new.lease if new.client_id else lease,)
    )
    counter = _COUNTERS[state]
    changed: dict[str, Any] = {
        "revision": revision,
        "suggested": study.suggested + len(added),
        counter: getattr(study, counter) + len(added),
    }
    return dataclasses.replace(study, **changed), added


def decide_changes(
    study: Study, trials: Mapping[str, Trial], changes: StudyChanges, seen: Mapping[str, Iterable[Key]]
) -> Decision:
    """See Storage.apply. `trials` are those of the study that the changes name; `seen` holds, by trial id, the keys that
    the current attempt has already among the observations of the intakes."""
    work = _Work(study, trials, seen)
    for intake in changes.intakes:
        work.intake(intake)
    for move in changes.moves:
        work.move(move)
    for note in changes.notes:
        work.note(note)
    for stop in changes.stops:
        work.stop(stop)
    if changes.study is not None:
        work.move_study(changes.study)
    return work.decision()


def decide_report(
    study: Study,
    trial: Trial,
    attempt: int,
    observations: Sequence[Observation],
    objective_name: str,
    strategy: MetricStrategy,
    seen: Iterable[Key],
    now: datetime,
    taken: int,
    most: int,
    allow: Callable[[Study, int], None] | None,
) -> Decision:
    """See Storage.report. `now` by the clock of leases; `taken`: how many the trial has."""
    if trial.state is not TrialState.RUNNING:
        raise FailedPreconditionError(
            f"trial {trial.id} is {trial.state.value}: only a running trial can report metrics"
        )
    if attempt not in (0, trial.attempt):
        raise FailedPreconditionError(
            f"trial {trial.id} is at attempt {trial.attempt}: what attempt {attempt} reports is not taken any more"
        )
    work = _Work(study, {trial.id: trial}, {trial.id: seen})
    work.take(trial, observations, objective_name, strategy)
    check_room(study, trial.id, taken, work.new_observations(trial.id), most, allow)
    work.renew(trial.id, now)
    return work.decision()


# What may be raised where a client is to be given trials, before anything is written.
GIVES_NOTHING: Final = (AbortedError, FailedPreconditionError, ResourceExhaustedError)


def check_room(
    study: Study, trial_id: str, taken: int, new: int, most: int, allow: Callable[[Study, int], None] | None
) -> None:
    """Raises ResourceExhaustedError where a trial that has `taken` observations may not get `new` more: see Storage.report."""
    if most and new and taken + new > most:
        raise ResourceExhaustedError(
            f"trial {trial_id} has reported {taken} values, and {new} more would be beyond {most}, the most of one trial "
            "(--max-observations-per-trial): report less often, for instance once for each epoch"
        )
    if new and allow is not None:
        allow(study, new)


def decide_study(study: Study, wanted: Study) -> Study:
    """See Storage.update_study: the study with what may be replaced taken from `wanted`; the same object if nothing is."""
    changed = dataclasses.replace(
        study,
        spec=wanted.spec,
        state=wanted.state,
        reason=wanted.reason,
        message=wanted.message,
        intent=wanted.intent,
        ended_at=wanted.ended_at,
    )
    return study if changed == study else dataclasses.replace(changed, revision=study.revision + 1)


def needs_driver(study: Study) -> bool:
    """Whether some manager has still something to do for it."""
    return not study.state.finished or study.intent is not Intent.NONE


class _Work:
    def __init__(self, study: Study, trials: Mapping[str, Trial], seen: Mapping[str, Iterable[Key]]) -> None:
        self._study = study
        self._revision = study.revision + 1
        self._trials = dict(trials)
        self._seen = {trial_id: set(keys) for trial_id, keys in seen.items()}
        self._changed: dict[str, Trial] = {}
        self._renewed: dict[str, Trial] = {}
        self._study_fields: dict[str, Any] = {}
        self._observations: dict[str, list[Observation]] = {}
        self._attempts: dict[str, TrialAttempt] = {}
        self._refused: set[str] = set()

    def intake(self, intake: Intake) -> None:
        trial = self._trials.get(intake.trial_id)
        if (
            trial is None
            or trial.state in FINISHED
            or trial.attempt != intake.attempt
            or trial.cursor != intake.from_cursor
        ):
            self._refused.add(intake.trial_id)
            return
        self.take(
            trial, intake.observations, intake.objective_name, intake.strategy, intake.to_cursor, intake.model_path
        )

    def take(
        self,
        trial: Trial,
        observations: Sequence[Observation],
        objective_name: str,
        strategy: MetricStrategy,
        cursor: str | None = None,
        model_path: str = "",
    ) -> None:
        seen = self._seen.setdefault(trial.id, set())
        new = []
        for observation in observations:
            key = observation_key(observation)
            if key not in seen:
                seen.add(key)
                new.append(
                    observation
                    if observation.attempt == trial.attempt
                    else dataclasses.replace(observation, attempt=trial.attempt)
                )
        if new:
            self._observations.setdefault(trial.id, []).extend(new)
            self._study_fields["observed"] = self._field("observed") + len(new)
        elif (cursor is None or cursor == trial.cursor) and model_path in ("", trial.model_path):
            return
        # Only new values count: under LATEST a repeated report would bring an older value back.
        objective = fold_objective(trial.objective, (o.value for o in new if o.name == objective_name), strategy)
        self._change(
            trial,
            objective=objective,
            cursor=trial.cursor if cursor is None else cursor,
            model_path=model_path or trial.model_path,
        )

    def new_observations(self, trial_id: str) -> int:
        return len(self._observations.get(trial_id, ()))

    def renew(self, trial_id: str, now: datetime) -> None:
        """Only this of a trial is no change that anybody waits for: its revision stays."""
        trial = self._trials[trial_id]
        if trial.lease is not None:
            renewed = dataclasses.replace(trial, lease_until=now + trial.lease)
            self._trials[trial_id] = renewed
            (self._changed if trial_id in self._changed else self._renewed)[trial_id] = renewed

    def move(self, move: TrialMove) -> None:
        trial = self._trials.get(move.trial_id)
        if trial is None or trial.state is not move.from_state or trial.attempt != move.attempt:
            self._refused.add(move.trial_id)
            return
        if move.to_state is TrialState.PENDING and trial.stop_reason not in _NOT_FOR_GOOD:
            # Whoever decided to try it again did not know yet that it has been asked to end.
            self._refused.add(move.trial_id)
            return
        fields: dict[str, Any] = {"state": move.to_state, "reason": move.reason, "message": _storable(move.message)}
        if move.to_state is TrialState.PENDING:
            self._attempts[trial.id] = TrialAttempt(
                number=trial.attempt,
                run=trial.run,
                reason=move.failed_reason,
                message=_storable(move.failed_message),
                objective=trial.objective,
                started_at=trial.started_at,
                ended_at=move.at,
            )
            fields |= {
                "attempt": trial.attempt + 1,
                "run": "",
                "cursor": "",
                "model_path": "",
                "objective": None,
                "stop_reason": "",
                "stop_message": "",
                "started_at": None,
                "not_before": move.not_before,
            }
        elif move.to_state is TrialState.RUNNING:
            fields |= {"run": move.run, "started_at": move.at, "not_before": None}
            if trial.stop_reason:
                fields |= {"reason": TrialReason.STOPPING, "message": fields["message"] or trial.stop_message}
        else:
            fields |= {"ended_at": move.at, "lease": None, "lease_until": None}
        self._count(move.from_state, -1)
        self._count(move.to_state, 1)
        moved = self._change(trial, **fields)
        if moved.state is TrialState.COMPLETED:
            self._rank(moved)

    def note(self, note: TrialNote) -> None:
        trial = self._trials.get(note.trial_id)
        if trial is None or trial.state in FINISHED or trial.attempt != note.attempt:
            self._refused.add(note.trial_id)
            return
        reason = TrialReason.STOPPING if trial.stop_reason else note.reason
        message = _storable(note.message) or trial.stop_message
        if (trial.reason, trial.message) != (reason, message):
            self._change(trial, reason=reason, message=message)

    def stop(self, stop: StopRequest) -> None:
        trial = self._trials.get(stop.trial_id)
        if trial is None or trial.state in FINISHED:
            self._refused.add(stop.trial_id)
        elif not trial.stop_reason or (trial.stop_reason in _NOT_FOR_GOOD and stop.reason not in _NOT_FOR_GOOD):
            message = _storable(stop.message)
            self._change(
                trial,
                stop_reason=stop.reason,
                stop_message=message,
                reason=TrialReason.STOPPING,
                message=message,
            )

    def move_study(self, move: StudyMove) -> None:
        study, read = self._study, move.read
        if read is not None:
            changed = (read.state, read.intent, read.spec) != (study.state, study.intent, study.spec)
            # A client may have taken a trial since: it would be left behind.
            unfinished = self._field("pending") + self._field("running")
            if changed or (move.state.finished and unfinished):
                self._refused.add(study.id)
                return
        message = _storable(move.message)
        if (study.state, study.reason, study.message) == (move.state, move.reason, message):
            return
        self._study_fields |= {"state": move.state, "reason": move.reason, "message": message}
        self._study_fields["ended_at"] = move.at if move.state.finished else None
        if move.state.finished and study.intent is Intent.STOP:
            # It has come to what was asked; an intent that stayed would keep a manager at it, and bar its resumption.
            self._study_fields["intent"] = Intent.NONE

    def decision(self) -> Decision:
        study = self._study
        if self._changed or self._study_fields:
            study = dataclasses.replace(study, revision=self._revision, **self._study_fields)
        trials = {**self._renewed, **self._changed}
        return Decision(study, trials, self._observations, self._attempts, frozenset(self._refused))

    def _change(self, trial: Trial, **fields: Any) -> Trial:
        changed = dataclasses.replace(trial, revision=self._revision, **fields)
        self._trials[trial.id] = self._changed[trial.id] = changed
        return changed

    def _count(self, state: TrialState, by: int) -> None:
        counter = _COUNTERS[state]
        self._study_fields[counter] = self._field(counter) + by

    def _rank(self, trial: Trial) -> None:
        """Strictly better ones only: among equals the one that completed first stays."""
        if trial.objective is None:
            return
        best = self._field("best_objective")
        if best is None or self._study.spec.better(trial.objective, best):
            self._study_fields |= {"best_trial_id": trial.id, "best_objective": trial.objective}

    def _field(self, name: str) -> Any:
        return self._study_fields[name] if name in self._study_fields else getattr(self._study, name)


def _storable(message: str) -> str:
    """Without halves of surrogate pairs: they come with file names and output that are no UTF-8, no database takes them, and
    a trial must not stand still for its message."""
    return message if message.isascii() else message.encode(errors="replace").decode()
