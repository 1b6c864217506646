"""MariaDB and MySQL servers for the tests.

`KATIB_TEST_DB_URL` names a database to use in the place of MariaDB: its name must hold the word `test`, for the tests empty it.
Without, private servers run for the session, in folders of their own and with the settings they have by themselves, durable
commits among them: the programs are those of tests/storage/programs.py. Where one is not installed its tests are skipped and
say what is missing.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import pymysql
import pytest
from pymysql.cursors import Cursor
from sqlalchemy import make_url

from tests.ports import free_port
from tests.storage.programs import PROGRAMS, Program

_START_S = 60
# The kinds that every test of a server runs on.
KINDS = tuple(PROGRAMS)


@contextmanager
def database_url(kind: str = "mariadb") -> Iterator[str]:
    """The address of a database that may be emptied."""
    given = os.environ.get("KATIB_TEST_DB_URL") if kind == "mariadb" else None
    if given:
        if "test" not in (make_url(given).database or ""):
            pytest.fail("KATIB_TEST_DB_URL must name a database with `test` in its name: the tests empty it")
        yield given
        return
    with started(kind) as server:
        yield server.create_database("katib_test")


@contextmanager
def started(kind: str = "mariadb", **settings: object) -> Iterator["Server"]:
    """A private server that runs, with settings such as `max_connections=20`; skips or fails where none is installed."""
    # Not below pytest's own folder: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="katib-db-") as folder:
        server = Server(Path(folder), kind, **settings)
        try:
            server.start()
            yield server
        finally:
            server.close()


class Server:
    """One server with a port and a data folder of its own, which it keeps however often it is stopped and started again."""

    def __init__(self, folder: Path, kind: str = "mariadb", **settings: object) -> None:
        """`settings` are the server's variables, by name."""
        program = PROGRAMS[kind]()
        self.kind = kind
        self.port = free_port()
        self.log = folder / "log"
        self._program = program
        self._data = folder / "data"
        self._user = f"--user={'root' if os.getuid() == 0 else os.environ.get('USER', 'nobody')}"
        self._command = [
            *(*program.serve, f"--datadir={self._data}", self._user),
            *(f"--socket={folder}/s", "--bind-address=127.0.0.1"),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, makes its data folder if there is none yet, and waits until it answers."""
        fresh = not self._data.exists()
        if fresh:
            self._initialize()
        # Nobody knows the port of a new one yet: where another program was faster with it, there are others.
        for _ in range(5 if fresh else 1):
            if self._try_to_start():
                return
            if fresh:
                self.port = free_port()
        pytest.fail(f"the database server does not start:\n{self.log.read_text()}")

    def _try_to_start(self) -> bool:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command, f"--port={self.port}"], stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
            except pymysql.OperationalError:
                time.sleep(0.05)
            else:
                # Another server that has the port would answer as well; ours has ended then, or is about to.
                return self._is_ours()
        return False

    def _is_ours(self) -> bool:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@datadir")
            (folder,) = cursor.fetchone() or ("",)
            # MySQL says where the folder is, MariaDB what it was given.
            return Path(folder).resolve() == self._data.resolve()

    def stop(self) -> None:
        """As an administrator does it."""
        self._signal(signal.SIGTERM)
        self._gone()

    def kill(self) -> None:
        """As a power cut does it: what was not flushed is lost."""
        self._signal(signal.SIGKILL)
        self._gone()

    def pause(self) -> None:
        """Frozen: it still has its port and its connections, and says nothing."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        while not _stopped(self._process.pid):
            assert time.monotonic() < deadline, "the database server goes on in spite of SIGSTOP"
            time.sleep(0.01)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._gone()

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Makes an empty one and gives its address."""
        with closing(self.connect()) as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def connect(self) -> "pymysql.Connection[Cursor]":
        """A connection beside the program's, as root."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", ssl_disabled=True, autocommit=True)

    def _initialize(self) -> None:
        shutil.copytree(_new_data(self._program, self._user), self._data)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait(_START_S)
            self._process = None


@cache
def _new_data(program: Program, user: str) -> Path:
    """A data folder that no server has used. To make one takes MySQL several seconds of the processor, to copy it none."""
    folder = Path(tempfile.mkdtemp(prefix="katib-db-new-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [*program.initialize, f"--datadir={folder / 'data'}", user]
    # Servers that begin at the same moment can be in each other's way.
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_S, check=False)
        if done.returncode == 0:
            return folder / "data"
        shutil.rmtree(folder / "data", ignore_errors=True)
        time.sleep(1)
    pytest.fail(f"the database server's data folder cannot be made:\n{done.stdout}{done.stderr}")


def _stopped(pid: int) -> bool:
    """Whether all its threads have stopped: the signal has them do so one by one, and one may answer a last question before."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            if task.read_text().rpartition(")")[2].split()[0] not in "Tt":
                return False
    return True


OF_STUDIES = ("observations", "attempts", "trials", "study_grants", "model_deliveries", "studies")


def empty(url: str) -> None:
    """Removes every row of ours; the schema stays."""
    with connect(url) as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for table in (*OF_STUDIES, "managers", "saved_models", "saved_studies", "api_tokens", "secrets"):
            cursor.execute(f"DELETE FROM {table}")


def drop_tables(url: str) -> None:
    """Leaves nothing."""
    with connect(url) as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("SHOW TABLES")
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{table}`")


@contextmanager
def connect(url: str) -> Iterator[Cursor]:
    """A cursor beside the storage; what it did is committed at the end."""
    address = make_url(url)
    connection = pymysql.connect(
        host=address.host or "localhost",
        port=address.port or 3306,
        user=address.username,
        password=address.password or "",
        database=address.database,
        ssl_disabled=True,
    )
    with closing(connection):
        yield connection.cursor()
        connection.commit()
