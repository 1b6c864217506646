"""Studies: create, read, list, update."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from sqlalchemy import BindParameter, bindparam, insert, or_, select, update

from katib.domain.errors import NotFoundError
from katib.domain.permissions import owner_of
from katib.domain.study import Study
from katib.domain.times import from_micros, to_micros
from katib.domain.views import Page
from katib.manager.ports import StudyFilter
from katib.manager.storage.decisions import check_studies, decide_study
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.grants import granted, grantee_values, grantees_in, insert_grants
from katib.manager.storage.sql.held import HeldStudy, Instant
from katib.manager.storage.sql.rows import (
    DELETED,
    STUDY_COLUMNS,
    STUDY_COUNTS,
    STUDY_SPEC,
    STUDY_STATE,
    study_counts_to_row,
    study_from_row,
    study_spec_to_row,
    study_state_to_row,
    study_to_row,
)
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement, parameters
from katib.manager.storage.sql.tables import studies
from katib.manager.storage.sql.usage import count_studies
from katib.manager.storage.tokens import STUDY_KEY, make_token, read_token, study_list

# For every reader: a deleted study is not there.
THERE: Final = studies.c.state != DELETED
# Above any character that may follow a prefix.
LAST_CHARACTER: Final = "\U0010ffff"

_by_id: Final = select(*STUDY_COLUMNS).where(studies.c.id == bindparam("study"), THERE)
_GET: Final = Statement(_by_id)
# On SQLite the transaction has the lock; this is for MySQL, where it makes the writes to a study follow one another.
LOCK: Final = Statement(_by_id.add_columns(now_micros()).with_for_update())
_EXISTS: Final = Statement(select(studies.c.id).where(studies.c.id == bindparam("study"), THERE))
_BY_REQUEST: Final = Statement(select(*STUDY_COLUMNS).where(studies.c.request_id == bindparam("request"), THERE))
_INSERT: Final = Statement(insert(studies))
_update: Final = update(studies).where(studies.c.id == bindparam("study"))
_UPDATE_COUNTS: Final = Statement(_update, STUDY_COUNTS)
_UPDATE_STATE: Final = Statement(_update, STUDY_COUNTS + STUDY_STATE)
_UPDATE_SPEC: Final = Statement(_update, STUDY_COUNTS + STUDY_STATE + STUDY_SPEC)
# See kept.py.
_as_assumed: Final = _update.where(studies.c.revision == bindparam("assumed"))
_UPDATE_ASSUMED: Final = {
    statement: Statement(_as_assumed, columns)
    for statement, columns in (
        (_UPDATE_COUNTS, STUDY_COUNTS),
        (_UPDATE_STATE, STUDY_COUNTS + STUDY_STATE),
        (_UPDATE_SPEC, STUDY_COUNTS + STUDY_STATE + STUDY_SPEC),
    )
}
_ALGORITHMS: Final = Statement(select(studies.c.algorithm, studies.c.rule).distinct())


def create_study(session: Session, study: Study, most: int = 0, most_of_owner: int = 0) -> Study:
    if study.request_id:
        there = find_request(session, study.request_id)
        if there is not None:
            return there
    if most or most_of_owner:
        owner = owner_of(study.spec.owner)
        there_are, of_owner = count_studies(session, owner)
        check_studies(study, there_are, of_owner, most, most_of_owner)
    session.touch(study.id)
    session.write(_INSERT, **study_to_row(study))
    insert_grants(session, study)
    return study


def get_study(session: Session, study_id: str) -> Study:
    return _found(session.row(_GET, study=study_id), study_id)


def lock_study(session: Session, study_id: str) -> HeldStudy:
    """The study, which nobody else changes, nor any of its trials, until this transaction ends."""
    held = session.held.studies.get(study_id)
    asked = Instant.now()
    return held or hold(session, session.rows(LOCK, study=study_id), study_id, asked)


def hold(session: Session, rows: Sequence[Row], study_id: str, asked: Instant) -> HeldStudy:
    """From what LOCK, or a statement with the same columns, has found. The database's time is from before where it had to wait
    for the lock, as it is for the second write to the study in a transaction: too early to end a lease too early."""
    study = _found(rows[0] if rows else None, study_id)
    session.clock.saw(rows[0][-1], asked.monotonic)
    return session.held.studies.setdefault(study.id, HeldStudy(study, study, from_micros(rows[0][-1]), asked))


def require_study(session: Session, study_id: str) -> None:
    if session.row(_EXISTS, study=study_id) is None:
        raise _no_study(study_id)


def find_request(session: Session, request_id: str) -> Study | None:
    row = session.row(_BY_REQUEST, request=request_id) if request_id else None
    return None if row is None else study_from_row(row)


def list_studies(session: Session, filter_: StudyFilter, page_size: int, page_token: str) -> Page[Study]:
    list_ = study_list(filter_)
    values = {f"state{i}": state.value for i, state in enumerate(filter_.states)}
    if filter_.name:
        values["name"] = filter_.name
    if filter_.id_prefix:
        values |= {"prefix": filter_.id_prefix, "prefix_end": filter_.id_prefix + LAST_CHARACTER}
    key = {}
    if page_token:
        created_at, study_id = read_token(list_, page_token, STUDY_KEY)
        key = {"before": created_at, "before_id": study_id}
    values |= grantee_values(filter_.visible_to)
    statement = _page(
        bool(filter_.name),
        bool(filter_.id_prefix),
        len(filter_.states),
        bool(page_token),
        grantees_in(filter_.visible_to),
    )
    rows = session.rows(statement, **values, **key, size=page_size + 1)
    page = [study_from_row(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return Page(page, make_token(list_, (to_micros(page[-1].created_at), page[-1].id)) if more else "")


def update_study(session: Session, study_id: str, change: Callable[[Study], Study]) -> Study:
    before = lock_study(session, study_id).study
    study = decide_study(before, change(before))
    store_study(session, study)
    return study


def store_study(session: Session, study: Study) -> None:
    """It is locked. What has changed of it is written when the transaction ends, at the latest."""
    held = session.held.studies[study.id]
    if study is held.study:
        return
    session.touch(study.id)
    session.writes += 1
    held.study = study
    session.unsettled[study.id] = lambda: _write(session, held)


def _write(session: Session, held: HeldStudy) -> None:
    before, study = held.stored, held.study
    values = {"study": study.id, **study_counts_to_row(study)}
    statement = _UPDATE_COUNTS
    if study.spec != before.spec:
        statement = _UPDATE_SPEC
        values |= study_state_to_row(study) | study_spec_to_row(study.spec)
    elif _state(study) != _state(before):
        statement = _UPDATE_STATE
        values |= study_state_to_row(study)
    if session.guards.pop(study.id, None) is None:
        session.write_all(statement, [values], exactly=True)
    else:
        session.guard(study.id, _UPDATE_ASSUMED[statement], {**values, "assumed": before.revision})


def algorithms_in_use(session: Session) -> tuple[frozenset[str], frozenset[str]]:
    rows = session.rows(_ALGORITHMS)
    return frozenset(row[0] for row in rows) - {""}, frozenset(row[1] for row in rows) - {""}


@cache
def _page(name: bool, prefix: bool, states: int, after: bool, grantees: int | None) -> Statement:
    statement = select(*STUDY_COLUMNS).where(THERE)
    if grantees:
        statement = statement.where(studies.c.id.in_(granted(grantees)))
    if name:
        statement = statement.where(studies.c.name == bindparam("name"))
    if prefix:
        statement = statement.where(studies.c.id >= bindparam("prefix"), studies.c.id < bindparam("prefix_end"))
    if states:
        statement = statement.where(studies.c.state.in_(parameters("state", states)))
    if after:
        # The first condition says nothing new; it is the one that an index can use.
        before: BindParameter[int] = bindparam("before")
        statement = statement.where(
            studies.c.created_at <= before,
            or_(studies.c.created_at < before, studies.c.id < bindparam("before_id")),
        )
    return Statement(statement.order_by(studies.c.created_at.desc(), studies.c.id.desc()).limit(bindparam("size")))


def _state(study: Study) -> tuple[object, ...]:
    return study.state, study.reason, study.message, study.intent, study.ended_at, study.request_id, study.places


def _found(row: object, study_id: str) -> Study:
    if row is None:
        raise _no_study(study_id)
    return study_from_row(row)  # type: ignore[arg-type]


def _no_study(study_id: str) -> NotFoundError:
    return NotFoundError(f"there is no study {study_id}")
