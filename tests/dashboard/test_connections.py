"""Who connects and says nothing, or takes nothing, keeps nobody else out."""

import asyncio
import logging
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from katib.dashboard import connections
from katib.dashboard.connections import Connection, Server, over_tls
from tests.cluster.certificates import Authority
from tests.e2e.harness import BIN, World, until

pytestmark = pytest.mark.long

Address = tuple[str, int]
ENOUGH = 32 * 2**20
HEAD = b"GET /{} HTTP/1.1\r\nHost: localhost\r\n"


async def slowly(request: Request) -> Response:
    await asyncio.sleep(2)
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def large(_request: Request) -> Response:
    return Response(b"x" * ENOUGH)


async def endless(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


@contextmanager
def serving(connection: type[Connection], keep_alive: int = 5) -> Iterator[Address]:
    app = Starlette(
        routes=[Route("/slowly", slowly, methods=["GET", "POST"]), Route("/endless", endless), Route("/large", large)]
    )
    server = Server(
        uvicorn.Config(
            app,
            http=connection,
            log_config=None,
            lifespan="off",
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=1,
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        until(lambda: server.started)
        try:
            yield bound.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def address() -> Iterator[Address]:
    with serving(Connection) as it:
        yield it


def said(peer: socket.socket) -> bytes:
    """All that comes until the other side ends it, or enough."""
    peer.settimeout(10)
    found = b""
    try:
        while len(found) < ENOUGH and (piece := peer.recv(65536)):
            found += piece
    except ConnectionResetError:
        pass
    return found


def is_open(peer: socket.socket) -> bool:
    peer.settimeout(0.2)
    try:
        return peer.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "TLS"])
def test_who_connects_and_says_nothing_keeps_nobody_out(katib: World, tmp_path: Path, secured: bool) -> None:
    context, options = None, ""
    if secured:
        authority = Authority(tmp_path / "authority")
        certificate, key = authority.issue("dashboard", at=["localhost"])
        options = f" --tls-cert {certificate} --tls-key {key}"
        context = ssl.create_default_context(cafile=authority.certificate)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    few = f"ulimit -n 200; exec {BIN}/katib-dashboard --server {katib.address} --listen localhost:0{options}"
    dashboard = katib.start("/bin/sh", "-c", few, name="few-files")
    place = until(lambda: dashboard.output.partition("The dashboard is at ")[2].partition("\n")[0].strip())
    port = place.strip("/").rpartition(":")[2]
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("localhost", int(port)), 10))
        scheme = "https" if secured else "http"
        with urllib.request.urlopen(f"{scheme}://localhost:{port}/healthz", timeout=10, context=context) as answer:
            assert answer.status == 200
    dashboard.end()
    assert "Traceback" not in dashboard.output


def test_a_handshake_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_S", 0.3)
    certificate, key = Authority(tmp_path / "authority").issue("dashboard", at=["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(over_tls(context)) as address, socket.create_connection(address) as peer:
        assert said(peer) == b""


def test_of_too_many_the_one_that_has_waited_longest_gives_way(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MOST", 3)
    with ExitStack() as stack:
        peers = []
        for _ in range(4):
            peers.append(stack.enter_context(socket.create_connection(address)))
            time.sleep(0.05)
        assert said(peers[0]) == b""
        assert [is_open(peer) for peer in peers[1:]] == [True, True, True]


def test_where_all_are_at_work_the_next_is_not_taken_in(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MOST", 2)
    with ExitStack() as stack:
        at_work = [stack.enter_context(socket.create_connection(address)) for _ in range(2)]
        for peer in at_work:
            peer.sendall(HEAD.replace(b"{}", b"slowly") + b"Connection: close\r\n\r\n")
        time.sleep(1)
        assert said(stack.enter_context(socket.create_connection(address))) == b""
        assert all(said(peer).endswith(b"0 bytes") for peer in at_work)


@pytest.mark.parametrize(
    ("begun", "answer"),
    [
        (b"", b""),
        (HEAD, b"408 Request Timeout"),
        (HEAD.replace(b"GET", b"POST").replace(b"{}", b"slowly") + b"Content-Length: 9\r\n\r\nbody", b""),
    ],
    ids=["nothing", "headers", "body"],
)
def test_a_request_that_does_not_come_to_its_end_is_not_waited_for(
    address: Address, begun: bytes, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    with socket.create_connection(address) as peer:
        peer.sendall(begun)
        assert answer in said(peer)


def test_a_request_that_is_whole_has_all_the_time_that_its_answer_takes(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 1.5)
    with socket.create_connection(address) as peer:
        for last in (b"", b"Connection: close\r\n"):
            peer.sendall(HEAD.replace(b"GET", b"POST").replace(b"{}", b"slowly") + b"Content-Length: 4\r\n")
            time.sleep(0.1)
            peer.sendall(last + b"\r\nbody")
            if not last:
                peer.settimeout(10)
                until(lambda: peer.recv(65536).endswith(b"4 bytes"))
        assert said(peer).endswith(b"4 bytes")


def test_an_answer_that_nobody_takes_is_let_go(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKEN_S", 0.3)
    with socket.create_connection(address) as peer:
        peer.sendall(HEAD.replace(b"{}", b"endless") + b"\r\n")
        time.sleep(1)
        # What was on its way is there, and then no more of what has no end.
        assert len(said(peer)) < ENOUGH


def tls(folder: Path) -> tuple[type[Connection], ssl.SSLContext]:
    """What serves, and what a client trusts that by."""
    authority = Authority(folder / "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("dashboard", at=["localhost"]))
    client = ssl.create_default_context(cafile=authority.certificate)
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return over_tls(context), client


@pytest.mark.parametrize("header", ["", "Connection: close\r\n"], ids=["goes on", "closes"])
def test_who_has_its_answer_over_tls_and_does_not_close_is_not_waited_for_longer_than_for_who_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.setattr(connections, "TAKEN_S", 0.5)
    kind, client = tls(tmp_path)
    with serving(kind, keep_alive=1) as address, socket.create_connection(address) as line:
        # It reads what comes, and has TLS say nothing of its own.
        line.settimeout(10)
        with client.wrap_socket(line.dup(), server_hostname="localhost") as peer:
            peer.sendall(HEAD.replace(b"{}", b"slowly") + header.encode() + b"\r\n")
            until(lambda: peer.recv(65536).endswith(b"0 bytes"))
            assert said(line)


@pytest.mark.parametrize("header", ["", "Connection: close\r\n"], ids=["goes on", "closes"])
@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "TLS"])
def test_one_that_is_taken_slowly_is_given_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secured: bool, header: str
) -> None:
    monkeypatch.setattr(connections, "TAKEN_S", 2.0)
    # Of asyncio, for what was written before TLS is closed.
    monkeypatch.setattr(asyncio.constants, "SSL_SHUTDOWN_TIMEOUT", 2.0)
    kind, client = Connection, None
    if secured:
        kind, client = tls(tmp_path)
    taken = 0
    with serving(kind, keep_alive=1) as address, ExitStack() as stack:
        peer = stack.enter_context(socket.create_connection(address))
        if client is not None:
            peer = stack.enter_context(client.wrap_socket(peer, server_hostname="localhost"))
        peer.sendall(HEAD.replace(b"{}", b"large") + header.encode() + b"\r\n")
        peer.settimeout(10)
        due = time.monotonic()
        while piece := peer.recv(65536):
            taken += len(piece)
            due += len(piece) / (ENOUGH / 6)
            time.sleep(max(due - time.monotonic(), 0))
    assert taken > ENOUGH


class Line(asyncio.Transport):
    """Of what was written so much is left."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left
        self.ended = ""

    def get_write_buffer_size(self) -> int:
        return self.left

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"


def test_the_little_that_is_left_of_an_answer_is_waited_for_as_long_as_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TAKEN_S", 0.3)

    async def left_alone(line: Line, takes: int) -> float:
        """How long it is open, while so much of it is taken ten times a second."""
        config = uvicorn.Config(Starlette(), http=Connection, log_config=None, timeout_keep_alive=0)
        config.load()
        it = Connection(config, ServerState(), {})
        it.connection_made(line)
        it._rest()
        began = time.monotonic()
        it.timeout_keep_alive = 0.05  # type: ignore[assignment] # Uvicorn's are whole
        it.timeout_keep_alive_handler()
        while not line.ended and time.monotonic() - began < 5:
            await asyncio.sleep(0.1)
            line.left = max(line.left - takes, 0)
        it.connection_lost(None)
        return time.monotonic() - began

    taken, stuck = Line(1000), Line(1000)
    # In a thread without a loop: this one has the browser's where tests of pages were here before.
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(lambda: asyncio.run(left_alone(taken, 100))).result(30) >= 1.0
        assert taken.ended == "closed"
        assert 0.3 <= elsewhere.submit(lambda: asyncio.run(left_alone(stuck, 0))).result(30) < 3
    assert stuck.ended == "aborted"


def test_that_nobody_more_can_connect_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(connections._Troubles())
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            loop.call_exception_handler({"message": "accept", "exception": OSError(24, "Too many open files")})
    loop.close()
    assert [record.getMessage() for record in caplog.records] == [
        "nobody more can connect: Too many open files; see who is connected, or allow more (ulimit -n)"
    ]
