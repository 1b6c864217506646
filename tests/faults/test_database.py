"""A database that is not there yet, goes away, restarts, says nothing, or has no connection left: the manager says so and
waits, and what it drives ends with what was asked for."""

import re
import socket
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import grpc
import pymysql
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import make_url

from katib.api import api_pb2 as pb
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.domain.errors import KatibError, UnavailableError
from katib.domain.study import StudyState
from katib.manager.storage.open import open_storage
from tests.e2e.harness import Process, World, finished, stub, study, trials, until, wait_until_serving
from tests.e2e.test_faults import COUNTED, counted
from tests.e2e.test_server import free_port, get
from tests.storage.proxy import cutting_proxy
from tests.storage.servers import KINDS, Server, started

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# How long a call may take whose database gives no answer, in the worst case: 5 s for a turn in the pool, 10 s for the server.
# From then on it is known and nobody waits.
SILENT_S = 19
LONG_S = 100


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of each kind, which a test may stop, kill and freeze."""
    with started(request.param) as it:
        yield it


class Watched:
    """A manager whose health, readiness and calls are looked at."""

    def __init__(self, katib: World, database: str, *arguments: str, wait: bool = True) -> None:
        self._katib = katib
        http = free_port()
        self._ready = f"http://localhost:{http}/readyz"
        self._alive = f"http://localhost:{http}/healthz"
        self._metrics = f"http://localhost:{http}/metrics"
        self.process: Process = katib.manager(*arguments, database=database, http=f"localhost:{http}", wait=wait)

    def call(self) -> tuple[grpc.StatusCode, str, float]:
        """How a call ends: code, message, seconds."""
        begin = time.monotonic()
        try:
            stub(self._katib.address).GetStudies(pb.GetStudiesRequest(), timeout=60, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code(), error.details() or "", time.monotonic() - begin
        return grpc.StatusCode.OK, "", time.monotonic() - begin

    def health(self) -> int:
        with open_channel(self._katib.address) as channel:
            request = health_pb2.HealthCheckRequest(service="api.Manager")
            health = health_pb2_grpc.HealthStub(channel)
            return int(health.Check(request, timeout=10, wait_for_ready=True).status)  # type: ignore[attr-defined]

    def ready(self) -> tuple[int, str]:
        return get(self._ready)

    def alive(self) -> bool:
        return get(self._alive) == (200, "ok\n")

    def passes(self) -> float:
        found = re.search(r"^katib_reconcile_seconds_count (\S+)", get(self._metrics)[1], re.MULTILINE)
        assert found is not None
        return float(found[1])

    def says_why(self, reason: str, seconds: float = SILENT_S) -> None:
        """Everywhere where one may ask, and what is asked is answered at once from then on."""
        until(lambda: self.health() == NOT_SERVING, seconds)
        # Until the first try has ended, the reason is that it is being opened.
        until(lambda: reason in self.call()[1], seconds)
        code, message, took = self.call()
        assert (code, took < 5) == (grpc.StatusCode.UNAVAILABLE, True), (code, message, took)
        assert reason in message
        status, text = self.ready()
        assert (status, reason in text) == (503, True), text
        assert self.alive()
        # The log has what was found first: a statement that was under way was cut off before nobody could be reached.
        assert reason in self.process.output or "was lost (" in self.process.output

    def lines(self, text: str) -> int:
        return self.process.output.count(text)


def begun(katib: World, count: Path, **limits: object) -> str:
    """A study of which a few trials have ended."""
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_parallel": 3, **limits}))
        until(lambda: client.get_study(study_id).summary.completed >= 3)
    assert any(count.iterdir())
    return study_id


def assert_whole(client: ManagerClient, study_id: str, count: Path, number: int) -> None:
    """Exactly the trials that were asked for; each command was executed once, and what it printed is there once."""
    summary = finished(client, study_id, LONG_S)
    assert (summary.state, summary.completed, summary.trials) == (StudyState.COMPLETED, number, number)
    done = trials(client, study_id)
    assert [t.number for t in done] == list(range(1, number + 1))
    assert {t.attempt for t in done} == {1}
    assert sorted(p.name for p in count.iterdir()) == sorted(f"{t.id}-1" for t in done)
    for trial in done:
        value = float((count / f"{trial.id}-1").read_text())
        assert [(o.name, o.value) for o in client.get_trial(trial.id).observations] == [("acc", value)]


def first_start_after(count: Path, moment: float) -> float:
    """Seconds from then (by the wall clock) to the next trial's start."""
    return until(lambda: min((t for p in count.iterdir() if (t := p.stat().st_mtime) > moment), default=0.0)) - moment


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


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


# In the middle of a study


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_goes_on_by_itself_after_the_database_was_away_for_half_a_minute(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    manager = Watched(katib, server.create_database("katib"))
    study_id = begun(katib, count, max_trials=60)
    server.stop()
    manager.says_why("cannot be reached")
    gone = time.monotonic()
    slowest = 0.0
    while time.monotonic() - gone < 30:
        code, _, took = manager.call()
        assert code is grpc.StatusCode.UNAVAILABLE
        slowest = max(slowest, took)
        time.sleep(0.5)
    assert slowest < 5
    server.start()
    back = time.time()
    measured("database back to next trial", first_start_after(count, back))
    measured("slowest call while it was away", slowest)
    with katib.client() as client:
        assert_whole(client, study_id, count, 60)
    assert manager.ready() == (200, "ready\n")
    assert manager.health() == SERVING
    # When it went, perhaps once more for another reason, and when it was back; nothing for each pass.
    assert manager.lines("[warning") <= 4, manager.process.output
    assert manager.lines("is there again") == 1
    assert manager.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_killed_and_restarted_again_and_again_loses_nothing(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    manager = Watched(katib, server.create_database("katib"))
    study_id = begun(katib, count, max_trials=60)
    waits = []
    for _ in range(4):
        server.kill()
        server.start()
        waits.append(first_start_after(count, time.time()))
        time.sleep(0.5)
    measured("database back to next trial, median after SIGKILL", statistics.median(waits))
    with katib.client() as client:
        assert_whole(client, study_id, count, 60)
    assert manager.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["told to end", "killed"])
def test_a_manager_that_ends_while_the_database_is_away_has_a_successor_that_waits_for_it(
    katib: World, server: Server, how: str
) -> None:
    count = counted(katib)
    katib.suggestion("random")
    url = server.create_database("katib")
    manager = Watched(katib, url)
    study_id = begun(katib, count, max_trials=40)
    server.kill()
    manager.says_why("cannot be reached")
    if how == "killed":
        manager.process.kill()
    else:
        begin = time.monotonic()
        assert manager.process.end() == 0
        assert time.monotonic() - begin < 8
        assert "could not give up the studies" in manager.process.output
    successor = Watched(katib, url, wait=False)
    successor.says_why("cannot be reached")
    server.start()
    measured(f"database back to next trial, its manager {how}", first_start_after(count, time.time()))
    with katib.client() as client:
        assert_whole(client, study_id, count, 40)
    assert successor.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_frozen_database_holds_nobody_for_long_and_is_used_again_at_once(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    manager = Watched(katib, server.create_database("katib"))
    study_id = begun(katib, count, max_trials=60)
    server.pause()
    calls: list[tuple[grpc.StatusCode, str, float]] = []
    # More than there are threads for calls.
    callers = [threading.Thread(target=lambda: calls.append(manager.call())) for _ in range(40)]
    for caller in callers:
        caller.start()
    manager.says_why("gives no answer", 2 * SILENT_S)
    for caller in callers:
        caller.join(2 * SILENT_S)
    assert {code for code, _, _ in calls} == {grpc.StatusCode.UNAVAILABLE}
    assert len(calls) == len(callers)
    assert max(took for _, _, took in calls) < SILENT_S
    measured("slowest call to a frozen database", max(took for _, _, took in calls))
    server.resume()
    measured("database thawed to next trial", first_start_after(count, time.time()))
    with katib.client() as client:
        assert_whole(client, study_id, count, 60)
    assert manager.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server_that_takes_no_writes_for_a_while_is_said_to_and_reads_go_on(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    with closing(server.connect()) as root:
        cursor = root.cursor()
        cursor.execute("CREATE DATABASE katib")
        # Root may write all the same.
        cursor.execute("CREATE USER katib@'%'")
        cursor.execute("GRANT ALL ON katib.* TO katib@'%'")
        address = make_url(server.url("katib")).set(username="katib")
        manager = Watched(katib, address.render_as_string(hide_password=False))
        study_id = begun(katib, count, max_trials=30)
        cursor.execute("SET GLOBAL read_only = 1")
        with katib.client() as client:
            until(lambda: "takes no writes now" in manager.process.output)
            with pytest.raises(UnavailableError, match="let --database name the primary server"):
                ManagerClient(katib.address, 2).create_study(study())
            assert client.get_study(study_id).summary.trials <= 30
        cursor.execute("SET GLOBAL read_only = 0")
    with katib.client() as client:
        assert_whole(client, study_id, count, 30)
    assert manager.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_connections_killed_again_and_again_are_not_noticed(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    manager = Watched(katib, server.create_database("katib"))
    study_id = begun(katib, count, max_trials=60)
    killed = 0
    refused = []
    with closing(server.connect()) as root, katib.client() as client:
        while not client.get_study(study_id).summary.state.finished:
            for _ in range(5):
                killed += kill_others(root)
                time.sleep(0.1)
            try:
                client.list_studies()
            except KatibError as error:
                refused.append(error)
    assert killed > 20
    assert all(isinstance(error, UnavailableError) for error in refused)
    measured("connections killed", killed)
    measured("calls refused meanwhile", len(refused))
    with katib.client() as client:
        assert_whole(client, study_id, count, 60)
    assert manager.process.end() == 0


@pytest.mark.slow
def test_connections_that_the_server_closes_for_their_idleness_are_not_noticed(katib: World, server: Server) -> None:
    katib.suggestion("random")
    url = server.create_database("katib")
    with closing(server.connect()) as root:
        root.cursor().execute("SET GLOBAL wait_timeout = 1")
    # Its heartbeats are further apart than that.
    manager = Watched(katib, url, "--lease", "60")
    for _ in range(5):
        time.sleep(1.5)
        assert manager.call()[0] is grpc.StatusCode.OK
    with katib.client() as client:
        finished(client, client.create_study(study(script="sleep 2; echo acc=1")))
    assert manager.lines("[warning") == 0, manager.process.output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_a_connection_left_is_waited_for_and_the_remedy_named(katib: World, kind: str) -> None:
    count = counted(katib)
    katib.suggestion("random")
    with started(kind, max_connections=20) as server:
        url = server.create_database("katib")
        with closing(server.connect()) as root:
            root.cursor().execute("CREATE USER katib@'%'")
            root.cursor().execute("CREATE USER other@'%'")
            root.cursor().execute("GRANT ALL ON katib.* TO katib@'%'")
            # One more connection than the limit is kept for an administrator, which the manager must not be.
            address = make_url(url).set(username="katib")
            manager = Watched(katib, address.render_as_string(hide_password=False))
            study_id = begun(katib, count, max_trials=60)
            others: list[pymysql.Connection[pymysql.cursors.Cursor]] = []
            try:
                until(lambda: take_all(server, others) and kill_others(root, "katib") == 0, LONG_S)
                manager.says_why("raise max_connections")
                time.sleep(12)
                manager.says_why("raise max_connections")
            finally:
                for other in others:
                    other.close()
            measured("connections freed to next trial", first_start_after(count, time.time()))
            with katib.client() as client:
                assert_whole(client, study_id, count, 60)
            assert manager.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_manager_cut_off_beyond_its_lease_stops_acting_and_the_other_goes_on(katib: World, server: Server) -> None:
    count = counted(katib)
    katib.suggestion("random")
    url = server.create_database("katib")
    address = make_url(url)
    with cutting_proxy(server.port) as proxy:
        through = address.set(port=proxy.port).render_as_string(hide_password=False)
        cut_off = Watched(katib, through, "--lease", "3")
        study_id = begun(katib, count, max_trials=80)
        other = katib.manager("--lease", "3", address=f"{katib.address}2", database=url)
        proxy.flows.clear()
        until(lambda: "drives a study from now on" in other.output)
        with ManagerClient(f"{katib.address}2", 30) as client:
            before = client.get_study(study_id).summary.completed
            passes = cut_off.passes()
            until(lambda: client.get_study(study_id).summary.completed >= before + 10)
            # Not one pass, though its trials have ended and woken it.
            assert cut_off.passes() == passes
            proxy.flows.set()
            assert_whole(client, study_id, count, 80)
        until(lambda: cut_off.health() == SERVING)
        assert cut_off.process.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_file_that_another_program_has_locked_is_waited_for(katib: World) -> None:
    count = counted(katib)
    katib.suggestion("random")
    file = katib.folder / "katib.db"
    manager = Watched(katib, f"sqlite:///{file}")
    study_id = begun(katib, count, max_trials=40)
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(15)
        # Readers do not mind.
        assert manager.call()[0] is grpc.StatusCode.OK
        other.execute("ROLLBACK")
    measured("file unlocked to next trial", first_start_after(count, time.time()))
    with katib.client() as client:
        assert_whole(client, study_id, count, 40)
    assert "is busy with other writers" in manager.process.output


def kill_others(root: "pymysql.Connection[pymysql.cursors.Cursor]", user: str = "") -> int:
    """Kills every connection but this one; how many."""
    killed = 0
    with root.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE id != CONNECTION_ID() AND command != 'Daemon' "
            "AND (%s = '' OR user = %s)",
            (user, user),
        )
        for (id_,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {id_}")
                killed += 1
            except pymysql.Error:  # gone by itself
                continue
    return killed


def take_all(server: Server, taken: "list[pymysql.Connection[pymysql.cursors.Cursor]]") -> bool:
    """Takes every connection that is left."""
    while True:
        try:
            taken.append(pymysql.connect(host="127.0.0.1", port=server.port, user="other", ssl_disabled=True))
        except pymysql.OperationalError:
            return True


def measured(what: str, value: float) -> None:
    print(f"measured: {what}: {value:.2f}")
