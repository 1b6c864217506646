"""A server asks its guard before each call, and each call has the caller that was found for it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerServicer, ManagerStub, add_ManagerServicer_to_server
from katib.api.channel import open_channel
from katib.api.credentials import bearer, bearer_token
from katib.api.rpc import Server
from katib.domain.caller import EVERYBODY, Caller, CallerKind, current_caller, enter_caller
from katib.domain.errors import UnauthenticatedError


class _Says(ManagerServicer):
    """Answers with the caller's name."""

    def __init__(self) -> None:
        self.together: threading.Barrier | None = None

    def StopStudy(self, request: pb.StopStudyRequest, context: Any) -> pb.StopStudyReply:  # noqa: N802
        raise AssertionError("the guard lets nobody in without a name")

    def CreateStudy(self, request: pb.CreateStudyRequest, context: Any) -> pb.CreateStudyReply:  # noqa: N802
        if self.together is not None:
            self.together.wait(10)
        return pb.CreateStudyReply(study_id=current_caller().name)

    def WatchStudy(self, request: pb.WatchStudyRequest, context: Any) -> Iterator[pb.WatchStudyReply]:  # noqa: N802
        for revision in range(3):
            yield pb.WatchStudyReply(revision=revision, study=pb.StudyInfo(name=current_caller().name))


def _guard(method: str, _request: Any, context: grpc.ServicerContext) -> None:
    name = bearer_token(context)
    if not name:
        raise UnauthenticatedError(f"{method}: say who you are")
    enter_caller(Caller(CallerKind.USER, name))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[_Says, grpc.Channel]]:
    server = Server(("api.Manager",), guard=_guard)
    says = _Says()
    add_ManagerServicer_to_server(says, server.grpc)
    server.listen(f"unix:{tmp_path}/s")
    server.start()
    with open_channel(f"unix:{tmp_path}/s") as channel:
        yield says, channel
    server.drain(1)


def test_who_shows_nothing_gets_no_further_than_the_guard(served: tuple[_Says, grpc.Channel]) -> None:
    manager = ManagerStub(served[1])
    with pytest.raises(grpc.RpcError) as refused:
        manager.StopStudy(pb.StopStudyRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details() == "/api.Manager/StopStudy: say who you are"
    with pytest.raises(grpc.RpcError) as refused:
        list(manager.WatchStudy(pb.WatchStudyRequest(), timeout=10))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_calls_at_the_same_time_have_each_their_own_caller(served: tuple[_Says, grpc.Channel]) -> None:
    says, channel = served
    manager = ManagerStub(channel)
    says.together = threading.Barrier(8)
    calls = [
        manager.CreateStudy.future(pb.CreateStudyRequest(), timeout=10, metadata=bearer(f"user{i}")) for i in range(8)
    ]
    assert [call.result().study_id for call in calls] == [f"user{i}" for i in range(8)]
    streams = [manager.WatchStudy(pb.WatchStudyRequest(), timeout=10, metadata=bearer(f"user{i}")) for i in range(8)]
    for i, stream in enumerate(streams):
        assert {reply.study.name for reply in stream} == {f"user{i}"}
    assert current_caller() is EVERYBODY


def test_health_is_told_to_all(served: tuple[_Says, grpc.Channel]) -> None:
    reply = health_pb2_grpc.HealthStub(served[1]).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
