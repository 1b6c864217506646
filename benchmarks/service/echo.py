"""A manager that does nothing, on the server that every process of Katib runs: `python -m benchmarks.service.echo ADDRESS`."""

import sys

import grpc

from katib.api import api_pb2 as pb
from katib.api import rpc
from katib.api.api_pb2_grpc import ManagerServicer, add_ManagerServicer_to_server

Context = grpc.ServicerContext


class Echo(ManagerServicer):
    def SuggestTrials(self, request: pb.SuggestTrialsRequest, _context: Context) -> pb.SuggestTrialsReply:  # noqa: N802
        return pb.SuggestTrialsReply(trials=[pb.Trial(trial_id="t0", study_id=request.study_id)])

    def ReportMetrics(self, _request: pb.ReportMetricsRequest, _context: Context) -> pb.ReportMetricsReply:  # noqa: N802
        return pb.ReportMetricsReply()

    def CompleteTrial(self, _request: pb.CompleteTrialRequest, _context: Context) -> pb.CompleteTrialReply:  # noqa: N802
        return pb.CompleteTrialReply()


def main() -> None:
    stop = rpc.stop_on_signals()
    server = rpc.Server(("api.Manager",))
    add_ManagerServicer_to_server(Echo(), server.grpc)  # type: ignore[no-untyped-call]
    server.listen(sys.argv[1])
    server.start()
    stop.wait()
    server.drain()


if __name__ == "__main__":
    main()
