# ruff: noqa: N802 -- gRPC names the methods
"""Managers that are away, silent, ending, or cut off from a client in the middle of a call."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

import pytest

from katib.api import api_pb2 as pb
from katib.api import calls
from katib.api.api_pb2_grpc import add_ManagerServicer_to_server
from katib.api.channel import PROMPT_KEEPALIVE
from katib.api.client import ManagerClient
from katib.api.rpc import Server
from katib.domain.errors import KatibError
from tests.cli.scripted import SPEC, ScriptedManager, study
from tests.ports import free_port

A = "a" + "0" * 15


class Replica(ScriptedManager):
    """One of several managers. `busy`: what it says in place of an answer; `entered` is set when a call has arrived, which goes
    on when `gate` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.add(study(A))
        self.busy: KatibError | None = None
        self.entered = Event()
        self.gate = Event()
        self.gate.set()
        self.asked = 0
        self.request_ids: list[str] = []

    def _arrive(self) -> None:
        self.asked += 1
        self.entered.set()
        assert self.gate.wait(60)
        if self.busy is not None:
            raise self.busy

    def GetStudy(self, request: pb.GetStudyRequest, context: object) -> pb.GetStudyReply:
        self._arrive()
        return super().GetStudy(request, context)

    def DeleteStudy(self, request: pb.DeleteStudyRequest, context: object) -> pb.DeleteStudyReply:
        self._arrive()
        return super().DeleteStudy(request, context)

    def CreateStudy(self, request: pb.CreateStudyRequest, context: object) -> pb.CreateStudyReply:
        self.request_ids.append(request.request_id)
        self._arrive()
        return super().CreateStudy(request, context)

    def SuggestTrials(self, request: pb.SuggestTrialsRequest, context: object) -> pb.SuggestTrialsReply:
        self._arrive()
        return pb.SuggestTrialsReply(completed=True)


@contextmanager
def serving(manager: Replica, port: int = 0) -> Iterator[tuple[str, Server]]:
    server = Server(("api.Manager",))
    add_ManagerServicer_to_server(manager, server.grpc)  # type: ignore[no-untyped-call]
    port = server.listen(f"localhost:{port}")
    server.start()
    try:
        yield f"localhost:{port}", server
    finally:
        manager.gate.set()
        server.drain(0)


class Line:
    """Stands between a client and a manager; can be cut, or say nothing more to whoever is or comes on it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.silent = Event()
        self._listener = socket.create_server(("localhost", 0))
        self._ends: list[socket.socket] = []
        self.address = f"localhost:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        self.silent.set()

    def cut(self) -> None:
        """For good."""
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._ends.append(near)
                host, _, port = self._server.partition(":")
                try:
                    far = socket.create_connection((host, int(port)))
                except OSError:
                    near.close()
                    continue
                self._ends.append(far)
                for ends, forth in (((near, far), True), ((far, near), False)):
                    Thread(target=self._pass_on, args=(*ends, forth), daemon=True).start()

    def passes(self, data: bytes, forth: bool) -> bool:
        """Whether this goes on: `forth` to the manager, or back."""
        return not self.silent.is_set()

    def _pass_on(self, source: socket.socket, target: socket.socket, forth: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.passes(data, forth):
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Pair:
    """Two managers, of which the client begins with the first, over a line."""

    def __init__(self, stack: ExitStack) -> None:
        self.first, self.second = Replica(), Replica()
        address, self.server = stack.enter_context(serving(self.first))
        self.line = Line(address)
        stack.callback(self.line.cut)
        self.other, _ = stack.enter_context(serving(self.second))
        self.addresses = f"{self.line.address},{self.other}"

    def client(self, timeout: float = 30) -> ManagerClient:
        return ManagerClient(self.addresses, timeout)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr("random.randrange", lambda _count: 0)
    short = {"grpc.keepalive_time_ms": 300, "grpc.http2.ping_timeout_ms": 300}
    prompt = tuple((name, short.get(name, value)) for name, value in PROMPT_KEEPALIVE)
    monkeypatch.setattr(calls, "PROMPT_KEEPALIVE", prompt)
    with ExitStack() as stack:
        yield Pair(stack)


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    return f"localhost:{free_port()}"


CALLS: dict[str, Callable[[ManagerClient], object]] = {
    "a read": lambda client: client.get_study(A),
    "a creation": lambda client: client.create_study(SPEC),
    "suggestions for a named client": lambda client: client.suggest_trials(A, client_id="me"),
    "suggestions for anybody": lambda client: client.suggest_trials(A),
}
EACH = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
# Made twice these do what they do once.
REPEATABLE = pytest.mark.parametrize("call", [*CALLS.values()][:3], ids=[*CALLS][:3])


def in_the_middle(pair: Pair, call: Callable[[ManagerClient], object], then: Callable[[], object]) -> object:
    """`then()` happens while the first manager works at the call."""
    pair.first.gate.clear()

    def wait() -> None:
        assert pair.first.entered.wait(30)
        then()

    thread = Thread(target=wait)
    thread.start()
    try:
        with pair.client() as client:
            return call(client)
    finally:
        thread.join()
