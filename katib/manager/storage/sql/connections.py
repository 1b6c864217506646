"""Connections to the database: taken from the pool, and what their failures say about the server behind it."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, exc
from sqlalchemy.pool import PoolProxiedConnection

from katib.domain.errors import KatibError, UnavailableError
from katib.manager.storage.sql.engine import ask_before_connecting
from katib.manager.storage.sql.failures import Failure, failure_of, to_katib_error
from katib.manager.storage.sql.file import OpenFile
from katib.manager.storage.sql.presence import Presence

# While the server has no connection left for us, one of our own may come back to the pool.
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
# In the notes that a connection carries as long as it lives: it was not made just now.
_USED: Final = "used"


class Connections:
    """Readers and the writer of one database share them, and what is known of it."""

    def __init__(self, engine: Engine, where: str, told: Callable[[], None] | None = None) -> None:
        """`where` names the database in errors; no password in it. `told` as for Presence."""
        self.engine: Final = engine
        self.dialect: Final = engine.dialect
        self._remote = engine.dialect.name != "sqlite"
        self.where: Final = where
        # What goes wrong with a connection is one of these.
        self.errors: Final = (engine.dialect.loaded_dbapi.Error, exc.DBAPIError, exc.TimeoutError)
        self.presence: Final = Presence(where, self._look, told)
        self._own = threading.local()
        self._file: OpenFile | None = None
        ask_before_connecting(engine, self._allow)

    def watch(self, file: OpenFile) -> None:
        """The database is this file, which has been opened."""
        self._file = file

    def check(self) -> None:
        """Raises the UnavailableError that says why the database cannot be used now, as far as that is known without asking
        a server."""
        self.presence.check()
        if self._file is not None:
            began = time.monotonic()
            try:
                self._file.check()
            except UnavailableError as error:
                self.presence.lost(error.message, began)
                raise

    def take(self) -> PoolProxiedConnection:
        """Raises the KatibError that says why there is none, at once where the database is known to be away."""
        began = time.monotonic()
        for pause in (*_PAUSES_S, None):
            self.check()
            try:
                return self._sound()
            except self.errors as error:
                if isinstance(error, exc.TimeoutError):
                    # The pool is empty because a silent server keeps what it held? Then that is the reason.
                    self.presence.check()
                if pause is None or failure_of(error, self.dialect) is not Failure.FULL:
                    known = self.explain(error)
                    # A full pool is our own doing and says nothing about the database.
                    if isinstance(known, UnavailableError) and not isinstance(error, exc.TimeoutError):
                        self.presence.lost(known.message, began)
                    raise known from error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError  # the last time round returns or raises

    def failure(self, error: Exception, began: float) -> Failure:
        """What an error is that came to a call which began then. A server that says nothing is from then on away."""
        failure = failure_of(error, self.dialect)
        if failure is Failure.SILENT:
            self.presence.lost(self.explain(error).message, began)
        return failure

    def explain(self, error: Exception) -> KatibError:
        return to_katib_error(error, self.dialect, self.where)

    def close(self) -> None:
        self.presence.close()
        self.engine.dispose()

    def _sound(self) -> PoolProxiedConnection:
        """A connection that the server has answered on just now.

        Those that it closed while they lay idle, or when it ended, are passed over. The pool's own way to do so would wait for
        a silent server twice over, on the old connection and on another.
        """
        while True:
            connection = self.engine.raw_connection()
            try:
                if self._remote and connection.info.get(_USED) and connection.dbapi_connection is not None:
                    self._allow()
                    self.dialect.do_ping(connection.dbapi_connection)
            except BaseException as error:
                connection.invalidate()
                connection.close()
                # Each time round there is one less; a new one is not asked.
                if isinstance(error, self.errors) and failure_of(error, self.dialect) is Failure.LOST:
                    continue
                raise
            connection.info[_USED] = True
            return connection

    def _allow(self) -> None:
        """Before the server is asked anything: who had to wait for a turn in the pool may hear only now that it is away.
        Whoever looks whether it is back must ask it all the same."""
        if not getattr(self._own, "looks", False):
            self.presence.check()

    def _look(self) -> None:
        self._own.looks = True
        try:
            if self._file is not None:
                self._file.check()
            self._sound().close()
        except exc.TimeoutError as error:
            # Those who wait for the silent server hold them all: that is the reason, and is known already.
            self.presence.check()
            raise self.explain(error) from error
        except self.errors as error:
            raise self.explain(error) from error
        finally:
            self._own.looks = False
