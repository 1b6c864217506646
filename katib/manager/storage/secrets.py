"""`manager.access.Secrets` beside each storage."""

import threading
from typing import Final

from sqlalchemy import bindparam, insert, select

from katib.domain.errors import AlreadyExistsError
from katib.manager.access import Secrets
from katib.manager.ports import Storage
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.storage import SqlStorage
from katib.manager.storage.sql.tables import secrets

_GET: Final = Statement(select(secrets.c.value).where(secrets.c.name == bindparam("name")))
_INSERT: Final = Statement(insert(secrets))


def open_secrets(storage: Storage) -> Secrets:
    return SqlSecrets(storage.database) if isinstance(storage, SqlStorage) else MemorySecrets()


class MemorySecrets:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}

    def keep(self, name: str, proposal: str) -> str:
        with self._lock:
            return self._values.setdefault(name, proposal)


class SqlSecrets:
    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, name: str, proposal: str) -> str:
        there = self._get(name)
        if there is not None:
            return there
        try:
            self._database.write(lambda session: session.write(_INSERT, name=name, value=proposal))
        except AlreadyExistsError:
            pass  # another manager was faster
        return self._get(name) or proposal

    def _get(self, name: str) -> str | None:
        def read(session: Session) -> str | None:
            row = session.row(_GET, name=name)
            return None if row is None else str(row[0])

        return self._database.read(read)
