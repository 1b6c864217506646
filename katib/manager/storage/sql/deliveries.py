"""`manager.models.Deliveries` in the manager's database."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, insert, or_, select, update

from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.studies import THERE
from katib.manager.storage.sql.tables import model_deliveries, studies

_own: Final = (model_deliveries.c.study_id == bindparam("study"), model_deliveries.c.store == bindparam("store"))
_BEHIND: Final = Statement(
    select(studies.c.id)
    .select_from(
        studies.outerjoin(
            model_deliveries,
            (model_deliveries.c.study_id == studies.c.id) & (model_deliveries.c.store == bindparam("store")),
        )
    )
    .where(
        THERE,
        studies.c.placement.in_(["", bindparam("placement")]),
        or_(model_deliveries.c.revision.is_(None), model_deliveries.c.revision < studies.c.revision),
    )
    .limit(bindparam("size"))
)
_DELIVERED: Final = Statement(select(model_deliveries.c.revision).where(*_own))
# Those who advance the same study follow one another; whoever removes it takes this row along.
_LOCK: Final = Statement(select(studies.c.id).where(studies.c.id == bindparam("study"), THERE).with_for_update())
_INSERT: Final = Statement(insert(model_deliveries))
_UPDATE: Final = Statement(
    update(model_deliveries).where(*_own, model_deliveries.c.revision < bindparam("below")), ("revision",)
)


class SqlDeliveries:
    def __init__(self, database: Database) -> None:
        """The database stays the storage's, which closes it."""
        self._database = database

    def behind(self, store: str, placement: str, limit: int) -> Sequence[str]:
        rows = self._database.read(lambda session: session.rows(_BEHIND, store=store, placement=placement, size=limit))
        return [row[0] for row in rows]

    def delivered(self, store: str, study_id: str) -> int:
        row = self._database.read(lambda session: session.row(_DELIVERED, store=store, study=study_id))
        return 0 if row is None else int(row[0])

    def advance(self, store: str, study_id: str, revision: int) -> None:
        self._database.write(lambda session: _advance(session, store, study_id, revision), study_id)


def _advance(session: Session, store: str, study_id: str, revision: int) -> None:
    if session.row(_LOCK, study=study_id) is None:
        return
    if session.row(_DELIVERED, store=store, study=study_id) is None:
        session.write(_INSERT, store=store, study_id=study_id, revision=revision)
    else:
        session.write(_UPDATE, store=store, study=study_id, revision=revision, below=revision)
