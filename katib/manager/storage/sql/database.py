"""The database as the storage's functions see it: `read` and `write`."""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Final, TypeVar

from sqlalchemy import Engine

from katib.manager.storage.sql.clock import DatabaseClock
from katib.manager.storage.sql.connections import Connections
from katib.manager.storage.sql.failures import Failure
from katib.manager.storage.sql.file import OpenFile
from katib.manager.storage.sql.held import About
from katib.manager.storage.sql.session import Session, make_session
from katib.manager.storage.sql.writer import Writer

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Database:
    """Reads run on the caller's thread over pooled connections, each statement with a snapshot of its own; writes run one
    after the other, in groups (see writer.py)."""

    def __init__(self, engine: Engine, where: str, told: Callable[[], None] | None = None) -> None:
        """`where` names the database in errors; no password in it. `told` as for Presence."""
        self._connections = Connections(engine, where, told)
        self.presence: Final = self._connections.presence
        self._listeners: tuple[Callable[[str], None], ...] = ()
        self.clock: Final = DatabaseClock()
        self._writer = Writer(self._connections, self._tell, self.clock)
        # SQLite has one lock for all.
        apart = engine.dialect.name != "sqlite"
        self._apart = Writer(self._connections, self._tell, self.clock) if apart else self._writer

    def watch(self, file: OpenFile) -> None:
        """From now on the database is taken to be away while another file, or none, is where this one was."""
        self._connections.watch(file)

    def read(self, function: Callable[[Session], T]) -> T:
        """What the function reads; it may run a second time when the connection was lost under it."""
        for last in (False, True):
            began = time.monotonic()
            connection = self._connections.take()
            try:
                with closing(make_session(connection, self._connections.dialect, self.clock)) as session:
                    return function(session)
            except self._connections.errors as error:
                failure = self._connections.failure(error, began)
                if failure.costs_the_connection:
                    connection.invalidate()
                if last or failure is not Failure.LOST:
                    raise self._connections.explain(error) from error
            finally:
                connection.close()
        raise AssertionError  # the last time round returns or raises

    def write(self, function: Callable[[Session], T], study_id: str = "") -> T:
        """See Writer.write. For what concerns a study the function calls `Session.touch`. `study_id`: the one that it locks, if
        it does."""
        return self._writer.write(function, study_id=study_id)

    def write_study(self, function: Callable[[Session], T], about: About | None = None, study_id: str = "") -> T:
        """As `write`, for a function that locks a study before it reads or writes anything of it, and changes it and its trials
        by `changes` and `store_study` alone: it shares with those beside it what is held (held.py). `about`: what it will ask
        for; `study_id`: the one that it locks, where `about` does not say."""
        return self._writer.write(function, shares=True, about=about, study_id=study_id)

    def write_apart(self, function: Callable[[Session], T]) -> T:
        """As `write`, but waits for none of the writes there, which a locked study may hold up: for what keeps a manager alive.
        The function itself must not wait for a study's lock."""
        return self._apart.write(function)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self._listeners = (*self._listeners, listener)

    def close(self) -> None:
        """Finishes the writes that are queued."""
        self._writer.close()
        self._apart.close()
        self._connections.close()

    def _tell(self, study_ids: Iterable[str]) -> None:
        for study_id in study_ids:
            for listener in self._listeners:
                try:
                    listener(study_id)
                except Exception:  # noqa: BLE001 - the writer must go on: everybody's writes depend on it
                    _log.exception("a listener to study %s failed", study_id)
