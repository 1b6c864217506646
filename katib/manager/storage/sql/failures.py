"""What the database's errors mean: what may be tried again, and which of ours the caller sees."""

from enum import Enum
from typing import Final

from sqlalchemy import exc
from sqlalchemy.engine import Dialect

from katib.domain.errors import AlreadyExistsError, FailedPreconditionError, InternalError, KatibError, UnavailableError

# MySQL's error codes, from its manual, "Server Error Message Reference" and "Client Error Message Reference".
_LOCK_WAIT_TIMEOUT: Final = 1205
_DEADLOCK: Final = 1213
HANDSHAKE_ERROR: Final = 2012
# Of no server, and ours: the password could not be read from its file.
NO_PASSWORD: Final = -1
_GONE: Final = frozenset(
    {
        1053,  # the server shuts down
        1080,  # and has closed what was left
        1927,  # MariaDB: the connection was killed
        2006,  # the server has gone away
        2013,  # the connection was lost during a query
        2055,
        4031,  # disconnected for its inactivity
    }
)
# It takes no writes: a primary that has become a replica. Another connection to the same address may find the new one.
_READ_ONLY: Final = frozenset({1290, 1792, 1836})
_FULL: Final = frozenset(
    {
        1040,  # too many connections
        1203,  # too many of this user
        1226,  # another limit of this user
    }
)
_KEEPS_OUT = "does not let this user in", "correct user and password in --database, or grant the user all on it"
_FORBIDS = "does not let this user do what Katib has to", "grant the user all on it"
_NO_ROOM = "has no room left", "make room on its server's disk"
_UNREACHABLE = "cannot be reached", "start it, or correct the address in --database"
# What is wrong, and the remedy. Each may be put right while we wait: by a Secret, a Service, or an administrator.
_MENDED_OUTSIDE: Final = {
    **dict.fromkeys(
        _FULL, ("has no connection left", "raise max_connections or the user's limit, or end other clients")
    ),
    1044: _KEEPS_OUT,
    1045: _KEEPS_OUT,
    1698: _KEEPS_OUT,
    1142: _FORBIDS,
    1143: _FORBIDS,
    1021: _NO_ROOM,
    1114: _NO_ROOM,
    1054: (
        "has tables of an older Katib, from a copy that was put back",
        "start the manager again, which brings them up to date",
    ),
    1146: (
        "lacks tables of Katib's: it was emptied, or a copy is being put back",
        "put back a whole copy, or start the manager again to begin with new tables",
    ),
    1665: (
        "takes no writes: it logs them as statements, which InnoDB cannot where READ COMMITTED is asked for",
        "set binlog_format to MIXED or ROW",
    ),
    1709: (
        "keeps rows in a form whose keys are too short",
        "set innodb_default_row_format to dynamic",
    ),
    1969: (
        "ends what takes longer than its limit",
        "raise max_statement_time for the server or for this user",
    ),
    1049: (
        "is not there yet, though its server is",
        "create it with CREATE DATABASE, or correct its name in --database",
    ),
    1129: ("blocks this host after connections that broke off", "let it in again with FLUSH HOSTS"),
    1130: ("lets nobody in from this host", "create the user for this host too"),
    2002: _UNREACHABLE,
    2003: _UNREACHABLE,
    2005: _UNREACHABLE,
    NO_PASSWORD: (
        "is not asked, for want of the password",
        "let --database-password-file name a file that can be read",
    ),
    HANDSHAKE_ERROR: (
        "cannot be reached: something that is no MySQL server answers at its address",
        "correct the address in --database, or look what stands before the server",
    ),
}
# SQLite's primary result codes, from https://sqlite.org/rescode.html.
_SQLITE_BUSY: Final = frozenset({5, 6})
_SQLITE_ENVIRONMENT: Final = {
    8: "its file cannot be written to",
    10: "reading or writing its file failed; is there room on its disk?",
    13: "the disk is full",
    14: "its file cannot be opened",
}
_SQLITE_NOT_A_DATABASE: Final = {
    11: "is damaged; put a copy in its place, or name another file",
    26: "is no SQLite database; name another file",
}


class Failure(Enum):
    """LOST: the connection is no more, and with it all that was not committed. SILENT: the same, because no answer came in
    time. FULL: there is no connection to be had. BUSY: somebody else was in the way, and the transaction has to begin anew.
    LOCKED: somebody held for too long what it needs, and will still hold it at another try. DUPLICATE: a unique key forbids
    it. OTHER: anything else."""

    LOST = "lost"
    SILENT = "silent"
    FULL = "full"
    BUSY = "busy"
    LOCKED = "locked"
    DUPLICATE = "duplicate"
    OTHER = "other"

    @property
    def costs_the_connection(self) -> bool:
        return self in (Failure.LOST, Failure.SILENT)


def failure_of(error: Exception, dialect: Dialect) -> Failure:
    error = _original(error)
    dbapi = dialect.loaded_dbapi
    if dialect.name == "sqlite":
        if _sqlite_code(error) in _SQLITE_BUSY:
            return Failure.BUSY
    elif isinstance(error, dbapi.Error):
        code = mysql_code(error)
        if code == _DEADLOCK:
            return Failure.BUSY
        if code == _LOCK_WAIT_TIMEOUT:
            return Failure.LOCKED
        if code in _FULL:
            return Failure.FULL
        # PyMySQL's InterfaceError (0, '') is a connection that it closed itself.
        if code in _GONE | _READ_ONLY or isinstance(error, dbapi.InterfaceError):
            return Failure.SILENT if isinstance(error.__context__, TimeoutError) else Failure.LOST
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
    if failure is Failure.LOCKED:
        return UnavailableError(
            f"what is to be written is locked by another client of the database {where} ({_text(error)}); "
            "try again, or end the transaction or backup that holds it"
        )
    if failure is Failure.SILENT:
        return UnavailableError(
            f"the database {where} gives no answer ({_text(error)}); look whether its server is well"
        )
    if failure is Failure.LOST and mysql_code(error) in _READ_ONLY:
        return UnavailableError(
            f"the database {where} takes no writes now ({_text(error)}); let --database name the primary server"
        )
    if failure is Failure.LOST:
        return UnavailableError(f"the connection to the database {where} was lost ({_text(error)}); try again")
    if dialect.name == "sqlite":
        code = _sqlite_code(error)
        if code in _SQLITE_NOT_A_DATABASE:
            return FailedPreconditionError(f"{where} {_SQLITE_NOT_A_DATABASE[code]}")
        if code in _SQLITE_ENVIRONMENT:
            return UnavailableError(f"the database {where} does not work: {_SQLITE_ENVIRONMENT[code]} ({_text(error)})")
    elif (code := mysql_code(error)) in _MENDED_OUTSIDE:
        what, remedy = _MENDED_OUTSIDE[code]
        return UnavailableError(f"the database {where} {what} ({_text(error)}); {remedy}")
    elif isinstance(error, dialect.loaded_dbapi.OperationalError):
        return UnavailableError(f"the database {where} does not answer as it should: {_text(error)}")
    return InternalError(f"the database {where} refused a statement: {type(error).__name__}: {_text(error)}")


def to_opening_error(error: Exception, dialect: Dialect, where: str) -> KatibError:
    """As `to_katib_error`, for one who opens the database. An SQLite file is of this machine: what is wrong with it, but for a
    writer in the way, does not mend itself while somebody waits, and whoever started us is better told at once."""
    known = to_katib_error(error, dialect, where)
    if (
        dialect.name == "sqlite"
        and isinstance(known, UnavailableError)
        and failure_of(error, dialect) is not Failure.BUSY
    ):
        return FailedPreconditionError(known.message)
    return known


def _original(error: Exception) -> Exception:
    """The driver's own error within SQLAlchemy's."""
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, Exception):
        return error.orig
    return error


def _sqlite_code(error: Exception) -> int:
    """The primary result code: the lowest byte of the extended one."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def mysql_code(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _text(error: Exception) -> str:
    """MySQL's errors are (code, sentence)."""
    return " ".join(map(str, error.args))
