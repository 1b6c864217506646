"""A suggestion service that computes for long, as those of Katib 0.1 could: one thread, and Python's lock held all the while.

Each suggestion is x = 0.5. `--seconds`: how long one GenerateTrials computes.
"""

import argparse
import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionServicer, add_SuggestionServicer_to_server

ALGORITHM: Final = "slow"


class Slow(SuggestionServicer):
    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def SetSuggestionParameters(  # noqa: N802 - the wire's name
        self, request: pb.SetSuggestionParametersRequest, context: grpc.ServicerContext
    ) -> pb.SetSuggestionParametersReply:
        return pb.SetSuggestionParametersReply()

    def GenerateTrials(  # noqa: N802
        self, request: pb.GenerateTrialsRequest, context: grpc.ServicerContext
    ) -> pb.GenerateTrialsReply:
        # A function of a library that, unlike `time.sleep`, keeps the interpreter to itself.
        ctypes.PyDLL(None).sleep(self._seconds)
        value = pb.Parameter(name="x", parameter_type=pb.DOUBLE, value="0.5")
        return pb.GenerateTrialsReply(trials=[pb.Trial(study_id=request.study_id, parameter_set=[value])])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    arguments = parser.parse_args()
    server = grpc.server(ThreadPoolExecutor(1), options=(("grpc.so_reuseport", 0),))
    add_SuggestionServicer_to_server(Slow(arguments.seconds), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(arguments.listen)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
