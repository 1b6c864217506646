"""Suggestion services on a real socket, in this process: replicas that take turns behind one address."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc, rpc
from katib.api.channel import MAX_MESSAGE_BYTES
from katib.domain.errors import UnimplementedError
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.settings import Options
from katib.suggestion.base import History, Reply, Request, Suggestion
from katib.suggestion.histories import Histories
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.servicer import SuggestionServicer

ROOMY = 2**24


class Mirror:
    """Suggests what it sees, word for word: two answers are the same only if the questions were."""

    name = "mirror"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL))

    def __init__(self, history: History) -> None:
        self._history = history

    def check(self, problem: Any) -> None:
        pass

    def history(self, _problem: Any, /) -> History:
        return self._history

    def suggest(self, request: Request) -> Reply:
        curves = {trial_id: list(curve) for trial_id, curve in sorted(request.curves.items()) if curve}
        counts = (request.first_number, request.count, request.finished_count, request.unfinished_count)
        seen = repr((request.study_id, counts, list(request.finished), list(request.unfinished), curves))
        return Reply((Suggestion((Parameter("rate", ParameterType.CATEGORICAL, seen),)),))


class Old(api_pb2_grpc.SuggestionServicer):
    """A service as it was before GenerateTrialsDelta."""

    def __init__(self, service: SuggestionServicer) -> None:
        self.GenerateTrials = service.GenerateTrials
        self.StopSuggestion = service.StopSuggestion

    def SetSuggestionParameters(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.SetSuggestionParametersReply(history=pb.HISTORY_CURVES)

    def GenerateTrialsDelta(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise UnimplementedError("Method not found!")


class Address(api_pb2_grpc.SuggestionServicer):
    """What is at the address now; it counts the bytes of the questions and how many there were."""

    def __init__(self, algorithm: Any, memory: int = ROOMY) -> None:
        self.name = algorithm.name
        self._algorithm = algorithm
        self._memory = memory
        self.now: Any = None
        self.bytes = 0
        self.questions = 0
        self.restart()

    def restart(self) -> None:
        self.histories = Histories(self._memory)
        self.now = SuggestionServicer(self._algorithm, self.histories)

    def roll_back(self) -> None:
        self.restart()
        self.now = Old(self.now)

    def _count(self, request: Any) -> None:
        self.bytes += request.ByteSize()
        self.questions += 1

    def GenerateTrials(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._count(request)
        return self.now.GenerateTrials(request, context)

    def GenerateTrialsDelta(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._count(request)
        return self.now.GenerateTrialsDelta(request, context)

    def SetSuggestionParameters(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.now.SetSuggestionParameters(request, context)

    def StopSuggestion(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.now.StopSuggestion(request, context)


class Older(grpc.GenericRpcHandler):
    """What a service serves that was made before there was GenerateTrialsDelta, and which calls came. Its settings are answered
    as the one before it at its address did, that was newer."""

    def __init__(self, address: Address, says_deltas: bool = True) -> None:
        self.name = address.name
        self.calls: list[str] = []
        settings = pb.SetSuggestionParametersReply(history=pb.HISTORY_FINALS, deltas=says_deltas)
        self._handlers = {
            "GenerateTrials": grpc.unary_unary_rpc_method_handler(
                address.GenerateTrials,
                pb.GenerateTrialsRequest.FromString,
                pb.GenerateTrialsReply.SerializeToString,
            ),
            "SetSuggestionParameters": grpc.unary_unary_rpc_method_handler(
                lambda _request, _context: settings,
                pb.SetSuggestionParametersRequest.FromString,
                pb.SetSuggestionParametersReply.SerializeToString,
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        self.calls.append(method)
        return self._handlers.get(method)


def serving(address: Address, most: int = MAX_MESSAGE_BYTES) -> "AbstractContextManager[str]":
    """The address template under which it answers, by its algorithm's name; `most`: how many bytes of a question it takes."""
    return _serving(
        address.name,
        lambda server: api_pb2_grpc.add_SuggestionServicer_to_server(address, server),  # type: ignore[no-untyped-call]
        most,
    )


def serving_older(older: Older) -> "AbstractContextManager[str]":
    return _serving(older.name, lambda server: server.add_generic_rpc_handlers((older,)))


@contextmanager
def _serving(name: str, add_to: Callable[[grpc.Server], None], most: int = MAX_MESSAGE_BYTES) -> Iterator[str]:
    server = rpc.Server(("api.Suggestion",), threads=2, max_message=most)
    add_to(server.grpc)
    with tempfile.TemporaryDirectory(prefix="kt-") as folder:
        server.listen(f"unix:{folder}/{name}")
        server.start()
        try:
            yield f"unix:{folder}/{{algorithm}}"
        finally:
            server.drain(0)
