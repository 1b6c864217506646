"""A MariaDB or MySQL server for the tests.

`KATIB_TEST_DB_URL` names a database to use: its name must hold the word `test`, for the tests empty it. Without, and where
`mariadbd` or `mysqld` is installed (tests/install-mariadb.sh does that), a private server runs for the session, in a folder of
its own and with the settings it has by itself, durable commits among them. Without that, the tests are skipped and say what is
missing; where CI=true they fail.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
import pytest
from pymysql.cursors import Cursor
from sqlalchemy import make_url

_START_S = 60
_MISSING = (
    "no MariaDB to test with: run tests/install-mariadb.sh, "
    "or set KATIB_TEST_DB_URL to a database whose name has `test` in it"
)


@contextmanager
def database_url() -> Iterator[str]:
    """The address of a database that may be emptied."""
    given = os.environ.get("KATIB_TEST_DB_URL")
    if given:
        if "test" not in (make_url(given).database or ""):
            pytest.fail("KATIB_TEST_DB_URL must name a database with `test` in its name: the tests empty it")
        yield given
        return
    server = shutil.which("mariadbd") or shutil.which("mysqld")
    if server is None:
        if os.environ.get("CI") == "true":
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    # Not below pytest's own folder: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="katib-db-") as folder, _running(server, Path(folder)) as port:
        with closing(pymysql.connect(host="127.0.0.1", port=port, user="root", ssl_disabled=True)) as connection:
            connection.cursor().execute("CREATE DATABASE katib_test")
        yield f"mysql+pymysql://root@127.0.0.1:{port}/katib_test"


@contextmanager
def _running(server: str, folder: Path) -> Iterator[int]:
    data, log = folder / "data", folder / "log"
    user = [f"--user={'root' if os.getuid() == 0 else os.environ.get('USER', 'nobody')}"]
    if "mariadb" in Path(server).resolve().name:
        init = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*init, f"--datadir={data}", *user], check=True, capture_output=True, timeout=_START_S)
    else:
        init = [server, "--no-defaults", "--initialize-insecure"]
        subprocess.run([*init, f"--datadir={data}", *user], check=True, capture_output=True, timeout=_START_S)
    port = _free_port()
    command = [server, "--no-defaults", f"--datadir={data}", f"--socket={folder}/s", f"--port={port}", *user]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--bind-address=127.0.0.1"], stdout=output, stderr=output)
    try:
        _wait(process, port, log)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="root", ssl_disabled=True).close()
            return
        except pymysql.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the database server does not start:\n{log.read_text()}")
            time.sleep(0.05)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def empty(url: str) -> None:
    """Removes every row of ours; the schema stays."""
    with connect(url) as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for table in ("observations", "trials", "studies", "managers", "saved_models", "saved_studies"):
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
