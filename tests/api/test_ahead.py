"""A call's message is read before the call has a thread: who sends none has none, and what is held of them is bounded."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from katib.api import admission as module
from katib.api import ahead
from katib.api import api_pb2 as pb
from katib.api.admission import Admission, CallLimits
from katib.api.api_pb2_grpc import ManagerServicer, ManagerStub, add_ManagerServicer_to_server
from katib.api.callers import Asker
from katib.api.channel import open_channel
from katib.api.rpc import Server

_S = 60
_HELD = "held"


class _Holds(ManagerServicer):
    """A call for `held` stays until it is let go."""

    def __init__(self) -> None:
        # One of each call, as soon as it has come.
        self.arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.go = threading.Event()

    def GetStudy(self, request: pb.GetStudyRequest, context: grpc.ServicerContext) -> pb.GetStudyReply:  # noqa: N802
        self.begun.put(request.study_id)
        if request.study_id == _HELD:
            assert self.go.wait(_S)
        return pb.GetStudyReply(study=pb.StudyInfo(name=request.study_id))


@pytest.fixture
def servicer() -> Iterator[_Holds]:
    it = _Holds()
    yield it
    it.go.set()


Start = Callable[..., grpc.Channel]


@pytest.fixture
def start(tmp_path: Path, servicer: _Holds, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server with so many threads; all calls are one caller's."""
    # Longer than any call here: it ends none by itself, on a slow machine either.
    monkeypatch.setattr(module, "_MESSAGE_S", 2 * _S)
    ends: list[Callable[[], object]] = []

    def whose(_token: str, address: str) -> Asker:
        servicer.arrived.put(address)
        return Asker("a", "a", "a")

    def begin(threads: int, limits: CallLimits | None = None) -> grpc.Channel:
        server = Server(("api.Manager",), admission=Admission(whose, limits or CallLimits(), threads))
        add_ManagerServicer_to_server(servicer, server.grpc)
        server.listen(f"unix:{tmp_path}/s")
        server.start()
        channel = open_channel(f"unix:{tmp_path}/s")
        ends.extend((channel.close, lambda: server.drain(0.1)))
        return channel

    yield begin
    servicer.go.set()
    for end in ends:
        end()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each message that was to be read ahead, whether it could be."""
    found: list[bool] = []
    ask = ahead.ask

    def note(args: tuple[object, ...], came: Callable[[bytes | None], None]) -> Callable[[], object] | None:
        end = ask(args, came)
        found.append(end is not None)
        return end

    monkeypatch.setattr(ahead, "ask", note)
    return found


def _silent(channel: grpc.Channel) -> tuple[grpc.Future, "queue.SimpleQueue[bytes | None]"]:
    """A call whose headers are sent, and its message once it is put there."""
    words: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    return channel.stream_unary("/api.Manager/GetStudy").future(iter(words.get, None), timeout=_S), words


def _end(words: "queue.SimpleQueue[bytes | None]") -> None:
    words.put(None)


def test_the_parts_of_grpc_that_this_takes_are_there(start: Start, asked: list[bool]) -> None:
    """Fails with a gRPC that has changed: calls are answered all the same, at a higher cost. See katib/api/ahead.py."""
    stub = ManagerStub(start(threads=2))
    assert stub.GetStudy(pb.GetStudyRequest(study_id="x"), timeout=_S).study.name == "x"
    assert asked == [True]


def _takes_less(_state: object) -> None:
    pass


@pytest.mark.parametrize("there", [False, True], ids=["gone", "otherwise"])
def test_without_them_calls_are_answered_all_the_same(
    start: Start, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    assert ahead._PARTS is not None
    parts = (ahead._PARTS[0], _takes_less, *ahead._PARTS[2:]) if there else None
    monkeypatch.setattr(ahead, "_PARTS", parts)
    stub = ManagerStub(start(threads=2))
    for word in ("x", "", "y" * 100_000):
        assert stub.GetStudy(pb.GetStudyRequest(study_id=word), timeout=_S).study.name == word


@pytest.mark.parametrize("word", ["x", "", "y" * 100_000])
def test_a_message_arrives_whole(start: Start, word: str) -> None:
    stub = ManagerStub(start(threads=2))
    assert stub.GetStudy(pb.GetStudyRequest(study_id=word), timeout=_S).study.name == word


def test_who_sends_nothing_has_no_thread(start: Start, servicer: _Holds) -> None:
    channel = start(threads=2)
    calls = [_silent(channel) for _ in range(2)]
    for _ in calls:
        servicer.arrived.get(timeout=_S)
    assert ManagerStub(channel).GetStudy(pb.GetStudyRequest(study_id="x"), timeout=_S / 2).study.name == "x"
    for i, (call, words) in enumerate(calls):
        assert not call.done()
        words.put(pb.GetStudyRequest(study_id=str(i)).SerializeToString())
        assert pb.GetStudyReply.FromString(call.result(_S)).study.name == str(i)
        _end(words)


def test_who_sends_nothing_for_long_is_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MESSAGE_S", 0.2)
    call, words = _silent(start(threads=2))
    assert call.exception(_S).code() is grpc.StatusCode.CANCELLED
    _end(words)


def test_whose_caller_has_gone_is_not_begun(start: Start, servicer: _Holds) -> None:
    channel = start(threads=1)
    get = ManagerStub(channel).GetStudy
    first = get.future(pb.GetStudyRequest(study_id=_HELD), timeout=_S)
    assert servicer.begun.get(timeout=_S) == _HELD
    with pytest.raises(grpc.RpcError):
        # Its message is there long before this is over.
        get(pb.GetStudyRequest(study_id="gone"), timeout=0.5)
    last = get.future(pb.GetStudyRequest(study_id="last"), timeout=_S)
    for _ in range(3):
        servicer.arrived.get(timeout=_S)
    # What has been said before on the same connection is known by then.
    assert (
        HealthStub(channel).Check(HealthCheckRequest(service="live"), timeout=_S).status == HealthCheckResponse.SERVING
    )
    servicer.go.set()
    assert first.result().study.name == _HELD
    assert last.result().study.name == "last"
    assert servicer.begun.get(timeout=_S) == "last"


def test_no_more_messages_are_read_ahead_than_there_are_threads(
    start: Start, servicer: _Holds, asked: list[bool]
) -> None:
    get = ManagerStub(start(threads=2)).GetStudy
    holding = get.future(pb.GetStudyRequest(study_id=_HELD), timeout=_S)
    assert servicer.begun.get(timeout=_S) == _HELD
    # A caller has one of two threads.
    waiting = [get.future(pb.GetStudyRequest(study_id=str(i)), timeout=_S) for i in range(20)]
    for _ in range(21):
        servicer.arrived.get(timeout=_S)
    servicer.go.set()
    assert [call.result().study.name for call in (holding, *waiting)] == [_HELD, *map(str, range(20))]
    assert len(asked) == 1 + 2
    # What was read is not counted any more.
    assert get(pb.GetStudyRequest(study_id="x"), timeout=_S).study.name == "x"
    assert len(asked) == 1 + 2 + 1


def test_a_call_for_which_there_is_no_place_is_refused_and_its_message_let_go(
    start: Start, servicer: _Holds, asked: list[bool]
) -> None:
    channel = start(threads=3, limits=CallLimits(waiting=1))
    get = channel.unary_unary("/api.Manager/GetStudy")
    held = pb.GetStudyRequest(study_id=_HELD).SerializeToString()
    holding = []
    for _ in range(2):  # the most of three that one caller has
        holding.append(get.future(held, timeout=_S))
        assert servicer.begun.get(timeout=_S) == _HELD
    done: queue.SimpleQueue[grpc.Future] = queue.SimpleQueue()
    for _ in range(10):
        get.future(b"", timeout=_S).add_done_callback(done.put)
    assert {done.get(timeout=_S).code() for _ in range(9)} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    servicer.go.set()
    for call in (*holding, done.get(timeout=_S)):
        assert call.result(_S)
    # As many as before are read ahead: those that were refused do not count any more.
    before = len(asked)
    silent = [_silent(channel) for _ in range(3)]
    for _ in range(12 + 3):
        servicer.arrived.get(timeout=_S)
    assert get(b"", timeout=_S)
    assert len(asked) == before + 3
    for call, words in silent:
        call.cancel()
        _end(words)
