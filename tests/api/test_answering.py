"""What is put together once for all calls of a method is that method's, that server's, and no call's own."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.admission import Admission, CallLimits
from katib.api.api_pb2_grpc import ManagerServicer, ManagerStub, add_ManagerServicer_to_server
from katib.api.callers import Asker
from katib.api.channel import open_channel
from katib.api.rpc import Server

_S = 30


class _Says(ManagerServicer):
    def __init__(self, name: str) -> None:
        self._name = name

    def GetStudy(self, request: pb.GetStudyRequest, context: grpc.ServicerContext) -> pb.GetStudyReply:  # noqa: N802
        return pb.GetStudyReply(study=pb.StudyInfo(name=f"{self._name} {request.study_id}"))

    def GetTrial(self, request: pb.GetTrialRequest, context: grpc.ServicerContext) -> pb.GetTrialReply:  # noqa: N802
        return pb.GetTrialReply(trial=pb.Trial(trial_id=f"{self._name} {request.trial_id}"))

    def WatchStudy(self, request: pb.WatchStudyRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchStudyReply]:  # noqa: N802
        yield pb.WatchStudyReply(study=pb.StudyInfo(name=f"{self._name} {request.study_id}"))


class _Crowd:
    """Each call is somebody's whom the test names beforehand."""

    def __init__(self) -> None:
        self.who = "a"

    def __call__(self, token: str, peer: str) -> Asker:
        return Asker(self.who, self.who, self.who)


@pytest.fixture
def crowd() -> _Crowd:
    return _Crowd()


@pytest.fixture(params=[True, False], ids=["admits", "takes all"])
def stubs(request: pytest.FixtureRequest, tmp_path: Path, crowd: _Crowd) -> Iterator[tuple[ManagerStub, ManagerStub]]:
    """Of the whole and of the part."""
    admission = Admission(crowd, CallLimits()) if request.param else None
    server = Server(("api.Manager",), admission=admission)
    add_ManagerServicer_to_server(_Says("whole"), server.grpc)
    server.listen(f"unix:{tmp_path}/whole")
    methods = ("GetStudy", "WatchStudy")
    server.listen_part(
        f"unix:{tmp_path}/part", None, methods, lambda part: add_ManagerServicer_to_server(_Says("part"), part)
    )
    server.start()
    with open_channel(f"unix:{tmp_path}/whole") as whole, open_channel(f"unix:{tmp_path}/part") as part:
        yield ManagerStub(whole), ManagerStub(part)
    server.drain(0.1)


def test_calls_of_one_method_by_turns_to_two_servers_are_answered_by_each(
    stubs: tuple[ManagerStub, ManagerStub],
) -> None:
    for i in range(3):
        for stub, name in zip(stubs, ("whole", "part"), strict=True):
            assert stub.GetStudy(pb.GetStudyRequest(study_id=str(i)), timeout=_S).study.name == f"{name} {i}"
            (reply,) = stub.WatchStudy(pb.WatchStudyRequest(study_id=str(i)), timeout=_S)
            assert reply.study.name == f"{name} {i}"
        trial = stubs[0].GetTrial(pb.GetTrialRequest(trial_id=str(i)), timeout=_S).trial
        assert trial.trial_id == f"whole {i}"


@pytest.mark.long
def test_a_refusal_is_that_call_s_and_no_other_s(tmp_path: Path, crowd: _Crowd) -> None:
    server = Server(("api.Manager",), admission=Admission(crowd, CallLimits(rate_of_caller=1)))
    add_ManagerServicer_to_server(_Says("whole"), server.grpc)
    server.listen(f"unix:{tmp_path}/s")
    server.start()
    with open_channel(f"unix:{tmp_path}/s") as channel:
        # Katib's own channels would ask again when they are refused.
        call = channel.unary_unary("/api.Manager/GetStudy")
        calls = [call.future(b"", timeout=_S) for _ in range(100)]
        codes = {one.code() for one in calls}
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
        crowd.who = "b"
        assert pb.GetStudyReply.FromString(call(b"", timeout=_S)).study.name == "whole "
    server.drain(0.1)
