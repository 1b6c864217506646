"""A database that is taken away from managers, and what they are to have kept."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pymysql
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import api_pb2 as pb
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.domain.study import StudyState
from tests.e2e.harness import Process, World, finished, stub, study, trials, until
from tests.e2e.test_faults import COUNTED
from tests.e2e.test_server import get
from tests.ports import free_port
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
