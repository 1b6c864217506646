"""What probes are told does not depend on what calls wait for."""

import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import rpc
from katib.api.channel import open_channel
from katib.domain.errors import UnavailableError
from katib.manager.server import Manager
from katib.manager.settings import Settings


def test_health_is_answered_while_every_thread_for_calls_waits() -> None:
    entered, go_on = threading.Semaphore(0), threading.Event()

    def wait(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        entered.release()
        go_on.wait(60)
        return b""

    server = rpc.Server(("api.Slow",), threads=2)
    server.grpc.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("api.Slow", {"Wait": grpc.unary_unary_rpc_method_handler(wait)}),)
    )
    address = f"localhost:{server.listen('localhost:0')}"
    server.start()
    try:
        with open_channel(address) as channel:
            calls = [channel.unary_unary("/api.Slow/Wait").future(b"", timeout=60) for _ in range(4)]
            assert all(entered.acquire(timeout=30) for _ in range(2))
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            for service in ("", "api.Slow"):
                reply = check(health_pb2.HealthCheckRequest(service=service), timeout=10)
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
            assert not any(call.done() for call in calls)
            go_on.set()
            assert [call.result(60) for call in calls] == [b""] * 4
    finally:
        go_on.set()
        server.drain()


def test_a_server_that_cannot_work_is_alive_and_not_ready() -> None:
    """Whoever restarts what is not alive must not restart what waits for its database."""
    server = rpc.Server(("api.Slow",))
    address = f"localhost:{server.listen('localhost:0')}"
    server.start(ready=False)
    try:
        with open_channel(address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]

            def status(service: str) -> int:
                return int(check(health_pb2.HealthCheckRequest(service=service), timeout=10).status)

            def of_all() -> list[int]:
                return [status(service) for service in (rpc.LIVE, "", "api.Slow")]

            yes, no = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
            assert of_all() == [yes, no, no]
            server.set_ready(True)
            assert of_all() == [yes, yes, yes]
            server.set_ready(False)
            assert of_all() == [yes, no, no]
    finally:
        server.drain()


@pytest.mark.long
def test_a_database_lost_while_the_manager_says_that_it_is_ready_is_what_is_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("katib.manager.storage.sql.connections.Connections._look", _away)
    settings = Settings(listen="localhost:0", http="", database=f"sqlite:///{tmp_path}/it.db", data=tmp_path / "data")
    manager = Manager(settings)
    presence = manager._opening._sql.database.presence  # type: ignore[union-attr]
    said: list[bool] = []
    losing = threading.Thread(target=lambda: presence.lost("it is away", time.monotonic()))

    def set_ready(ready: bool) -> None:
        if ready and losing.ident is None:
            # What was read a moment ago is told when it has become untrue.
            losing.start()
            losing.join(1)
        said.append(ready)

    monkeypatch.setattr(manager._server, "set_ready", set_ready)
    try:
        manager.start()
        losing.join(60)
        assert not losing.is_alive()
        assert said[-2:] == [True, False]
    finally:
        manager.stop()


def _away(_connections: object) -> None:
    raise UnavailableError("it is away")
