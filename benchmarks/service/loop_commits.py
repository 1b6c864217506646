"""Commits of one row each, durable: what the database's server, or file, allows. A loop is one commit."""

import secrets
import sqlite3
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pymysql
from sqlalchemy import make_url

_TABLE = (
    "CREATE TABLE IF NOT EXISTS commits (who VARCHAR(128), number INTEGER, value DOUBLE, PRIMARY KEY (who, number))"
)


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    url = make_url(address)
    if url.drivername.startswith("sqlite"):
        assert url.database is not None
        return lambda study, name: _sqlite(Path(str(url.database)), _who(study, name))

    def make(study: str, name: str) -> Callable[[], None]:
        connection = pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            database=url.database,
            ssl_disabled=True,
            autocommit=True,
        )
        cursor = connection.cursor()
        cursor.execute(_TABLE)
        numbers = count()
        who = _who(study, name)
        return lambda: cursor.execute("INSERT INTO commits VALUES (%s, %s, %s)", (who, next(numbers), 0.5)) and None

    return make


def _begin_log(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for the lock that this takes, and several processes begin at once."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _sqlite(path: Path, who: str) -> Callable[[], None]:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    _begin_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    numbers = count()

    def loop() -> None:
        connection.execute("INSERT INTO commits VALUES (?, ?, ?)", (who, next(numbers), 0.5))

    return loop


def _who(study: str, name: str) -> str:
    """Another one each time: rows are never replaced."""
    return f"{study}-{name}-{secrets.token_hex(4)}"
