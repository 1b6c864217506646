"""Connections to the database: taken from the pool, and what their failures say about the server behind it."""

import random
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, exc
from sqlalchemy.pool import PoolProxiedConnection

from katib.domain.errors import KatibError, UnavailableError
from katib.manager.storage.sql.failures import Failure, failure_of, to_katib_error
from katib.manager.storage.sql.presence import Presence

# While the server has no connection left for us, one of our own may come back to the pool.
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)


class Connections:
    """Readers and the writer of one database share them, and what is known of it."""

    def __init__(self, engine: Engine, where: str, told: Callable[[], None] | None = None) -> None:
        """`where` names the database in errors; no password in it. `told` as for Presence."""
        self.engine: Final = engine
        self.dialect: Final = engine.dialect
        self.where: Final = where
        # What goes wrong with a connection is one of these.
        self.errors: Final = (engine.dialect.loaded_dbapi.Error, exc.DBAPIError, exc.TimeoutError)
        self.presence: Final = Presence(where, self._look, told)

    def take(self) -> PoolProxiedConnection:
        """Raises the KatibError that says why there is none, at once where the database is known to be away."""
        self.presence.check()
        began = time.monotonic()
        for pause in (*_PAUSES_S, None):
            try:
                return self.engine.raw_connection()
            except self.errors as error:
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

    def _look(self) -> None:
        try:
            connection = self.engine.raw_connection()
        except exc.TimeoutError as error:
            # Those who wait for the silent server hold them all: that is the reason, and is known already.
            self.presence.check()
            raise self.explain(error) from error
        except self.errors as error:
            raise self.explain(error) from error
        try:
            connection.cursor().execute("SELECT 1")
        except self.errors as error:
            connection.invalidate()
            raise self.explain(error) from error
        finally:
            connection.close()
