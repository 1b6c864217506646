"""`api.Suggestion` for one algorithm."""

from grpc import ServicerContext as Context

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc
from katib.suggestion import messages, service
from katib.suggestion.base import Algorithm
from katib.suggestion.histories import Histories


class SuggestionServicer(api_pb2_grpc.SuggestionServicer):
    """Needs nothing of what it was told before: GenerateTrials comes without SetSuggestionParameters before it, and what a
    GenerateTrialsDelta builds on is a cache. Domain errors are statuses by `katib.api.answering`."""

    def __init__(self, algorithm: Algorithm, histories: Histories) -> None:
        self._algorithm = algorithm
        self._histories = histories

    def GenerateTrials(self, request: pb.GenerateTrialsRequest, _context: Context) -> pb.GenerateTrialsReply:  # noqa: N802
        reply = service.generate(self._algorithm, messages.call_from_proto(request, self._algorithm))
        return messages.reply_to_proto(reply)

    def GenerateTrialsDelta(  # noqa: N802
        self, request: pb.GenerateTrialsDeltaRequest, _context: Context
    ) -> pb.GenerateTrialsDeltaReply:
        delta, call = messages.delta_from_proto(request, self._algorithm)
        reply = service.generate_delta(self._algorithm, self._histories, delta, call)
        return messages.delta_reply_to_proto(reply, self._histories.cursor(delta.study_id))

    def SetSuggestionParameters(  # noqa: N802
        self, request: pb.SetSuggestionParametersRequest, _context: Context
    ) -> pb.SetSuggestionParametersReply:
        problem = service.check(self._algorithm, messages.spec_from_settings(request))
        return messages.settings_reply(self._algorithm.history(problem))

    def StopSuggestion(self, request: pb.StopSuggestionRequest, _context: Context) -> pb.StopSuggestionReply:  # noqa: N802
        self._histories.forget(request.study_id)
        return pb.StopSuggestionReply()
