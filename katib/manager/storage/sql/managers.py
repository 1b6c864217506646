"""Managers' heartbeats, and which manager drives which study."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Final

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, update

from katib.manager.ports import ManagerRecord
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, parameters
from katib.manager.storage.sql.tables import managers, studies

_BEAT: Final = Statement(
    update(managers).where(managers.c.id == bindparam("manager")).values(heartbeat_at=now_micros()), ("host", "process")
)
_INSERT: Final = Statement(insert(managers).values(heartbeat_at=now_micros()), ("id", "host", "process"))
_ALL: Final = Statement(
    select(
        managers.c.id,
        managers.c.host,
        managers.c.process,
        (now_micros() - managers.c.heartbeat_at).label("age"),
        now_micros(),
    ).order_by(managers.c.id)
)
_DRIVEN: Final = Statement(
    select(studies.c.id, studies.c.revision)
    .where(studies.c.active == 1, studies.c.manager == bindparam("manager"))
    .order_by(studies.c.id)
)
_placed: Final = or_(studies.c.placement == "", studies.c.placement == bindparam("placement"))
_DRIVERS: Final = Statement(
    select(studies.c.manager, func.count()).where(studies.c.active == 1, _placed).group_by(studies.c.manager)
)
# A lock that another one has is waited for by nobody here: see `_claimable`.
_TO_GIVE_UP: Final = Statement(
    select(studies.c.id)
    .where(studies.c.active == 1, studies.c.manager == bindparam("manager"))
    .order_by(studies.c.id)
    .with_for_update(skip_locked=True)
)
# A claim's other half: taken only if nobody else has taken it meanwhile.
_SET: Final = Statement(
    update(studies)
    .where(studies.c.id == bindparam("study"), studies.c.manager == bindparam("old"))
    .values(manager=bindparam("new"), revision=studies.c.revision + 1)
)
_REMOVE: Final = Statement(delete(managers).where(managers.c.id == bindparam("manager")))


def heartbeat(session: Session, manager: ManagerRecord) -> None:
    if not session.write(_BEAT, manager=manager.id, host=manager.host, process=manager.process):
        session.write(_INSERT, id=manager.id, host=manager.host, process=manager.process)


def list_managers(session: Session) -> Sequence[ManagerRecord]:
    asked = time.monotonic()
    rows = session.rows(_ALL)
    if rows:
        # Every manager looks here again and again, however little else it has to do.
        session.clock.saw(rows[0][-1], asked)
    return [
        # When the database's clock was set back, a row is ahead of it until its manager, if it lives, writes it again: within a
        # quarter of its lease. A dead one's would look new until the clock has caught up.
        ManagerRecord(id_, host, process, timedelta(microseconds=abs(age)))
        for id_, host, process, age, _ in rows
    ]


def claim_studies(session: Session, manager_id: str, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
    values = {f"dead{i}": other for i, other in enumerate(dead)}
    rows = session.rows(_claimable(len(dead)), manager=manager_id, placement=placement, size=limit, **values)
    return [study_id for study_id, old in rows if _set_manager(session, study_id, old, manager_id)]


def drivers(session: Session, placement: str) -> Mapping[str, int]:
    return {row[0]: row[1] for row in session.rows(_DRIVERS, placement=placement)}


def stranded_studies(session: Session, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
    values = {f"dead{i}": other for i, other in enumerate(dead)}
    return [row[0] for row in session.rows(_stranded(len(dead)), placement=placement, size=limit, **values)]


def driven_studies(session: Session, manager_id: str) -> Mapping[str, int]:
    return {row[0]: row[1] for row in session.rows(_DRIVEN, manager=manager_id)}


def release(session: Session, manager_id: str) -> None:
    # Without its row the others are anybody's too: those that are locked, and the finished ones if they are ever resumed.
    given_up = [study_id for (study_id,) in session.rows(_TO_GIVE_UP, manager=manager_id)]
    session.write_all(_SET, [{"study": study_id, "old": manager_id, "new": ""} for study_id in given_up])
    for study_id in given_up:
        session.touch(study_id)
    session.write(_REMOVE, manager=manager_id)


def _set_manager(session: Session, study_id: str, old: str, new: str) -> bool:
    changed = session.write(_SET, study=study_id, old=old, new=new) == 1
    if changed:
        session.touch(study_id)
    return changed


@cache
def _claimable(dead: int) -> Statement:
    return Statement(
        select(studies.c.id, studies.c.manager)
        .where(
            studies.c.active == 1,
            studies.c.manager != bindparam("manager"),
            _without_driver(dead),
            _placed,
        )
        .order_by(studies.c.id)
        .limit(bindparam("size"))
        # A manager that was frozen in the middle of a write holds its study until the server ends its connection. Whoever
        # waited for that would hold up its own heartbeat, and be taken for dead too.
        .with_for_update(skip_locked=True)
    )


@cache
def _stranded(dead: int) -> Statement:
    return Statement(
        select(studies.c.id)
        .where(
            studies.c.active == 1,
            studies.c.placement != "",
            studies.c.placement != bindparam("placement"),
            _without_driver(dead),
        )
        .order_by(studies.c.id)
        .limit(bindparam("size"))
    )


def _without_driver(dead: int) -> ColumnElement[bool]:
    without_row = studies.c.manager.not_in(select(managers.c.id))
    gone = or_(without_row, studies.c.manager.in_(parameters("dead", dead))) if dead else without_row
    return or_(studies.c.manager == "", gone)
