"""A suggestion service that behaves as those of Katib 0.1 did: it keeps each study in memory and forgets all with its process.

It knows nothing of the wire that came after 0.1, counts what it has given out, and numbers it: the n-th suggestion that it
makes for a study since it was told the settings is x = n. Told them again it begins anew. A study that it does not know ends
the process, as it did the Go programs, or with `--unknown error` the call, with the code UNKNOWN.
"""

import argparse
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NoReturn

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionServicer, add_SuggestionServicer_to_server

ALGORITHM: Final = "forgetful"
# With what a process ends that was asked for a study it does not know.
CRASHED: Final = 2
# What it says when that happens.
STUMBLED: Final = "nothing is known of study"


@dataclass
class _Study:
    suggestion_num: int
    max_parallel: int
    given: int = 0


class Forgetful(SuggestionServicer):
    def __init__(self, *, crash: bool) -> None:
        self._crash = crash
        self._lock = threading.Lock()
        self._studies: dict[str, _Study] = {}

    def SetSuggestionParameters(  # noqa: N802 - the wire's name
        self, request: pb.SetSuggestionParametersRequest, context: grpc.ServicerContext
    ) -> pb.SetSuggestionParametersReply:
        settings = {s.name: int(s.value) for s in request.suggestion_parameters}
        with self._lock:
            self._studies[request.study_id] = _Study(settings["SuggestionNum"], settings["MaxParallel"])
        return pb.SetSuggestionParametersReply()

    def GenerateTrials(  # noqa: N802
        self, request: pb.GenerateTrialsRequest, context: grpc.ServicerContext
    ) -> pb.GenerateTrialsReply:
        with self._lock:
            study = self._studies.get(request.study_id)
            if study is None:
                self._stumble(request.study_id, context)
            running = len(request.running_trials)
            room = min(study.max_parallel - running, study.suggestion_num - study.given)
            if study.given >= study.suggestion_num and not running:
                return pb.GenerateTrialsReply(completed=True)
            trials = []
            for _ in range(max(0, room)):
                study.given += 1
                value = pb.Parameter(name="x", parameter_type=pb.INT, value=str(study.given))
                trials.append(pb.Trial(study_id=request.study_id, parameter_set=[value]))
            return pb.GenerateTrialsReply(trials=trials)

    def StopSuggestion(  # noqa: N802
        self, request: pb.StopSuggestionRequest, context: grpc.ServicerContext
    ) -> pb.StopSuggestionReply:
        with self._lock:
            self._studies.pop(request.study_id, None)
        return pb.StopSuggestionReply()

    def _stumble(self, study_id: str, context: grpc.ServicerContext) -> NoReturn:
        print(f"{STUMBLED} {study_id}", flush=True)
        if self._crash:
            os._exit(CRASHED)
        context.abort(grpc.StatusCode.UNKNOWN, f"{STUMBLED} {study_id}")
        raise AssertionError  # abort raises


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--unknown", choices=("crash", "error"), default="crash")
    arguments = parser.parse_args()
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    add_SuggestionServicer_to_server(Forgetful(crash=arguments.unknown == "crash"), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(arguments.listen)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
