"""`api.EarlyStopping` for one rule."""

from grpc import ServicerContext as Context

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc
from katib.earlystopping import messages, service
from katib.earlystopping.base import Rule
from katib.earlystopping.told import Told


class EarlyStoppingServicer(api_pb2_grpc.EarlyStoppingServicer):
    """Needs nothing of what it was told before: ShouldTrialStop comes without SetEarlyStoppingParameter before it, and what a
    ShouldTrialStopDelta builds on is a cache. Domain errors are statuses by `katib.api.answering`."""

    def __init__(self, rule: Rule, told: Told) -> None:
        self._rule = rule
        self._told = told

    def ShouldTrialStop(self, request: pb.ShouldTrialStopRequest, _context: Context) -> pb.ShouldTrialStopReply:  # noqa: N802
        return messages.reply_to_proto(service.should_stop(self._rule, messages.call_from_proto(request)))

    def ShouldTrialStopDelta(  # noqa: N802
        self, request: pb.ShouldTrialStopDeltaRequest, _context: Context
    ) -> pb.ShouldTrialStopDeltaReply:
        return messages.answer_to_proto(self._told.ask(messages.delta_from_proto(request)))

    def SetEarlyStoppingParameter(  # noqa: N802
        self, request: pb.SetEarlyStoppingParameterRequest, _context: Context
    ) -> pb.SetEarlyStoppingParameterReply:
        service.check(self._rule, messages.spec_from_settings(request))
        return pb.SetEarlyStoppingParameterReply()
