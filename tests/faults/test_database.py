"""A database that is not there yet, goes away, restarts, says nothing, or has no connection left: the manager says so and
waits, and what it drives ends with what was asked for."""

import sqlite3
import statistics
import threading
import time
from contextlib import closing

import grpc
import pymysql
import pytest
from sqlalchemy import make_url

from katib.api.client import ManagerClient
from katib.domain.errors import KatibError, UnavailableError
from tests.e2e.harness import World, finished, study, until
from tests.e2e.test_faults import counted
from tests.faults.outages import (
    LONG_S,
    SERVING,
    SILENT_S,
    Watched,
    assert_whole,
    begun,
    first_start_after,
    kill_others,
    measured,
    server,
    take_all,
)
from tests.storage.proxy import cutting_proxy
from tests.storage.servers import KINDS, Server, started

__all__ = ["server"]


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
