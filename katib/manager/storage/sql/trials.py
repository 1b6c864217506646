"""Trials as they are read: one, a page, a kind."""

import heapq
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, literal, select, union_all

from katib.domain.errors import NotFoundError
from katib.domain.times import to_micros
from katib.domain.trial import UNFINISHED, Trial, TrialState
from katib.domain.views import Page
from katib.manager.ports import TrialFilter
from katib.manager.storage.sql.all_trials import NARROW, page_of_all, prefix_values, with_prefix
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.rows import TRIAL_COLUMNS, trial_from_row
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement, by_index
from katib.manager.storage.sql.studies import THERE, require_study
from katib.manager.storage.sql.tables import studies, trials
from katib.manager.storage.tokens import TRIAL_KEY, TRIAL_OF_STUDY_KEY, make_token, read_token, trial_list

# Trials of a study that is there: while a deleted one's are being removed, nobody sees them any more.
OF_LIVING: Final = trials.join(studies, studies.c.id == trials.c.study_id)

_by_study: Final = select(*TRIAL_COLUMNS).where(trials.c.study_id == bindparam("study"))
_GET: Final = Statement(select(*TRIAL_COLUMNS).select_from(OF_LIVING).where(trials.c.id == bindparam("trial"), THERE))


def in_states(states: Iterable[TrialState]) -> ColumnElement[bool]:
    return trials.c.state.in_([literal(value) for value in sorted(state.value for state in states)])


# Of what has a lease: a manager of an older version may have left one to a trial that has ended.
IS_RUNNING: Final = in_states((TrialState.RUNNING,))
# Few of many: put in order here, since SQLite, asked to, would rather read the whole study by number.
_UNFINISHED: Final = Statement(
    by_index(trials, "ix_trials_study_id_state_number", _by_study.where(in_states(UNFINISHED)))
)
_client_ids: Final = by_index(
    trials,
    "ix_trials_study_id_client_id_state",
    select(trials.c.id).where(
        trials.c.study_id == bindparam("study"), trials.c.client_id == bindparam("client"), in_states(UNFINISHED)
    ),
)
_lapsed_ids: Final = by_index(
    trials,
    "ix_trials_study_id_lease_ends",
    select(trials.c.id).where(trials.c.study_id == bindparam("study"), trials.c.lease_ends <= now_micros(), IS_RUNNING),
)
_FOR_CLIENT: Final = Statement(union_all(_client_ids, _lapsed_ids).limit(literal(1)))
_LEASED: Final = Statement(
    by_index(
        trials,
        "ix_trials_study_id_lease_ends",
        select(trials.c.id).where(
            trials.c.study_id == bindparam("study"), trials.c.lease_ends.is_not(None), IS_RUNNING
        ),
    ).limit(literal(1))
)


def changed_statements(of_study: Select[Any]) -> tuple[Statement, Statement]:
    """For a list of a study's trials that goes by revision: `size` of those after `revision`, the lowest revisions first; and
    all of a `revision`, which is given whole.

    By revision and not also by number, which the index does not have: MySQL and MariaDB would read and sort all that follow for
    each page.
    """
    changed, whole = (
        by_index(trials, "ix_trials_study_id_revision", of_study.where(condition))
        for condition in (
            trials.c.revision > bindparam("revision"),
            trials.c.revision == bindparam("revision"),
        )
    )
    return Statement(changed.order_by(trials.c.revision).limit(bindparam("size"))), Statement(whole)


_CHANGED, _OF_REVISION = changed_statements(_by_study)


def get_trial(session: Session, trial_id: str) -> Trial:
    row = session.row(_GET, trial=trial_id)
    if row is None:
        raise NotFoundError(f"there is no trial {trial_id}")
    return trial_from_row(row)


def unfinished_trials(session: Session, study_id: str) -> Sequence[Trial]:
    return sorted(_of_study(session, study_id, _UNFINISHED), key=_trial_number)


def has_trials_for(session: Session, study_id: str, client_id: str) -> bool:
    return session.row(_FOR_CLIENT, study=study_id, client=client_id) is not None


def has_leases(session: Session, study_id: str) -> bool:
    return session.row(_LEASED, study=study_id) is not None


def changed_trials(session: Session, study_id: str, after_revision: int, limit: int) -> Sequence[Trial]:
    found = list(_of_study(session, study_id, _CHANGED, revision=after_revision, size=limit))
    if len(found) == limit and found:
        # One of them that changes between the two queries has a greater revision then, and comes with the next call.
        whole = _of_study(session, study_id, _OF_REVISION, revision=found[-1].revision)
        found = list({trial.id: trial for trial in (*found, *whole)}.values())
    return sorted(found, key=_by_revision)


def list_trials(session: Session, filter_: TrialFilter, page_size: int, page_token: str) -> Page[Trial]:
    list_ = trial_list(filter_)
    kinds = TRIAL_OF_STUDY_KEY if filter_.study_id else TRIAL_KEY
    key = read_token(list_, page_token, kinds) if page_token else None
    more: Sequence[Any] | None = None
    if filter_.study_id:
        rows, key_of = _page_of_study(session, filter_, key, page_size + 1), _number_key
    else:
        (rows, more), key_of = page_of_all(session, filter_, key, page_size + 1), _age_key
    page = [trial_from_row(row) for row in rows[:page_size]]
    if len(rows) > page_size:
        more = key_of(page[-1])
    return Page(page, make_token(list_, more) if more else "")


def _page_of_study(session: Session, filter_: TrialFilter, key: Sequence[Any] | None, size: int) -> Sequence[Row]:
    require_study(session, filter_.study_id)
    values: dict[str, Any] = {"size": size, "study": filter_.study_id, **prefix_values(filter_.id_prefix)}
    if key is not None:
        values["after"] = key[0]
    if filter_.number:
        values["number"] = filter_.number
    statement = _study_page(
        bool(filter_.states),
        bool(filter_.id_prefix),
        len(filter_.id_prefix) >= NARROW,
        filter_.newest_first,
        key is not None,
        bool(filter_.number),
    )
    if not filter_.states:
        return session.rows(statement, **values)
    # By state and merged: each is a range of an index, where all at once would be a search through the whole study for the
    # few that are, say, running.
    parts = [session.rows(statement, **values, state=state.value) for state in filter_.states]
    merged = heapq.merge(*parts, key=_number, reverse=filter_.newest_first)
    return list(merged)


@cache
def _study_page(state: bool, prefix: bool, narrow: bool, newest_first: bool, after: bool, numbered: bool) -> Statement:
    if prefix and narrow:
        # Not to be found by the study, which may be large, but by the id.
        in_study = trials.c.study_id.concat(literal("")) == bindparam("study")
        statement = select(*TRIAL_COLUMNS).where(in_study)
    else:
        statement = by_index(trials, "ix_trials_study_id_state_number", _by_study) if state else _by_study
    if state:
        statement = statement.where(trials.c.state == bindparam("state"))
    if prefix:
        statement = with_prefix(statement)
    if after:
        last: BindParameter[int] = bindparam("after")
        statement = statement.where(trials.c.number < last if newest_first else trials.c.number > last)
    if numbered:
        statement = statement.where(trials.c.number == bindparam("number"))
    order = trials.c.number.desc() if newest_first else trials.c.number
    return Statement(statement.order_by(order).limit(bindparam("size")))


def _of_study(session: Session, study_id: str, statement: Statement, **values: Any) -> Sequence[Trial]:
    require_study(session, study_id)
    return [trial_from_row(row) for row in session.rows(statement, study=study_id, **values)]


def _number(row: Row) -> int:
    return int(row[2])


def _trial_number(trial: Trial) -> int:
    return trial.number


def _by_revision(trial: Trial) -> tuple[int, int]:
    return trial.revision, trial.number


def _number_key(trial: Trial) -> tuple[int | str, ...]:
    return (trial.number,)


def _age_key(trial: Trial) -> tuple[int | str, ...]:
    return to_micros(trial.created_at), trial.number, trial.id
