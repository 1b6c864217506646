"""What the database's errors mean: what may be tried again, and which of ours the caller sees."""

from enum import Enum
from typing import Final

from sqlalchemy import exc
from sqlalchemy.engine import Dialect

from katib.domain.errors import AlreadyExistsError, FailedPreconditionError, InternalError, KatibError, UnavailableError

# MySQL's error codes, from its manual, "Server Error Message Reference" and "Client Error Message Reference".
_LOCK_WAIT_TIMEOUT: Final = 1205
_DEADLOCK: Final = 1213
_GONE: Final = frozenset(
    {
        1053,  # the server shuts down
        1927,  # MariaDB: the connection was killed
        2006,  # the server has gone away
        2013,  # the connection was lost during a query
        2055,
        4031,  # disconnected for its inactivity
    }
)
# SQLite's primary result codes, from https://sqlite.org/rescode.html.
_SQLITE_BUSY: Final = frozenset({5, 6})
_SQLITE_ENVIRONMENT: Final = {
    8: "its file cannot be written to",
    10: "reading or writing its file failed",
    13: "the disk is full",
    14: "its file cannot be opened",
}
_SQLITE_NOT_A_DATABASE: Final = 26


class Failure(Enum):
    """LOST: the connection is no more, and with it all that was not committed. BUSY: somebody else was in the way, and the
    transaction has to begin anew. DUPLICATE: a unique key forbids it. OTHER: anything else."""

    LOST = "lost"
    BUSY = "busy"
    DUPLICATE = "duplicate"
    OTHER = "other"


def failure_of(error: Exception, dialect: Dialect) -> Failure:
    error = _original(error)
    dbapi = dialect.loaded_dbapi
    if dialect.name == "sqlite":
        if _sqlite_code(error) in _SQLITE_BUSY:
            return Failure.BUSY
    elif isinstance(error, dbapi.Error):
        code = _mysql_code(error)
        if code in (_DEADLOCK, _LOCK_WAIT_TIMEOUT):
            return Failure.BUSY
        # PyMySQL's InterfaceError (0, '') is a connection that it closed itself.
        if code in _GONE or isinstance(error, dbapi.InterfaceError):
            return Failure.LOST
    return Failure.DUPLICATE if isinstance(error, dbapi.IntegrityError) else Failure.OTHER


def to_katib_error(error: Exception, dialect: Dialect, where: str) -> KatibError:
    """Ours for the driver's or the pool's; `where` names the database and holds no password."""
    if isinstance(error, exc.TimeoutError):
        return UnavailableError(f"all connections to the database {where} are in use; try again")
    error = _original(error)
    failure = failure_of(error, dialect)
    if failure is Failure.DUPLICATE:
        return AlreadyExistsError(f"there is one of that id already: {_text(error)}")
    if failure is Failure.BUSY:
        return UnavailableError(f"the database {where} is busy with other writers ({_text(error)}); try again")
    if failure is Failure.LOST:
        return UnavailableError(f"the connection to the database {where} was lost ({_text(error)}); try again")
    if dialect.name == "sqlite":
        if _sqlite_code(error) == _SQLITE_NOT_A_DATABASE:
            return FailedPreconditionError(f"{where} is no SQLite database; name another file")
        what = _SQLITE_ENVIRONMENT.get(_sqlite_code(error))
        if what is not None:
            return UnavailableError(f"the database {where} does not work: {what} ({_text(error)})")
    elif isinstance(error, dialect.loaded_dbapi.OperationalError):
        return UnavailableError(f"the database {where} does not answer as it should: {_text(error)}")
    return InternalError(f"the database {where} refused a statement: {type(error).__name__}: {_text(error)}")


def _original(error: Exception) -> Exception:
    """The driver's own error within SQLAlchemy's."""
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, Exception):
        return error.orig
    return error


def _sqlite_code(error: Exception) -> int:
    """The primary result code: the lowest byte of the extended one."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _mysql_code(error: Exception) -> object:
    return error.args[0] if error.args else None


def _text(error: Exception) -> str:
    """MySQL's errors are (code, sentence)."""
    return " ".join(map(str, error.args))
