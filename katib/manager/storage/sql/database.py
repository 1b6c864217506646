"""The database as the storage's functions see it: `read` and `write`."""

import logging
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from sqlalchemy import Engine, exc

from katib.domain.errors import UnavailableError
from katib.manager.storage.sql.failures import Failure, failure_of, to_katib_error
from katib.manager.storage.sql.session import Session, make_session
from katib.manager.storage.sql.writer import Writer

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)


class Database:
    """Reads run on the caller's thread over pooled connections, each statement with a snapshot of its own; writes run one
    after the other in the process's writer thread."""

    def __init__(self, engine: Engine, where: str) -> None:
        """`where` names the database in errors; no password in it."""
        self._engine = engine
        self._dialect = engine.dialect
        self._where = where
        self._errors = (engine.dialect.loaded_dbapi.Error, exc.DBAPIError, exc.TimeoutError)
        self._closed = False
        self._listeners: tuple[Callable[[str], None], ...] = ()
        self._writer = Writer(engine, where, self._tell)

    def read(self, function: Callable[[Session], T]) -> T:
        """What the function reads; it may run a second time when the connection was lost under it."""
        for last in (False, True):
            if self._closed:
                raise UnavailableError("the storage is closed")
            try:
                connection = self._engine.raw_connection()
            except self._errors as error:
                raise to_katib_error(error, self._dialect, self._where) from error
            try:
                return function(make_session(connection, self._dialect))
            except self._errors as error:
                lost = failure_of(error, self._dialect) is Failure.LOST
                if lost:
                    connection.invalidate()
                if last or not lost:
                    raise to_katib_error(error, self._dialect, self._where) from error
            finally:
                connection.close()
        raise AssertionError  # the last time round returns or raises

    def write(self, function: Callable[[Session], T]) -> T:
        """See Writer.write. For what concerns a study the function calls `Session.touch`."""
        return self._writer.write(function)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self._listeners = (*self._listeners, listener)

    def close(self) -> None:
        """Finishes the writes that are queued."""
        self._writer.close()
        self._closed = True
        self._engine.dispose()

    def _tell(self, study_ids: Iterable[str]) -> None:
        for study_id in study_ids:
            for listener in self._listeners:
                try:
                    listener(study_id)
                except Exception:  # noqa: BLE001  # the writer must go on: everybody's writes depend on it
                    _LOG.exception("a listener to study %s failed", study_id)
