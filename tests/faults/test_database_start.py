"""A manager that is started before its database is there, or with one that it cannot use."""

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import pytest
from sqlalchemy import make_url

from katib.manager.storage.open import open_storage
from tests.e2e.harness import World, study, until, wait_until_serving
from tests.e2e.test_faults import COUNTED, counted
from tests.faults.outages import LONG_S, NOT_SERVING, Watched, assert_whole, measured, server, silent_port
from tests.ports import free_port
from tests.storage.servers import KINDS, Server, started

__all__ = ["server"]


# Before the manager's start


@pytest.mark.long
@pytest.mark.parametrize("how", ["refuses", "says nothing"])
def test_without_a_database_the_manager_serves_says_why_and_ends_promptly_when_it_is_told(
    katib: World, how: str
) -> None:
    with silent_port() as silent:
        port = free_port() if how == "refuses" else silent
        manager = Watched(katib, f"mysql+pymysql://katib:s3cret@127.0.0.1:{port}/katib", wait=False)
        # Before the first try has ended there is an answer already.
        assert manager.call()[0] is grpc.StatusCode.UNAVAILABLE
        if how == "refuses":
            manager.says_why("Connection refused")
            assert "s3cret" not in manager.process.output
        else:
            assert manager.ready()[0] == 503
            assert manager.health() == NOT_SERVING
        begin = time.monotonic()
        assert manager.process.end(seconds=15) == 0
        assert time.monotonic() - begin < 5
        assert "Traceback" not in manager.process.output


@pytest.mark.long
def test_many_tries_are_few_lines(katib: World) -> None:
    manager = Watched(katib, f"mysql+pymysql://katib@127.0.0.1:{free_port()}/katib", wait=False)
    manager.says_why("Connection refused")
    for _ in range(20):
        assert manager.call()[0] is grpc.StatusCode.UNAVAILABLE
    time.sleep(2)
    assert manager.lines("Connection refused") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("an address of nothing", "expected sqlite:///PATH"),
        ("a newer schema", "made by a newer version of Katib"),
        ("tables of something else", "tables of something else"),
        ("no database", "is no SQLite database"),
        ("a damaged file", "is damaged"),
        ("a folder that cannot be made", "cannot be created"),
    ],
)
def test_what_waiting_cannot_mend_ends_the_manager_at_once_with_a_sentence(
    katib: World, what: str, sentence: str
) -> None:
    file = katib.folder / "it.db"
    url = f"sqlite:///{file}"
    if what == "an address of nothing":
        url = "postgresql://u:s3cret@host/db"
    elif what == "a newer schema":
        open_storage(url).close()
        execute(file, "UPDATE alembic_version SET version_num = '9999'")
    elif what == "tables of something else":
        execute(file, "CREATE TABLE studies (id INTEGER)")
    elif what == "no database":
        file.write_text("a letter " * 1000)
    elif what == "a damaged file":
        open_storage(url).close()
        file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 40_000)
    else:
        (katib.folder / "file").touch()
        url = f"sqlite:///{katib.folder}/file/it.db"
    process = katib.manager(database=url, wait=False)
    assert process.popen.wait(30) == 1
    assert sentence in process.output.splitlines()[-1]
    assert "Traceback" not in process.output
    assert "s3cret" not in process.output


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "sentence"), [("a folder that cannot be made", "cannot be used"), ("no database", "is no SQLite database")]
)
def test_katib_local_does_not_wait_for_what_is_on_its_own_machine(katib: World, what: str, sentence: str) -> None:
    data = katib.folder / "place" / "data"
    if what == "no database":
        data.mkdir(parents=True)
        (data / "katib.db").write_text("a letter " * 1000)
    else:
        data.parent.touch()
    process = katib.start("katib-local", "--data", data, "--listen", katib.address)
    assert process.popen.wait(30) == 1
    assert sentence in process.output
    assert "Traceback" not in process.output


def execute(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
        connection.commit()


@pytest.mark.slow
def test_a_manager_started_before_its_database_goes_on_by_itself_when_that_is_there(
    katib: World, server: Server
) -> None:
    url = server.create_database("katib")
    server.stop()
    count = counted(katib)
    katib.suggestion("random")
    manager = Watched(katib, url, wait=False)
    manager.says_why("Connection refused")
    time.sleep(6)
    server.start()
    begin = time.monotonic()
    wait_until_serving(katib.address, manager.process)
    measured("database there to manager ready", time.monotonic() - begin)
    assert manager.ready() == (200, "ready\n")
    with katib.client() as client:
        assert_whole(client, client.create_study(study(script=COUNTED)), count, 4)
    assert manager.lines("is there again") == 1


@pytest.mark.slow
def test_a_user_or_a_database_that_is_created_later_is_waited_for_with_the_remedy(katib: World, server: Server) -> None:
    with closing(server.connect()) as root:
        root.cursor().execute("CREATE USER katib@'%' IDENTIFIED BY 's3cret'")
        root.cursor().execute("GRANT ALL ON katib.* TO katib@'%'")
        address = make_url(server.url("katib")).set(username="katib", password="wrong")
        manager = Watched(katib, address.render_as_string(hide_password=False), wait=False)
        manager.says_why("correct user and password in --database")
        root.cursor().execute("ALTER USER katib@'%' IDENTIFIED BY 'wrong'")
        until(lambda: "create it with CREATE DATABASE" in manager.ready()[1])
        root.cursor().execute("CREATE DATABASE katib")
        wait_until_serving(katib.address, manager.process)
    assert "wrong" not in manager.process.output


@pytest.mark.slow
def test_a_database_that_takes_no_writes_at_the_start_is_waited_for(katib: World, server: Server) -> None:
    with closing(server.connect()) as root:
        cursor = root.cursor()
        cursor.execute("CREATE DATABASE katib")
        cursor.execute("CREATE USER katib@'%'")
        cursor.execute("GRANT ALL ON katib.* TO katib@'%'")
        address = make_url(server.url("katib")).set(username="katib").render_as_string(hide_password=False)
        # The schema is there already: it can be opened, and is lost at the first that is to be written.
        open_storage(address).close()
        cursor.execute("SET GLOBAL read_only = 1")
        manager = Watched(katib, address, wait=False)
        until(lambda: "takes no writes now" in manager.process.output)
        assert manager.ready()[0] == 503
        cursor.execute("SET GLOBAL read_only = 0")
        wait_until_serving(katib.address, manager.process)
        until(lambda: manager.ready()[0] == 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", *KINDS])
def test_managers_started_at_once_on_an_empty_database_make_its_schema_once(katib: World, kind: str) -> None:
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{katib.folder}/katib.db"
        else:
            url = stack.enter_context(started(kind)).create_database("katib")
        started_at_once(katib, url)


def started_at_once(katib: World, url: str) -> None:
    addresses = [f"{katib.address}{i}" for i in range(3)]
    managers = [katib.manager(address=address, database=url, wait=False) for address in addresses]
    for address, manager in zip(addresses, managers, strict=True):
        wait_until_serving(address, manager, LONG_S)
        assert "Traceback" not in manager.output
        # Whoever came second found it done: nobody failed and tried again.
        assert "calls are answered UNAVAILABLE" not in manager.output


@pytest.mark.slow
def test_a_newer_schema_on_a_server_is_refused_with_a_sentence(katib: World, server: Server) -> None:
    url = server.create_database("katib")
    open_storage(url).close()
    with closing(server.connect()) as root:
        root.cursor().execute("UPDATE katib.alembic_version SET version_num = '9999'")
    process = katib.manager(database=url, wait=False)
    assert process.popen.wait(30) == 1
    assert "schema 9999, made by a newer version of Katib" in process.output.splitlines()[-1]
    assert "Traceback" not in process.output
