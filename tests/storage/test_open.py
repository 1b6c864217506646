"""Opening: which addresses there are, what is wrong with others, and what becomes of an older or a newer schema."""

import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, KatibError, UnavailableError
from katib.manager.storage.memory import MemoryStorage
from katib.manager.storage.open import Opening, open_storage
from katib.manager.storage.sql.engine import parse_url
from katib.manager.storage.sql.migrate import known_schemas
from katib.manager.storage.sql.tables import metadata
from katib.manager.storage.sql.upgrading import migrations
from tests.storage import servers
from tests.storage.builders import make_study
from tests.storage.execute import execute

ROOT = Path(__file__).parents[2]


def migrate(url):
    """A database that has come by all of its migrations, as one of the first version has."""
    engine = create_engine(parse_url(url))
    with engine.connect() as connection:
        command.upgrade(migrations(connection), "head")
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "katib.db",
        "sqlite",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/katib.db",
        "sqlite:///katib.db?mode=ro",
        "memory://x",
        "postgresql://u:hunter2@host/db",
        "mysql+mysqldb://u:hunter2@host/db",
        "mysql+pymysql://u:hunter2@host",
        "mysql+pymysql://u:hunter2@host:port/db",
        "mysql+pymysql://u:hunter2@host/db?password=hunter2",
        "mysql+pymysql://u@host/db?passwd=hunter2",
        "mysql+pymysql://u@host/db?init_command=hunter2",
        "//u:hunter2@host/db",
        "🎲://u:hunter2@host/db",
    ],
)
def test_other_addresses_are_refused_with_what_is_expected_and_without_the_password(url):
    with pytest.raises(InvalidArgumentError) as caught:
        open_storage(url)
    assert caught.value.violations[0].field == "database"
    assert "expected" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_memory_has_an_address_too():
    storage = open_storage("memory://")
    assert isinstance(storage, MemoryStorage)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_mysql_and_mariadb_have_one_driver(scheme):
    assert parse_url(f"{scheme}://u:p@h/db").drivername == "mysql+pymysql"


@pytest.mark.filterwarnings("error")
def test_a_database_that_is_not_there_is_unavailable_and_the_password_stays_hidden(caplog, unused_port):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UnavailableError) as caught:
        open_storage(f"mysql+pymysql://katib:hunter2@127.0.0.1:{unused_port}/katib")
    error: BaseException | None = caught.value
    assert "Connection refused" in str(error)
    while error is not None:
        assert "hunter2" not in repr(error)
        error = error.__cause__
    assert "hunter2" not in caplog.text


def test_an_sqlite_file_is_created_with_its_folder(tmp_path):
    path = tmp_path / "not" / "there yet é" / "katib.db"
    storage = open_storage(f"sqlite:///{path}")
    study = storage.create_study(make_study())
    storage.close()
    again = open_storage(f"sqlite:///{path}", upgrade=False)
    assert again.get_study(study.id) == study
    again.close()


def test_an_sqlite_file_is_durable_and_never_makes_readers_wait(sqlite_url):
    storage = open_storage(sqlite_url)
    try:

        def pragma(name):
            def read(session):
                session.execute(f"PRAGMA {name}")
                return session._cursor.fetchone()[0]

            return storage.database.read(read), storage.database.write(read)

        assert pragma("journal_mode") == ("wal", "wal")
        assert pragma("synchronous") == (2, 2)
        assert pragma("foreign_keys") == (1, 1)
        assert pragma("busy_timeout") == (10000, 10000)
    finally:
        storage.close()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPreconditionError, match="cannot be created"):
        open_storage(f"sqlite:///{tmp_path}/file/katib.db")
    with pytest.raises(FailedPreconditionError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}")


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a database " * 100)
    with pytest.raises(FailedPreconditionError, match="no SQLite database"):
        open_storage(f"sqlite:///{other}")
    assert other.read_text() == "not a database " * 100


class TestSchema:
    def test_an_empty_database_is_upgraded_unless_that_is_not_allowed(self, empty_url):
        with pytest.raises(FailedPreconditionError, match="no tables yet"):
            open_storage(empty_url, upgrade=False)
        open_storage(empty_url).close()
        open_storage(empty_url, upgrade=False).close()

    def test_a_newer_schema_is_refused(self, empty_url):
        open_storage(empty_url).close()
        execute(empty_url, "UPDATE alembic_version SET version_num = '9999'")
        for upgrade in (True, False):
            with pytest.raises(FailedPreconditionError, match="schema 9999, made by a newer version"):
                open_storage(empty_url, upgrade=upgrade)

    def test_tables_of_something_else_are_left_alone(self, empty_url):
        execute(empty_url, "CREATE TABLE studies (id INTEGER)")
        with pytest.raises(FailedPreconditionError, match="something else"):
            open_storage(empty_url)
        execute(empty_url, "INSERT INTO studies VALUES (1)")

    def test_tables_of_katib_0_1_are_said_to_be_its_and_left_alone(self, empty_url):
        for table in ("studies", "study_permissions", "trials", "workers"):
            execute(empty_url, f"CREATE TABLE {table} (id INTEGER)")
        with pytest.raises(FailedPreconditionError, match=r"of Katib 0\.1, whose studies are not taken over"):
            open_storage(empty_url)
        execute(empty_url, "INSERT INTO studies VALUES (1)")

    @pytest.mark.long
    def test_an_upgrade_that_was_interrupted_goes_on(self, empty_url):
        open_storage(empty_url).close()
        # As MySQL, which commits each CREATE, is left when the process ends before the last one.
        execute(empty_url, "DROP TABLE saved_models")
        drop_index = "DROP INDEX ix_studies_name"
        execute(empty_url, drop_index if empty_url.startswith("sqlite") else f"{drop_index} ON studies")
        execute(empty_url, "DELETE FROM alembic_version")
        open_storage(empty_url).close()
        self.check_drift(empty_url)

    @pytest.mark.long
    def test_migrations_and_tables_are_the_same(self, empty_url):
        migrate(empty_url)
        self.check_drift(empty_url)

    def test_a_new_database_has_the_newest_schema_by_the_name_that_its_migration_has(self, empty_url):
        open_storage(empty_url).close()
        engine = create_engine(parse_url(empty_url))
        with engine.connect() as connection:
            head = ScriptDirectory.from_config(migrations()).get_current_head()
            assert MigrationContext.configure(connection).get_current_heads() == (head,)
        engine.dispose()
        self.check_drift(empty_url)

    def test_the_schemas_that_are_known_are_those_that_alembic_finds(self):
        scripts = ScriptDirectory.from_config(migrations())
        assert known_schemas() == sorted(script.revision for script in scripts.walk_revisions())

    def check_drift(self, url):
        engine = create_engine(parse_url(url))
        with engine.connect() as connection:
            command.check(migrations(connection))
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, metadata) == []
        engine.dispose()

    def test_the_statements_that_create_the_tables_are_the_same(self, tmp_path):
        """Closer than a comparison by Alembic, which sees neither collations nor the order of columns."""

        def schema(path):
            with sqlite3.connect(path) as connection:
                found = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
            connection.close()
            # A column that was added stands on the line of the one before.
            return {name: " ".join((sql or "").split()) for name, sql in found.items()}

        migrate(f"sqlite:///{tmp_path}/migrated.db")
        open_storage(f"sqlite:///{tmp_path}/created.db").close()
        assert schema(tmp_path / "migrated.db") == schema(tmp_path / "created.db")

    def test_the_statements_are_the_same_on_a_server(self, server_url):
        def schema():
            with servers.connect(server_url) as cursor:
                found = {}
                for table in (*metadata.tables, "alembic_version"):
                    cursor.execute(f"SHOW CREATE TABLE {table}")
                    # The order of the indexes means nothing.
                    found[table] = sorted(line.rstrip(",") for line in cursor.fetchone()[1].splitlines())
                return found

        servers.drop_tables(server_url)
        migrate(server_url)
        migrated = schema()
        servers.drop_tables(server_url)
        open_storage(server_url).close()
        assert migrated == schema()
        (name,) = (line for line in migrated["studies"] if line.lstrip().startswith("`name`"))
        assert "utf8mb4_nopad_bin" in name or "utf8mb4_0900_bin" in name

    @pytest.mark.long
    def test_of_many_that_open_an_empty_database_one_upgrades(self, empty_url):
        program = "import sys; from katib.manager.storage.open import Opening, open_storage; open_storage(sys.argv[1]).close()"
        others = [
            subprocess.Popen([sys.executable, "-c", program, empty_url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = []

        def open_():
            try:
                open_storage(empty_url).close()
            except KatibError as error:
                errors.append(error)

        threads = [threading.Thread(target=open_) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for other in others:
            _, stderr = other.communicate(timeout=60)
            assert other.returncode == 0, stderr
        assert errors == []
        self.check_drift(empty_url)


def test_one_whose_first_act_failed_acts_again_when_the_database_is_there(tmp_path):
    opening = Opening(f"sqlite:///{tmp_path}/it.db")
    tried = []

    def act() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise UnavailableError("the database takes no writes now")
        opening.storage.ping()

    # Else it would wait without end.
    timer = threading.Timer(20, opening.storage.close)
    timer.start()
    with closing(opening.storage):
        assert opening.wait(act)
        timer.cancel()
        assert len(tried) == 2
        opening.storage.ping()
