"""How much there is, and of whom."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import and_, bindparam, func, insert, select

from katib.domain.errors import AlreadyExistsError
from katib.domain.permissions import Access
from katib.manager.ports import Usage
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.rows import DELETED
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.tables import secrets, studies, study_grants

_there: Final = studies.c.state != DELETED
_owned: Final = and_(study_grants.c.study_id == studies.c.id, study_grants.c.access == int(Access.OWN))
_USAGE: Final = Statement(
    select(study_grants.c.grantee, func.count(), func.sum(studies.c.suggested), func.sum(studies.c.observed))
    .select_from(studies.outerjoin(study_grants, _owned))
    .where(_there)
    .group_by(study_grants.c.grantee)
)
_STUDIES: Final = Statement(select(func.count()).select_from(studies).where(_there))
_OF_OWNER: Final = Statement(
    select(func.count())
    .select_from(studies.join(study_grants, _owned))
    .where(study_grants.c.grantee == bindparam("owner"), _there)
)
# Whoever counts studies to add one holds this row until it has: another manager's new one would not be seen. On SQLite a
# transaction that writes has all of the database.
_ROW: Final = "studies"
_row: Final = select(secrets.c.name).where(secrets.c.name == bindparam("row"))
_FIND: Final = Statement(_row)
_LOCK: Final = Statement(_row.with_for_update())
_INSERT: Final = Statement(insert(secrets))


class Counting:
    """Sees to it that the row is there."""

    def __init__(self) -> None:
        self._there = False

    def prepare(self, database: Database) -> None:
        if self._there:
            return
        if not database.read(lambda session: session.row(_FIND, row=_ROW)):
            try:
                database.write(lambda session: session.write(_INSERT, name=_ROW, value=""))
            except AlreadyExistsError:
                pass  # another manager was faster
        self._there = True


def count_studies(session: Session, owner: str) -> tuple[int, int]:
    """In all, and of this owner; nobody writes another one before this transaction ends."""
    session.row(_LOCK, row=_ROW)
    all_, of_owner = session.row(_STUDIES), session.row(_OF_OWNER, owner=owner)
    return (int(all_[0]) if all_ else 0), (int(of_owner[0]) if of_owner else 0)


def usage(session: Session) -> Mapping[str, Usage]:
    return {
        owner or "": Usage(int(count), int(trials or 0), int(observed or 0))
        for owner, count, trials, observed in session.rows(_USAGE)
    }
