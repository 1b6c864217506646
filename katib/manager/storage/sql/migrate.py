"""Brings a database to the schema that this program knows, or says why it cannot."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    exc,
    func,
    insert,
    inspect,
    select,
)

from katib.domain.errors import FailedPreconditionError, UnavailableError
from katib.manager.storage.sql.engine import make_engine
from katib.manager.storage.sql.failures import Failure, failure_of, to_opening_error
from katib.manager.storage.sql.tables import metadata

_VERSIONS: Final = Path(__file__).parent.parent / "migrations" / "versions"
# As Alembic makes it.
_version: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
_TABLES_OF_0_1: Final = {"studies", "study_permissions", "trials"}
# How long to wait for another process that upgrades the same database.
_LOCK_S: Final = 60


def known_schemas() -> list[str]:
    """From the first to the newest: a file each, which is named after it."""
    return sorted(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def prepare(url: URL, where: str, *, upgrade: bool) -> None:
    """Upgrades the schema, or with `upgrade=False` checks that there is nothing to upgrade.

    Raises FailedPreconditionError for a database that is newer, that needs an upgrade, or that belongs to something else;
    UnavailableError when it cannot be reached, or when another process has been upgrading it for too long.
    """
    # Whether there is anything to do is asked with the usual patience; only a migration may take its time.
    with _connected(make_engine(url), where) as connection:
        if connection.dialect.name == "sqlite":
            _use_wal(connection, where)
        if _is_current(connection, where, upgrade=upgrade):
            return
    # By one process at a time; another may have done it meanwhile.
    with _connected(make_engine(url, migrating=True), where) as connection, _alone(connection, where):
        if _is_current(connection, where, upgrade=upgrade):
            return
        if _is_new(connection):
            _create(connection)
        else:
            # It logs each of its plugins as it is imported.
            logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
            from katib.manager.storage.sql import upgrading

            upgrading.upgrade(connection)


@contextmanager
def _connected(engine: Engine, where: str) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    except (engine.dialect.loaded_dbapi.Error, exc.DBAPIError) as error:
        raise to_opening_error(error, engine.dialect, where) from error
    finally:
        engine.dispose()


def _is_current(connection: Connection, where: str, *, upgrade: bool) -> bool:
    known = known_schemas()
    head = known[-1]
    current = _schemas(connection)
    if current == [head]:
        return True
    if not set(current) <= set(known):
        raise FailedPreconditionError(
            f"the database {where} has schema {', '.join(current)}, made by a newer version of Katib than this one, which "
            f"knows schema {head}; run that version, or give this one a database of its own"
        )
    if not current:
        _check_ours(connection, where)
    if not upgrade:
        raise FailedPreconditionError(
            f"the database {where} has {f'schema {current[0]}' if current else 'no tables yet'}, and this version of Katib "
            f"needs schema {head}; let a manager upgrade it first"
        )
    return False


def _schemas(connection: Connection) -> list[str]:
    """Of which the database is: one, or none yet."""
    if not inspect(connection).has_table(_version.name):
        return []
    return sorted(connection.execute(select(_version.c.version_num)).scalars())


def _is_new(connection: Connection) -> bool:
    return not set(inspect(connection).get_table_names()) & {_version.name, *metadata.tables}


def _create(connection: Connection) -> None:
    """The newest schema at once. On MySQL, where each statement is for good, an interruption leaves tables and no version in
    theirs: then Alembic does what is missing."""
    _version.create(connection)
    metadata.create_all(connection)
    connection.execute(insert(_version).values(version_num=known_schemas()[-1]))


def _check_ours(connection: Connection, where: str) -> None:
    """Without a version, tables of our names are not ours, unless our first upgrade was interrupted."""
    there = set(inspect(connection).get_table_names())
    strange = sorted(there & metadata.tables.keys())
    if strange and "alembic_version" not in there:
        whose = "Katib 0.1, whose studies are not taken over" if there >= _TABLES_OF_0_1 else "something else"
        raise FailedPreconditionError(
            f"the database {where} has tables of {whose} ({', '.join(strange)}); give Katib a database of its own"
        )


def _use_wal(connection: Connection, where: str) -> None:
    """In the write-ahead log mode readers never wait for the writer. The mode stays with the file."""
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
        except exc.OperationalError as error:
            # Changing it does not wait for a lock by itself.
            if failure_of(error, connection.dialect) is not Failure.BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise FailedPreconditionError(
                f"the database {where} is on a file system that cannot hold it (its journal mode stays {mode}); "
                "put it on a local disk"
            )
        connection.rollback()
        return


@contextmanager
def _alone(connection: Connection, where: str) -> Iterator[None]:
    if connection.dialect.name == "sqlite":
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
        return
    # MySQL ends a transaction with each change of a table, so the lock is one of its named ones.
    assert connection.engine.url.database is not None
    name = f"katib.{connection.engine.url.database}"[:64]
    if connection.execute(select(func.get_lock(name, _LOCK_S))).scalar_one() != 1:
        raise UnavailableError(f"another process has been upgrading the database {where} for {_LOCK_S} seconds")
    try:
        yield
        connection.commit()
    finally:
        connection.execute(select(func.release_lock(name)))
