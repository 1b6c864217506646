# ruff: noqa: N802 -- gRPC names the methods
"""A client that was given several addresses, of managers that are away, silent, ending, or cut off from their database."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread
from typing import Any

import pytest

from katib.api import api_pb2 as pb
from katib.api import calls
from katib.api.api_pb2_grpc import add_ManagerServicer_to_server
from katib.api.channel import PROMPT_KEEPALIVE
from katib.api.client import ManagerClient
from katib.api.rpc import Server
from katib.cli.patience import Patience
from katib.cli.watch import events
from katib.domain.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.study import StudyState
from katib.domain.views import StudyEvent
from tests.cli.scripted import SPEC, ScriptedManager, study

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
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"localhost:{probe.getsockname()[1]}"


CALLS: dict[str, Callable[[ManagerClient], object]] = {
    "a read": lambda client: client.get_study(A),
    "a creation": lambda client: client.create_study(SPEC),
    "suggestions for a named client": lambda client: client.suggest_trials(A, client_id="me"),
    "suggestions for anybody": lambda client: client.suggest_trials(A),
}
EACH = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
# Made twice these do what they do once.
REPEATABLE = pytest.mark.parametrize("call", [*CALLS.values()][:3], ids=[*CALLS][:3])


@EACH
def test_where_nobody_listens_the_next_address_is_used_at_once(
    call: Callable[[ManagerClient], object], pair: Pair, nobody: str
) -> None:
    with ManagerClient([nobody, pair.other]) as client:
        began = time.monotonic()
        call(client)
        assert time.monotonic() - began < 5
        call(client)
    assert pair.second.asked == 2


def test_a_client_stays_where_it_is_answered(pair: Pair) -> None:
    with pair.client() as client:
        for _ in range(5):
            client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (5, 0)


def test_many_clients_are_shared_by_the_managers() -> None:
    with ExitStack() as stack:
        replicas = [Replica() for _ in range(3)]
        addresses = [stack.enter_context(serving(replica))[0] for replica in replicas]
        for _ in range(40):
            with ManagerClient(addresses) as client:
                client.get_study(A)
    # Each is left out by 40 clients once in ten million times.
    assert all(replica.asked for replica in replicas)


@REPEATABLE
def test_a_manager_without_its_database_is_left_for_the_next(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    pair.first.busy = UnavailableError("the database cannot be reached")
    with pair.client() as client:
        call(client)
        call(client)
    assert (pair.first.asked, pair.second.asked) == (1, 2)


def test_what_may_not_be_made_twice_is_made_once(pair: Pair) -> None:
    pair.first.busy = UnavailableError("the connection was lost while it committed")
    with pair.client() as client, pytest.raises(UnavailableError, match="while it committed"):
        client.suggest_trials(A)
    assert (pair.first.asked, pair.second.asked) == (1, 0)


def test_an_error_of_the_call_itself_is_the_answer(pair: Pair) -> None:
    pair.first.busy = NotFoundError("there is no such study")
    with pair.client() as client, pytest.raises(NotFoundError):
        client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (1, 0)


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


@REPEATABLE
def test_a_call_whose_answer_is_lost_is_made_at_the_next(call: Callable[[ManagerClient], object], pair: Pair) -> None:
    in_the_middle(pair, call, pair.line.cut)
    assert (pair.first.asked, pair.second.asked) == (1, 1)


def test_a_study_whose_creation_was_lost_is_created_under_the_same_request(pair: Pair) -> None:
    in_the_middle(pair, lambda client: client.create_study(SPEC), pair.line.cut)
    (first,), (second,) = pair.first.request_ids, pair.second.request_ids
    assert first == second != ""
    with pair.client() as client:
        client.create_study(SPEC)
        client.create_study(SPEC, "mine")
    assert pair.second.request_ids[1] not in ("", first)
    assert pair.second.request_ids[2] == "mine"


def test_a_deletion_whose_answer_was_lost_has_taken_effect_when_the_next_manager_knows_no_such_study(
    pair: Pair,
) -> None:
    pair.second.busy = NotFoundError("there is no study")
    in_the_middle(pair, lambda client: client.delete_study(A), pair.line.cut)
    assert (pair.first.asked, pair.second.asked) == (1, 1)
    with pair.client() as client, pytest.raises(NotFoundError):
        client.delete_study(A)


def test_a_time_out_that_the_manager_speaks_of_is_the_answer(pair: Pair) -> None:
    pair.first.busy = DeadlineExceededError("suggestion-random did not answer within 30 s")
    with pair.client(5) as client, pytest.raises(DeadlineExceededError, match="suggestion-random did not answer"):
        client.get_study(A)
    assert pair.second.asked == 0


def test_a_lost_answer_that_may_not_be_asked_for_again_says_so(pair: Pair) -> None:
    with pytest.raises(UnavailableError, match=r"was lost before it answered: look whether it took effect"):
        in_the_middle(pair, lambda client: client.suggest_trials(A), pair.line.cut)
    assert pair.second.asked == 0


@pytest.mark.long
@REPEATABLE
def test_a_manager_that_says_nothing_more_is_left_long_before_the_time_out(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    began = time.monotonic()
    in_the_middle(pair, call, pair.line.fall_silent)
    assert time.monotonic() - began < 20
    assert (pair.first.asked, pair.second.asked) == (1, 1)


@pytest.mark.long
@EACH
def test_a_manager_that_says_nothing_from_the_first_is_left(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    pair.line.fall_silent()
    began = time.monotonic()
    with pair.client() as client:
        call(client)
    # gRPC waits one and a quarter seconds for the other side's greeting.
    assert time.monotonic() - began < 10
    assert (pair.first.asked, pair.second.asked) == (0, 1)


@pytest.mark.long
def test_a_manager_that_is_slow_leaves_time_for_the_next(pair: Pair) -> None:
    pair.first.gate.clear()
    with pair.client(timeout=6) as client:
        client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (1, 1)


@pytest.mark.long
def test_the_time_out_holds_for_all_addresses_together(pair: Pair) -> None:
    pair.first.gate.clear()
    pair.second.gate.clear()
    with pair.client(timeout=3) as client:
        began = time.monotonic()
        with pytest.raises((DeadlineExceededError, UnavailableError)):
            client.get_study(A)
        assert 2 < time.monotonic() - began < 8


def test_a_manager_that_ends_is_left_without_an_error(pair: Pair) -> None:
    with pair.client() as client:
        client.get_study(A)
        pair.server.drain(0)
        for call in CALLS.values():
            call(client)
    assert (pair.first.asked, pair.second.asked) == (1, 4)


@pytest.mark.long
def test_where_nobody_answers_each_address_is_named_and_nobody_waits_for_the_time_out(nobody: str) -> None:
    with ManagerClient(f"{nobody}, unix:/nowhere/m") as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            client.get_study(A)
        assert time.monotonic() - began < 15
    assert str(caught.value) == (
        f"none of the managers at {nobody}, unix:/nowhere/m can be reached: start one (katib-local does), or name others"
    )


def test_alone_what_cannot_be_reached_is_an_error_at_once(nobody: str) -> None:
    with ManagerClient(nobody) as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="cannot be reached: start it"):
            client.get_study(A)
        assert time.monotonic() - began < 2


@pytest.mark.long
def test_alone_a_creation_whose_answer_was_lost_is_made_again_when_the_manager_is_back() -> None:
    first, second = Replica(), Replica()
    with ExitStack() as stack:
        address, server = stack.enter_context(serving(first))
        first.gate.clear()

        def restart() -> None:
            assert first.entered.wait(30)
            server.drain(0)
            time.sleep(0.5)
            stack.enter_context(serving(second, int(address.rpartition(":")[2])))

        thread = Thread(target=restart)
        thread.start()
        with ManagerClient(address) as client:
            client.create_study(SPEC)
        thread.join()
    assert first.request_ids == second.request_ids


@pytest.mark.long
def test_watching_goes_on_at_the_next_manager_where_it_was(pair: Pair) -> None:
    cut = Event()
    pair.first.watches = [[StudyEvent(study(A), [], 5), cut]]
    end = StudyEvent(study(A, state=StudyState.COMPLETED), [], 7)
    pair.second.watches = [[end]]
    said: list[str] = []
    with pair.client() as client:
        seen = []
        for event in events(client, A, Patience(said.append)):
            seen.append(event.revision)
            if event.revision == 5:
                pair.line.cut()
    cut.set()
    assert seen == [5, 7]
    assert [call.after_revision for call in pair.second.calls] == [5]
    assert said == [
        f"Connection lost (the connection to the manager at {pair.line.address} was lost); trying again for 10 minutes."
    ]


@pytest.mark.long
@pytest.mark.parametrize("end", ["stops", "falls silent"])
def test_watching_leaves_a_manager_that(end: str, pair: Pair) -> None:
    never = Event()
    pair.first.watches = [[StudyEvent(study(A), [], 5), *([never] if end == "falls silent" else [])]]
    pair.second.watches = [[StudyEvent(study(A, state=StudyState.COMPLETED), [], 7)]]
    with pair.client() as client:
        seen = []
        for event in events(client, A, Patience(lambda _: None)):
            seen.append(event.revision)
            if end == "falls silent":
                pair.line.fall_silent()
    never.set()
    assert seen == [5, 7]


@pytest.mark.parametrize("bad", ["", ",", "a:1,", ",a:1", "a:1,,b:2", "a:1, a:1", [], ["a:1", ""], ["a:1"] * 2])
def test_a_list_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="address"):
        ManagerClient(bad)
    with pytest.raises(InvalidArgumentError, match="at most 16"):
        ManagerClient([f"a:{i}" for i in range(1, 18)])
