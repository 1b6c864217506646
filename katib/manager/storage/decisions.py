"""What a change does to a study and its trials: pure functions of what was read, shared by every storage.

A storage reads under its lock, lets these decide, and writes what they return.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from katib.domain.errors import AbortedError, FailedPreconditionError, ResourceExhaustedError
from katib.domain.metrics import Observation
from katib.domain.permissions import owner_of
from katib.domain.study import Intent, Study, StudyState
from katib.domain.trial import MOVES, NewTrial, Trial, TrialState
from katib.manager.changes import StudyChanges
from katib.manager.storage.work import COUNTERS, Decision, Key, Work, storable


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
    manager_id: str | None,
    running: bool,
    now: datetime,
    client_id: str = "",
    lease: timedelta | None = None,
) -> tuple[Study, Sequence[Trial]]:
    """See Storage.add_trials. `now` by the clock of leases. `client_id` and `lease`: of those that name no client."""
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
            message=storable(new.message),
            created_at=at,
            started_at=at if running else None,
            client_id=new.client_id or client_id,
            revision=revision,
            lease=period,
            lease_until=None if period is None else now + period,
        )
        for i, new in enumerate(trials, start=1)
        for period in (new.lease if new.client_id else lease,)
    )
    counter = COUNTERS[state]
    algorithms = {new.algorithm for new in trials}
    algorithm = algorithms.pop() if len(algorithms) == 1 else ""
    changed: dict[str, Any] = {
        "revision": revision,
        "suggested": study.suggested + len(added),
        "suggester": algorithm if study.suggested_by(algorithm) else "",
        counter: getattr(study, counter) + len(added),
    }
    return dataclasses.replace(study, **changed), added


def decide_changes(
    study: Study, trials: Mapping[str, Trial], changes: StudyChanges, seen: Mapping[str, Iterable[Key]]
) -> Decision:
    """See Storage.apply. `trials` are those of the study that the changes name; `seen` holds, by trial id, the keys that
    the current attempt has already among the observations of the intakes."""
    work = Work(study, trials, seen)
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
    if changes.places is not None:
        work.place(changes.places)
    return work.decision()


def decide_report(
    study: Study,
    trial: Trial,
    attempt: int,
    observations: Sequence[Observation],
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
    work = Work(study, {trial.id: trial}, {trial.id: seen})
    work.take(trial, observations)
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
        # Whoever asks for it again does not want one that is about to go.
        request_id="" if wanted.intent is Intent.DELETE else study.request_id,
    )
    return study if changed == study else dataclasses.replace(changed, revision=study.revision + 1)


def needs_driver(study: Study) -> bool:
    """Whether some manager has still something to do for it."""
    return not study.state.finished or study.intent is not Intent.NONE
