"""What a server of ours answers to requests that no honest client sends."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerServicer, ManagerStub, add_ManagerServicer_to_server
from katib.api.channel import open_channel
from katib.api.errors import message_of
from katib.api.rpc import Server
from katib.domain.errors import InvalidArgumentError, NotFoundError, violation

_S = 20


class _Refuses(ManagerServicer):
    def GetStudy(self, request: pb.GetStudyRequest, context: grpc.ServicerContext) -> pb.GetStudyReply:  # noqa: N802
        raise NotFoundError(request.study_id * 5000)

    def GetTrial(self, request: pb.GetTrialRequest, context: grpc.ServicerContext) -> pb.GetTrialReply:  # noqa: N802
        word = request.trial_id * 500
        raise InvalidArgumentError(violation(word, word, word) for _ in range(20))


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[grpc.Channel]:
    server = Server(("api.Manager",))
    add_ManagerServicer_to_server(_Refuses(), server.grpc)
    address = f"unix:{tmp_path}/s"
    server.listen(address)
    server.start()
    with open_channel(address) as channel:
        yield channel
    server.drain(0.1)


def _status(call: grpc.RpcError) -> tuple[str, str]:
    return call.code().name, call.details()


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b"\x0a\x01\xff", b"\x0a\x02\xed\xa0", b"\0" * 100])
def test_bytes_that_are_no_message_are_the_callers_fault(channel: grpc.Channel, data: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/api.Manager/GetStudy")(data, timeout=_S)
    code, details = _status(caught.value)
    assert code == "INVALID_ARGUMENT"
    assert details.startswith(f"the request's {len(data)} bytes are no message of this method")


@pytest.mark.parametrize("method", ["/api.Manager/WatchStudy", "/grpc.health.v1.Health/Check"])
def test_so_they_are_for_streams_and_health(channel: grpc.Channel, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(method)(b"\xff", timeout=_S))
    assert _status(caught.value)[0] == "INVALID_ARGUMENT"


def test_so_they_are_within_a_stream_of_requests(channel: grpc.Channel) -> None:
    whole = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    answers = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
        iter([whole, b"\xff"]), timeout=_S
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(answers)
    assert _status(caught.value)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("word", ["a", "%", "é", "\U0001f600", "\x1b", "\n"])
def test_an_error_of_any_text_arrives_as_far_as_it_fits(channel: grpc.Channel, word: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ManagerStub(channel).GetStudy(pb.GetStudyRequest(study_id=word), timeout=_S)
    code, details = _status(caught.value)
    assert code == "NOT_FOUND"
    assert details.startswith(word * 100)
    assert details.endswith("...")


def test_violations_of_any_text_arrive_as_far_as_they_fit(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ManagerStub(channel).GetTrial(pb.GetTrialRequest(trial_id="\U0001f600"), timeout=_S)
    assert _status(caught.value)[0] == "INVALID_ARGUMENT"
    assert any(key == "katib-error-bin" for key, _ in caught.value.trailing_metadata())


def test_what_cannot_be_sent_becomes_an_escape() -> None:
    assert message_of(NotFoundError("no file a\udcff.txt")) == "no file a\\udcff.txt"


def test_a_compressed_request_is_refused_before_it_is_unpacked(channel: grpc.Channel) -> None:
    request = pb.GetStudyRequest(study_id="a" * 2**20)
    with pytest.raises(grpc.RpcError) as caught:
        ManagerStub(channel).GetStudy(request, compression=grpc.Compression.Gzip, timeout=_S)
    assert _status(caught.value) == ("UNIMPLEMENTED", "Compression algorithm 'gzip' is disabled.")
