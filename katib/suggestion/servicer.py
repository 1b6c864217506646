"""`api.Suggestion` for one algorithm."""

from grpc import ServicerContext as Context

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc
from katib.suggestion import messages, service
from katib.suggestion.base import Algorithm


class SuggestionServicer(api_pb2_grpc.SuggestionServicer):
    """Keeps nothing of a study: GenerateTrials needs no SetSuggestionParameters before it. Domain errors are statuses by
    `katib.api.rpc`."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm

    def GenerateTrials(self, request: pb.GenerateTrialsRequest, _context: Context) -> pb.GenerateTrialsReply:  # noqa: N802
        reply = service.generate(self._algorithm, messages.call_from_proto(request, self._algorithm))
        return messages.reply_to_proto(reply)

    def SetSuggestionParameters(  # noqa: N802
        self, request: pb.SetSuggestionParametersRequest, _context: Context
    ) -> pb.SetSuggestionParametersReply:
        service.check(self._algorithm, messages.spec_from_settings(request))
        return pb.SetSuggestionParametersReply(history=messages.HISTORIES[self._algorithm.history])

    def StopSuggestion(self, _request: pb.StopSuggestionRequest, _context: Context) -> pb.StopSuggestionReply:  # noqa: N802
        return pb.StopSuggestionReply()
