"""What changes a study and its trials: lock the study, read the trials, decide, write.

The study's row is locked first, so that writes to one study and its trials follow one another in every process. Each
statement finds its rows by a primary key or an index, whatever the size of the study. Those that a group of writes can share
are shared (held.py).
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, insert, update

from katib.domain.metrics import Observation
from katib.domain.study import Study
from katib.domain.trial import NewTrial, Trial
from katib.manager.changes import Applied, Giving, StudyChanges
from katib.manager.storage.decisions import (
    GIVES_NOTHING,
    check_changes,
    check_driver,
    check_room,
    decide_changes,
    decide_report,
    decide_trials,
    trials_named,
)
from katib.manager.storage.leases import check_own, decide_given, decide_hand_out
from katib.manager.storage.sql.attempts import store_attempts
from katib.manager.storage.sql.locking import lock_client, lock_clients, lock_trial, read_by_ids
from katib.manager.storage.sql.observations import seen_keys
from katib.manager.storage.sql.rows import (
    TRIAL_LEASE,
    TRIAL_PROGRESS,
    observation_to_row,
    trial_from_row,
    trial_lease_to_row,
    trial_progress_to_row,
    trial_to_row,
)
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.studies import lock_study, store_study
from katib.manager.storage.sql.tables import observations, trials
from katib.manager.storage.work import Decision, Key

# At most this many trials are looked up by one statement.
_AT_ONCE: Final = 256

_INSERT_TRIAL: Final = Statement(insert(trials))
_INSERT_OBSERVATION: Final = Statement(insert(observations))
_as_read: Final = (
    update(trials)
    .where(trials.c.id == bindparam("trial"))
    .where(trials.c.state == bindparam("from_state"), trials.c.attempt == bindparam("from_attempt"))
)
# A statement that does not name the state leaves alone the indexes that hold it.
_PROGRESS: Final = Statement(_as_read, (*TRIAL_PROGRESS, "taken"))
_MOVE: Final = Statement(_as_read, (*TRIAL_PROGRESS, "taken", "state", "attempt"))
_LEASED_PROGRESS: Final = Statement(_as_read, (*TRIAL_PROGRESS, "taken", *TRIAL_LEASE))
_LEASED_MOVE: Final = Statement(_as_read, (*TRIAL_PROGRESS, "taken", *TRIAL_LEASE, "state", "attempt"))
_HAND_ON: Final = Statement(_as_read, (*TRIAL_PROGRESS, "taken", *TRIAL_LEASE, "attempt", "client_id"))


def add_trials(
    session: Session,
    study_id: str,
    expected_suggested: int,
    new: Sequence[NewTrial],
    at: datetime,
    manager_id: str | None,
    running: bool,
    own: Mapping[str, Collection[str]],
) -> Sequence[Trial]:
    held = lock_clients(session, study_id, own) if own else lock_study(session, study_id)
    check_own(own, (trial for client in own for trial in session.held.of_client(study_id, client)))
    study, added = decide_trials(held.study, expected_suggested, new, at, manager_id, running, held.at)
    _insert(session, added)
    store_study(session, study)
    return added


def apply(session: Session, study_id: str, changes: StudyChanges, manager_id: str | None) -> Applied:
    study = lock_study(session, study_id).study
    check_driver(study, manager_id)
    read, taken = _read_trials(session, study_id, trials_named(changes))
    seen: dict[str, list[Key]] = {}
    for intake in changes.intakes:
        trial = read.get(intake.trial_id)
        if trial is not None and trial.attempt == intake.attempt and taken[trial.id] and intake.observations:
            seen.setdefault(trial.id, []).extend(seen_keys(session, trial.id, trial.attempt, intake.observations))
    decision = decide_changes(study, read, changes, seen)
    _store(session, read, taken, decision)
    return Applied(decision.study, decision.trials, decision.refused)


def report(
    session: Session,
    trial_id: str,
    attempt: int,
    new: Sequence[Observation],
    check: Callable[[Study, Trial], None] | None,
    most: int,
    allow: Callable[[Study, int], None] | None,
) -> Trial:
    held, trial, taken = lock_trial(session, trial_id)
    study = held.study
    if check is not None:
        check(study, trial)
    seen = seen_keys(session, trial_id, trial.attempt, new) if taken else ()
    decision = decide_report(study, trial, attempt, new, seen, held.at, taken, most, allow)
    _store(session, {trial_id: trial}, {trial_id: taken}, decision)
    return decision.trials.get(trial_id, trial)


def hand_out(
    session: Session, study_id: str, client_id: str, count: int, lease: timedelta, at: datetime, again: bool
) -> Sequence[Trial]:
    held, mine, lapsed = lock_client(session, study_id, client_id, count)
    decision, given = decide_hand_out(held.study, mine, lapsed, client_id, count, lease, at, held.at, again)
    _store_held(session, decision)
    return given


def give_trials(session: Session, give: Giving) -> Applied:
    mine: Sequence[Trial] = ()
    lapsed: Sequence[Trial] = ()
    if give.lease is None:
        held = lock_study(session, give.study_id)
    else:
        held, mine, lapsed = lock_client(session, give.study_id, give.client_id, give.count)
    decision, given, changed, added = decide_given(held.study, mine, lapsed, give, held.at)
    _store_held(session, decision)
    _insert(session, added)
    store_study(session, changed)
    return Applied(changed, {}, frozenset(), (*given, *added))


def apply_to(
    session: Session,
    trial_id: str,
    decide: Callable[[Study, Trial], StudyChanges | None],
    most: int,
    allow: Callable[[Study, int], None] | None,
    give: Giving | None,
) -> Applied:
    applied = _apply_to(session, trial_id, decide, most, allow)
    if give is None:
        return applied
    try:
        then = give_trials(session, dataclasses.replace(give, study_id=applied.study.id))
    except GIVES_NOTHING:
        return applied
    return dataclasses.replace(applied, study=then.study, given=then.given)


def _apply_to(
    session: Session,
    trial_id: str,
    decide: Callable[[Study, Trial], StudyChanges | None],
    most: int,
    allow: Callable[[Study, int], None] | None,
) -> Applied:
    held, trial, taken = lock_trial(session, trial_id)
    study = held.study
    changes = decide(study, trial)
    if changes is None:
        return Applied(study, {}, frozenset())
    check_changes(changes)
    assert trials_named(changes) <= {trial_id}
    seen: list[Key] = []
    if taken:
        for intake in changes.intakes:
            seen += seen_keys(session, trial_id, trial.attempt, intake.observations)
    decision = decide_changes(study, {trial_id: trial}, changes, {trial_id: seen})
    check_room(study, trial_id, taken, len(decision.observations.get(trial_id, ())), most, allow)
    _store(session, {trial_id: trial}, {trial_id: taken}, decision)
    return Applied(decision.study, decision.trials, decision.refused)


def _insert(session: Session, new: Sequence[Trial]) -> None:
    session.write_all(_INSERT_TRIAL, [trial_to_row(trial) for trial in new])
    for trial in new:
        session.held.change(trial, 0)


def _read_trials(session: Session, study_id: str, trial_ids: Iterable[str]) -> tuple[dict[str, Trial], dict[str, int]]:
    """Those that are there, and the last `seq` of each."""
    ids = list(trial_ids)
    found, taken = {}, {}
    for start in range(0, len(ids), _AT_ONCE):
        statement, values = read_by_ids(ids[start : start + _AT_ONCE])
        for row in session.rows(statement, **values):
            trial = trial_from_row(row)
            # Looked at here: as a condition it could tempt the database to read the whole study.
            if trial.study_id == study_id:
                found[trial.id], taken[trial.id] = trial, row[-1]
    return found, taken


def _store_held(session: Session, decision: Decision) -> None:
    found = {trial_id: session.held.trials[trial_id] for trial_id in decision.trials}
    read, taken = {i: trial for i, (trial, _) in found.items()}, {i: seq for i, (_, seq) in found.items()}
    _store(session, read, taken, decision)


def _store(session: Session, read: Mapping[str, Trial], taken: Mapping[str, int], decision: Decision) -> None:
    rows: dict[Statement, list[dict[str, Any]]] = {}
    new = []
    for trial_id, trial in decision.trials.items():
        before, seq = read[trial_id], taken[trial_id]
        for observation in decision.observations.get(trial_id, ()):
            seq += 1
            new.append(observation_to_row(trial_id, seq, observation))
        row = trial_progress_to_row(trial)
        row |= {"trial": trial_id, "from_state": before.state.value, "from_attempt": before.attempt, "taken": seq}
        row |= {"state": trial.state.value, "attempt": trial.attempt, "client_id": trial.client_id}
        row |= trial_lease_to_row(trial)
        rows.setdefault(_statement(before, trial), []).append(row)
        session.held.change(trial, seq)
    session.write_all(_INSERT_OBSERVATION, new)
    store_attempts(session, decision.attempts)
    for statement, changed in rows.items():
        session.write_all(statement, changed, exactly=True)
    store_study(session, decision.study)


def _statement(before: Trial, trial: Trial) -> Statement:
    """The one that sets what has changed, and touches no index that it need not."""
    if trial.client_id != before.client_id:
        return _HAND_ON
    # One that is as it was read may have been renewed since, by somebody who changed nothing else (kept.py).
    leased = (before.lease, before.lease_until) != (trial.lease, trial.lease_until)
    if trial.state is before.state:
        return _LEASED_PROGRESS if leased else _PROGRESS
    return _LEASED_MOVE if leased else _MOVE
