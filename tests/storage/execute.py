"""Statements beside the storage."""

import sqlite3
from contextlib import closing

from sqlalchemy import make_url

from tests.storage import servers


def execute(url: str, *statements: str) -> None:
    """What somebody else does to the database."""
    if url.startswith("sqlite"):
        path = make_url(url).database
        assert path is not None
        with closing(sqlite3.connect(path)) as connection, connection:
            for sql in statements:
                connection.execute(sql)
    else:
        with servers.connect(url) as cursor:
            for sql in statements:
                cursor.execute(sql)
