"""What changes a study and its trials: lock the study, read the trials, decide, write.

The study's row is locked first, so that writes to one study and its trials follow one another in every process. Each
statement finds its rows by a primary key or an index, whatever the size of the study.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from katib.domain.errors import NotFoundError
from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.study import Study
from katib.domain.trial import UNFINISHED, NewTrial, Trial
from katib.manager.changes import Applied, StudyChanges
from katib.manager.storage.decisions import (
    Decision,
    Key,
    check_changes,
    check_driver,
    decide_changes,
    decide_report,
    decide_trials,
    trials_named,
)
from katib.manager.storage.leases import decide_given, decide_hand_out
from katib.manager.storage.sql.attempts import store_attempts
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.observations import seen_keys
from katib.manager.storage.sql.rows import (
    STUDY_COLUMNS,
    TRIAL_COLUMNS,
    TRIAL_LEASE,
    TRIAL_PROGRESS,
    observation_to_row,
    study_from_row,
    trial_from_row,
    trial_lease_to_row,
    trial_progress_to_row,
    trial_to_row,
)
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, by_index, parameters
from katib.manager.storage.sql.studies import THERE, lock_study, lock_study_and, lock_study_at, store_study
from katib.manager.storage.sql.tables import observations, studies, trials
from katib.manager.storage.sql.trials import in_states
from katib.manager.storage.times import from_micros, to_micros

# At most this many trials are looked up by one statement.
_AT_ONCE: Final = 256

_LOCK_BY_TRIAL: Final = Statement(
    select(*STUDY_COLUMNS, now_micros())
    .where(studies.c.id == select(trials.c.study_id).where(trials.c.id == bindparam("trial")).scalar_subquery(), THERE)
    .with_for_update()
)
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
_with_taken: Final = select(*TRIAL_COLUMNS, trials.c.taken).where(trials.c.study_id == bindparam("study"))
_OF_CLIENT: Final = Statement(
    by_index(
        trials,
        "ix_trials_study_id_client_id_state",
        _with_taken.where(trials.c.client_id == bindparam("client"), in_states(UNFINISHED)),
    )
)
_LAPSED: Final = Statement(
    by_index(trials, "ix_trials_study_id_lease_ends", _with_taken.where(trials.c.lease_ends <= bindparam("now")))
    .order_by(trials.c.lease_ends)
    .limit(bindparam("size"))
)
_LAPSED_NOW: Final = Statement(
    by_index(trials, "ix_trials_study_id_lease_ends", _with_taken.where(trials.c.lease_ends <= now_micros()))
    .order_by(trials.c.lease_ends)
    .limit(bindparam("size"))
)
# Of those whose lease is over some may be the client's own.
_MANY: Final = 1000
# Of those whose lease is over, some may be about to end, and are passed over.
_SPARE: Final = 100


def add_trials(
    session: Session,
    study_id: str,
    expected_suggested: int,
    new: Sequence[NewTrial],
    at: datetime,
    client_id: str,
    manager_id: str | None,
    running: bool,
    lease: timedelta | None,
) -> Sequence[Trial]:
    before, now = lock_study_at(session, study_id)
    study, added = decide_trials(
        before, expected_suggested, new, at, client_id, manager_id, running, lease=lease, now=now
    )
    session.write_all(_INSERT_TRIAL, [trial_to_row(trial) for trial in added])
    store_study(session, before, study)
    return added


def apply(session: Session, study_id: str, changes: StudyChanges, manager_id: str | None) -> Applied:
    study = lock_study(session, study_id)
    check_driver(study, manager_id)
    read, taken = _read_trials(session, study_id, trials_named(changes))
    seen: dict[str, list[Key]] = {}
    for intake in changes.intakes:
        trial = read.get(intake.trial_id)
        if trial is not None and trial.attempt == intake.attempt and taken[trial.id] and intake.observations:
            seen.setdefault(trial.id, []).extend(seen_keys(session, trial.id, trial.attempt, intake.observations))
    decision = decide_changes(study, read, changes, seen)
    _store(session, study, read, taken, decision)
    return Applied(decision.study, decision.trials, decision.refused)


def report(
    session: Session,
    trial_id: str,
    attempt: int,
    new: Sequence[Observation],
    objective_name: str,
    strategy: MetricStrategy,
    check: Callable[[Study, Trial], None] | None,
) -> Trial:
    study, now, trial, taken = _lock_trial(session, trial_id)
    if check is not None:
        check(study, trial)
    if not objective_name:
        objective_name, strategy = study.spec.objective_name, study.spec.objective_strategy
    seen = seen_keys(session, trial_id, trial.attempt, new) if taken else ()
    decision = decide_report(study, trial, attempt, new, objective_name, strategy, seen, now)
    _store(session, study, {trial_id: trial}, {trial_id: taken}, decision)
    return decision.trials.get(trial_id, trial)


def hand_out(
    session: Session, study_id: str, client_id: str, count: int, lease: timedelta, at: datetime, again: bool
) -> Sequence[Trial]:
    study, now = lock_study_at(session, study_id)
    mine = session.rows(_OF_CLIENT, study=study_id, client=client_id)
    lapsed = session.rows(_LAPSED, study=study_id, now=to_micros(now), size=count + len(mine) + _SPARE)
    taken = {row[0]: row[-1] for row in (*mine, *lapsed)}
    own, others = [trial_from_row(row) for row in mine], [trial_from_row(row) for row in lapsed]
    decision, given = decide_hand_out(study, own, others, client_id, count, lease, at, now, again)
    _store(session, study, {trial.id: trial for trial in (*own, *others)}, taken, decision)
    return given


def give_trials(
    session: Session,
    study_id: str,
    client_id: str,
    count: int,
    lease: timedelta | None,
    at: datetime,
    choose: Callable[[Study, int], Sequence[NewTrial]],
) -> Sequence[Trial]:
    about: tuple[tuple[Statement, Mapping[str, Any]], ...] = ()
    if lease is not None:
        about = (
            (_OF_CLIENT, {"study": study_id, "client": client_id}),
            (_LAPSED_NOW, {"study": study_id, "size": count + _MANY}),
        )
    study, now, found = lock_study_and(session, study_id, *about)
    mine, lapsed = found or ((), ())
    taken = {row[0]: row[-1] for row in (*mine, *lapsed)}
    own, others = [trial_from_row(row) for row in mine], [trial_from_row(row) for row in lapsed]
    decision, given, changed, added = decide_given(study, own, others, client_id, count, lease, at, now, choose)
    _store(session, study, {trial.id: trial for trial in (*own, *others)}, taken, decision)
    session.write_all(_INSERT_TRIAL, [trial_to_row(trial) for trial in added])
    store_study(session, decision.study, changed)
    return (*given, *added)


def apply_to(session: Session, trial_id: str, decide: Callable[[Study, Trial], StudyChanges | None]) -> Applied:
    study, _, trial, taken = _lock_trial(session, trial_id)
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
    _store(session, study, {trial_id: trial}, {trial_id: taken}, decision)
    return Applied(decision.study, decision.trials, decision.refused)


def _lock_trial(session: Session, trial_id: str) -> tuple[Study, datetime, Trial, int]:
    """The trial's study, which is locked, the database's time, the trial and its last `seq`. The lock comes first: what is read
    of the trial is then as it stays."""
    studies_, trials_ = session.read((_LOCK_BY_TRIAL, {"trial": trial_id}), (_by_ids(1), {"trial0": trial_id}))
    if not studies_:
        raise NotFoundError(f"there is no trial {trial_id}")
    return study_from_row(studies_[0]), from_micros(studies_[0][-1]), trial_from_row(trials_[0]), trials_[0][-1]


def _read_trials(session: Session, study_id: str, trial_ids: Iterable[str]) -> tuple[dict[str, Trial], dict[str, int]]:
    """Those that are there, and the last `seq` of each."""
    ids = list(trial_ids)
    found, taken = {}, {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        # One statement for each power of two: the last id is named again to fill it up.
        size = 1 << (len(some) - 1).bit_length()
        some += some[-1:] * (size - len(some))
        values = {f"trial{i}": trial_id for i, trial_id in enumerate(some)}
        for row in session.rows(_by_ids(size), **values):
            trial = trial_from_row(row)
            # Looked at here: as a condition it could tempt the database to read the whole study.
            if trial.study_id == study_id:
                found[trial.id], taken[trial.id] = trial, row[-1]
    return found, taken


@cache
def _by_ids(size: int) -> Statement:
    return Statement(select(*TRIAL_COLUMNS, trials.c.taken).where(trials.c.id.in_(parameters("trial", size))))


def _store(
    session: Session, study: Study, read: Mapping[str, Trial], taken: Mapping[str, int], decision: Decision
) -> None:
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
    session.write_all(_INSERT_OBSERVATION, new)
    store_attempts(session, decision.attempts)
    for statement, changed in rows.items():
        session.write_all(statement, changed, exactly=True)
    store_study(session, study, decision.study)


def _statement(before: Trial, trial: Trial) -> Statement:
    """The one that sets what has changed, and touches no index that it need not."""
    if trial.client_id != before.client_id:
        return _HAND_ON
    leased = before.lease is not None or trial.lease is not None
    if trial.state is before.state:
        return _LEASED_PROGRESS if leased else _PROGRESS
    return _LEASED_MOVE if leased else _MOVE
