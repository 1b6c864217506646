"""What changes do to trials as they were read, one after the other: the work behind the decisions."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from katib.domain.metrics import Observation, fold_objective
from katib.domain.study import Intent, Study
from katib.domain.trial import FINISHED, Trial, TrialAttempt, TrialReason, TrialState
from katib.manager.changes import Intake, StopRequest, StudyMove, TrialMove, TrialNote

# An observation within its trial's attempt.
Key = tuple[str, int, int]

# What a trial may have been asked to end for and still be tried again.
_NOT_FOR_GOOD: Final = frozenset({"", TrialReason.DEADLINE_EXCEEDED})
COUNTERS: Final = {
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


def observation_key(observation: Observation) -> Key:
    return observation.source, observation.position, observation.ordinal


class Work:
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
        self.take(trial, intake.observations, intake.to_cursor, intake.model_path)

    def take(
        self,
        trial: Trial,
        observations: Sequence[Observation],
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
        spec = self._study.spec
        values = (o.value for o in new if o.name == spec.objective_name)
        objective = fold_objective(trial.objective, values, spec.objective_strategy)
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
        fields: dict[str, Any] = {"state": move.to_state, "reason": move.reason, "message": storable(move.message)}
        if move.to_state is TrialState.PENDING:
            self._attempts[trial.id] = TrialAttempt(
                number=trial.attempt,
                run=trial.run,
                reason=move.failed_reason,
                message=storable(move.failed_message),
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
        message = storable(note.message) or trial.stop_message
        if (trial.reason, trial.message) != (reason, message):
            self._change(trial, reason=reason, message=message)

    def stop(self, stop: StopRequest) -> None:
        trial = self._trials.get(stop.trial_id)
        if trial is None or trial.state in FINISHED or stop.attempt not in (None, trial.attempt):
            self._refused.add(stop.trial_id)
        elif not trial.stop_reason or (trial.stop_reason in _NOT_FOR_GOOD and stop.reason not in _NOT_FOR_GOOD):
            message = storable(stop.message)
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
        message = storable(move.message)
        if (study.state, study.reason, study.message) == (move.state, move.reason, message):
            return
        self._study_fields |= {"state": move.state, "reason": move.reason, "message": message}
        self._study_fields["ended_at"] = move.at if move.state.finished else None
        if move.state.finished and study.intent is Intent.STOP:
            # It has come to what was asked; an intent that stayed would keep a manager at it, and bar its resumption.
            self._study_fields["intent"] = Intent.NONE

    def place(self, places: tuple[str, ...]) -> None:
        if places != self._study.places:
            self._study_fields["places"] = places

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
        counter = COUNTERS[state]
        self._study_fields[counter] = self._field(counter) + by

    def _rank(self, trial: Trial) -> None:
        """Strictly better ones only: among equals the one that completed first stays. NaN is the best of nothing."""
        if trial.objective is None or math.isnan(trial.objective):
            return
        best = self._field("best_objective")
        if best is None or self._study.spec.better(trial.objective, best):
            self._study_fields |= {"best_trial_id": trial.id, "best_objective": trial.objective}

    def _field(self, name: str) -> Any:
        return self._study_fields[name] if name in self._study_fields else getattr(self._study, name)


def storable(message: str) -> str:
    """Without halves of surrogate pairs: they come with file names and output that are no UTF-8, no database takes them, and
    a trial must not stand still for its message."""
    return message if message.isascii() else message.encode(errors="replace").decode()
