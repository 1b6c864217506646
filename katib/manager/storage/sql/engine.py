"""Which databases there are, and how a connection to each is set up."""

import sqlite3
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pymysql.connections import Connection
from pymysql.constants import CLIENT
from pymysql.err import OperationalError
from sqlalchemy import URL, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from katib.domain.errors import InvalidArgumentError
from katib.manager.storage.sql.failures import HANDSHAKE_ERROR, NO_PASSWORD, mysql_code

EXPECTED: Final = "expected sqlite:///PATH, mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE or memory://"

# How long a writer waits for one of another process. Group commits take milliseconds; a check-point or a chunk of a deletion
# takes less than a second.
_LOCK_TIMEOUT_S: Final = 10
# MySQL's row locks are held for a group commit's time. Whoever waits for one holds up the writes to all other studies: what is
# locked for longer, by a frozen process or an open transaction of somebody's, is left, and tried again by who asked.
_ROW_LOCK_TIMEOUT_S: Final = 2
# A backup locks all tables at once, and a migration one. MySQL would let us wait for a day; we would break off after the time
# for a statement, take the server to be frozen, and leave a thread of it waiting.
_TABLE_LOCK_TIMEOUT_S: Final = 3
# Within a transaction nothing is waited for but the database. A process that says nothing for so long is frozen, or its link is
# cut: the server ends its connection, and with it the locks that would keep its studies from the other managers.
_FROZEN_S: Final = 3
# MySQL knows no such limit for transactions alone. A connection that merely lay idle is replaced when it is used next.
_IDLE_S: Final = 10
_CONNECT_TIMEOUT_S: Final = 5
# No statement of ours runs nearly as long, waits for locks included; beyond it the server is frozen or the link is dead, and a
# caller should hear so well within the time that clients wait by default (30 s).
_STATEMENT_TIMEOUT_S: Final = 10
# Changing a large table takes its time.
_MIGRATION_TIMEOUT_S: Final = 3600
# Readers are threads of the gRPC server and of the controller. More wait for one to be given back, at most this long.
_POOL: Final = 16
_POOL_TIMEOUT_S: Final = 5
# What of PyMySQL's options may stand behind the `?`. Others could undo what the storage relies on.
_MYSQL_OPTIONS: Final = frozenset({"unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_check_hostname"})
# An option of ours: where the password is. Read for each connection, so that a new one needs no restart.
_PASSWORD_FILE: Final = "password_file"  # noqa: S105 - its name
_FIRST_CODE: Final = 1000
_LOCAL: Final = frozenset({None, "", "localhost", "127.0.0.1", "::1"})


def parse_url(text: str) -> URL:
    """The address of an SQL database. Raises InvalidArgumentError, which never shows a password."""
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        # Not shown: what cannot be taken apart may hold a password anywhere.
        raise InvalidArgumentError.of("database", "", EXPECTED) from None
    shown = shown_url(url)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if url.database in (None, "", ":memory:") or url.host or url.query:
            raise InvalidArgumentError.of("database", shown, "expected sqlite:///PATH, with nothing behind the path")
        return url.set(drivername="sqlite")
    if url.drivername in ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"):
        unknown = sorted(url.query.keys() - _MYSQL_OPTIONS)
        if unknown:
            known = ", ".join(sorted(_MYSQL_OPTIONS))
            raise InvalidArgumentError.of("database", f"?{unknown[0]}=", f"expected no options but {known}")
        if not url.database:
            raise InvalidArgumentError.of("database", shown, "expected the name of a database behind the host")
        # One dialect for both servers: SQLAlchemy asks which of them it is.
        return url.set(drivername="mysql+pymysql")
    raise InvalidArgumentError.of("database", f"{url.drivername}:", EXPECTED)


def with_password_file(url: URL, path: str) -> URL:
    """The address with its password in a file. Raises InvalidArgumentError."""
    option = "--database-password-file"
    if url.drivername == "sqlite":
        raise InvalidArgumentError.of(option, path, "expected none beside SQLite, which knows no passwords")
    if url.password is not None:
        raise InvalidArgumentError.of(option, path, "expected no password in --database beside it")
    try:
        _read_password(path)
    except OSError as error:
        raise InvalidArgumentError.of(option, path, f"expected a file that can be read: {error.strerror}") from None
    return url.update_query_dict({_PASSWORD_FILE: path})


def shown_url(url: URL) -> str:
    """For people and logs: without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def make_engine(url: URL, *, migrating: bool = False) -> Engine:
    """Connections in autocommit mode: a read is one statement, and the writer begins and ends its transactions itself."""
    options: dict[str, Any] = {
        # Nothing to undo when a connection comes back: in autocommit mode the ROLLBACK would be a round trip for nothing.
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
        "pool_size": _POOL,
        "max_overflow": 0,
        "pool_timeout": _POOL_TIMEOUT_S,
        "pool_use_lifo": True,
        # Statement parameters are users' data.
        "hide_parameters": True,
        # By position, as a Session gives them.
        "paramstyle": "qmark" if url.drivername == "sqlite" else "format",
    }
    if url.drivername == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _LOCK_TIMEOUT_S, "check_same_thread": False}, **options)
        event.listen(engine, "connect", _set_up_sqlite_for_migration if migrating else _set_up_sqlite)
    else:
        address = url.difference_update_query([_PASSWORD_FILE])
        engine = create_engine(address, connect_args=_mysql_arguments(url, migrating), **options)
        event.listen(engine, "do_connect", _connect_mysql)
        # Before SQLAlchemy looks how names are quoted: the server's own sql_mode may have ANSI_QUOTES, ours has not.
        event.listen(engine, "connect", _set_up_mysql, insert=True)
        if not migrating:
            event.listen(engine, "connect", _limit_table_locks)
    return engine


def ask_before_connecting(engine: Engine, allow: Callable[[], None]) -> None:
    """From now on `allow()` is called before each connection is made; what it raises is raised instead."""
    # These are called in the order in which they came, whatever `insert` says, and the one that connects is the last.
    connects = event.contains(engine, "do_connect", _connect_mysql)
    if connects:
        event.remove(engine, "do_connect", _connect_mysql)
    event.listen(engine, "do_connect", lambda *_: allow())
    if connects:
        event.listen(engine, "do_connect", _connect_mysql)


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _set_up_sqlite_for_migration(connection, _entry)
    connection.cursor().execute("PRAGMA foreign_keys = ON")


def _set_up_sqlite_for_migration(connection: DBAPIConnection, _entry: ConnectionPoolEntry | None) -> None:
    """Without foreign keys: a migration that copies a table drops the old one, which would take its children with it."""
    assert isinstance(connection, sqlite3.Connection)
    cursor = connection.cursor()
    # A commit is on the disk when it returns, also in WAL mode, where less would be the default of some builds.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _connect_mysql(
    dialect: Dialect, _entry: ConnectionPoolEntry, positional: tuple[Any, ...], named: dict[str, Any]
) -> DBAPIConnection:
    """PyMySQL takes apart what it gets as though a MySQL server had sent it: what another program sends, or one that breaks
    off, ends in whatever error that comes to. Here it is one, the protocol's own for it."""
    path = named.get(_PASSWORD_FILE)
    if path is not None:
        # The next connection is made with the same dictionary.
        named = {name: value for name, value in named.items() if name != _PASSWORD_FILE}
        try:
            named["password"] = _read_password(path)
        except OSError as error:
            raise OperationalError(NO_PASSWORD, f"{path}: {error.strerror}") from error
    try:
        return dialect.connect(*positional, **named)
    except dialect.loaded_dbapi.Error as error:
        # Servers' codes begin at 1000.
        if mysql_code(error) >= _FIRST_CODE:
            raise
        raise _no_server(error) from error
    except (struct.error, LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise _no_server(error) from error


def _read_password(path: str) -> bytes:
    """Without the end of the line that an editor leaves."""
    return Path(path).read_bytes().removesuffix(b"\n").removesuffix(b"\r")


def _no_server(error: Exception) -> OperationalError:
    return OperationalError(HANDSHAKE_ERROR, f"{type(error).__name__}: {' '.join(map(str, error.args))}")


def _set_up_mysql(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    # Strict: what does not fit is an error and never cut off. And backslashes escape, as PyMySQL thinks they do. And a
    # COMMIT begins nothing.
    cursor.execute(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION completion_type = 'NO_CHAIN', "
        f"SESSION innodb_lock_wait_timeout = {_ROW_LOCK_TIMEOUT_S}"
    )
    assert isinstance(connection, Connection)
    if "MariaDB" in connection.get_server_info():  # type: ignore[no-untyped-call]
        cursor.execute(f"SET SESSION idle_transaction_timeout = {_FROZEN_S}")
    else:
        cursor.execute(f"SET SESSION wait_timeout = {_IDLE_S}")
    cursor.close()


def _limit_table_locks(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """A migration waits for its tables as long as it takes."""
    cursor = connection.cursor()
    cursor.execute(f"SET SESSION lock_wait_timeout = {_TABLE_LOCK_TIMEOUT_S}")
    cursor.close()


def _mysql_arguments(url: URL, migrating: bool) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        # An update counts the rows that it found, changed or not; and several statements may go in one packet.
        "client_flag": CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": _MIGRATION_TIMEOUT_S if migrating else _STATEMENT_TIMEOUT_S,
        "write_timeout": _STATEMENT_TIMEOUT_S,
    }
    if url.password is not None:
        # PyMySQL would take a text for Latin-1; who made the user will have typed UTF-8.
        arguments["password"] = str(url.password).encode()
    if _PASSWORD_FILE in url.query:
        arguments[_PASSWORD_FILE] = url.query[_PASSWORD_FILE]
    tls = any(name.startswith("ssl_") for name in url.query)
    if not tls and ("unix_socket" in url.query or url.host in _LOCAL):
        # PyMySQL encrypts whenever the server can, even where nothing leaves the machine.
        arguments["ssl_disabled"] = True
    return arguments
