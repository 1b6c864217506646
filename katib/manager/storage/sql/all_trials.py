"""The trials of all studies, newest first.

A list of those in a state, or of the studies that a caller may see, passes over any number of others. It goes through them in
pieces: a statement that searched on until it had a page would be given up after the time that a statement has, and its server
be taken for one that gives no answer.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, or_, select

from katib.manager.ports import TrialFilter
from katib.manager.storage.sql.grants import granted, grantee_values, grantees_in
from katib.manager.storage.sql.rows import DELETED_ACTIVE, TRIAL_COLUMNS
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement, by_index, parameters
from katib.manager.storage.sql.studies import LAST_CHARACTER
from katib.manager.storage.sql.tables import studies, trials

# A prefix that leaves one id in some ten thousand.
NARROW: Final = 4
# Trials that a statement looks at: one that is not in the database's memory may take it a millisecond.
_PIECE: Final = 5000
# Each piece is so many times the one before: most pages are full after the first.
_GROWTH: Final = 4
# After which the caller gets what was found, and where to go on.
_SEARCH_S: Final = 5.0

_KEY: Final = (trials.c.created_at, trials.c.number, trials.c.id)
_ORDER: Final = tuple(column.desc() for column in _KEY)
_INDEX: Final = "ix_trials_created_at_number_id"


def page_of_all(
    session: Session, filter_: TrialFilter, key: Sequence[Any] | None, size: int
) -> tuple[Sequence[Row], Sequence[Any] | None]:
    """At most `size` behind the key; of fewer, behind which key there may be more, or None."""
    values = {f"state{i}": state.value for i, state in enumerate(filter_.states)}
    values |= grantee_values(filter_.visible_to) | prefix_values(filter_.id_prefix)
    shape = len(filter_.states), bool(filter_.id_prefix), grantees_in(filter_.visible_to)
    if len(filter_.id_prefix) >= NARROW:
        # Few, and found by their ids.
        statement = _page(*shape, narrow=True, after=key is not None, until=False)
        return session.rows(statement, **values, **_from("before", key), size=size), None
    found: list[Row] = []
    piece, began = size, time.monotonic()
    while True:
        last = session.row(_last_of_piece(key is not None), **_from("before", key), passed=piece - 1)
        statement = _page(*shape, narrow=False, after=key is not None, until=last is not None)
        bounds = _from("before", key) | _from("until", last)
        found += session.rows(statement, **values, **bounds, size=size - len(found))
        if last is None or len(found) == size:
            return found, None
        key = last
        if time.monotonic() - began > _SEARCH_S:
            return found, key
        piece = min(_GROWTH * piece, _PIECE)


def with_prefix(statement: Select[Any]) -> Select[Any]:
    return statement.where(trials.c.id >= bindparam("prefix"), trials.c.id < bindparam("prefix_end"))


def prefix_values(prefix: str) -> dict[str, str]:
    return {"prefix": prefix, "prefix_end": prefix + LAST_CHARACTER} if prefix else {}


def _from(name: str, key: Sequence[Any] | None) -> dict[str, Any]:
    return {} if key is None else dict(zip((name, f"{name}_number", f"{name}_id"), key, strict=True))


@cache
def _last_of_piece(after: bool) -> Statement:
    """The key of the trial `passed` places behind the first. Of the index only."""
    statement = by_index(trials, _INDEX, select(*_KEY))
    if after:
        statement = statement.where(*_behind())
    return Statement(statement.order_by(*_ORDER).limit(1).offset(bindparam("passed")))


@cache
def _page(states: int, prefix: bool, grantees: int | None, narrow: bool, after: bool, until: bool) -> Statement:
    # Not a join: MariaDB would begin it at the studies and sort all their trials by age.
    deleted = select(studies.c.id).where(studies.c.active == DELETED_ACTIVE)
    statement = select(*TRIAL_COLUMNS).where(trials.c.study_id.not_in(deleted))
    if not narrow:
        statement = by_index(trials, _INDEX, statement)
    if grantees:
        statement = statement.where(trials.c.study_id.in_(granted(grantees)))
    if states:
        statement = statement.where(trials.c.state.in_(parameters("state", states)))
    if prefix:
        statement = with_prefix(statement)
    if after:
        statement = statement.where(*_behind())
    if until:
        statement = statement.where(*_not_behind())
    return Statement(statement.order_by(*_ORDER).limit(bindparam("size")))


def _behind() -> tuple[ColumnElement[bool], ...]:
    """The first condition says nothing new; it is the one that an index can use."""
    created_at, number, id_ = _KEY
    before: BindParameter[int] = bindparam("before")
    before_number: BindParameter[int] = bindparam("before_number")
    return (
        created_at <= before,
        or_(
            created_at < before,
            number < before_number,
            (number == before_number) & (id_ < bindparam("before_id")),
        ),
    )


def _not_behind() -> tuple[ColumnElement[bool], ...]:
    created_at, number, id_ = _KEY
    until: BindParameter[int] = bindparam("until")
    until_number: BindParameter[int] = bindparam("until_number")
    return (
        created_at >= until,
        or_(
            created_at > until,
            number > until_number,
            (number == until_number) & (id_ >= bindparam("until_id")),
        ),
    )
