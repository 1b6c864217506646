"""api.Suggestion and api.EarlyStopping: every algorithm and every rule, in a process that serves them all."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any, Final

from google.protobuf.message import Message

from katib.api import api_pb2 as pb
from katib.api import logs, plugins, rpc
from katib.api.api_pb2_grpc import add_EarlyStoppingServicer_to_server, add_SuggestionServicer_to_server
from katib.earlystopping.servicer import EarlyStoppingServicer
from katib.earlystopping.told import Told
from katib.suggestion.histories import Histories
from katib.suggestion.servicer import SuggestionServicer
from tests.e2e.harness import wait_until_serving
from tests.fuzz.calls import Caller, config, trial
from tests.fuzz.inputs import FLOATS, INTS, TEXTS, Hints
from tests.fuzz.surface import BrokenError, memory_of

_SUGGESTIONS: Final = "katib.suggestions"
_RULES: Final = "katib.earlystopping"
_CACHE_BYTES: Final = 8 * 2**20

# What a manager sends is bounded by its own checks; how many trials a service is asked for is not the service's to doubt.
_COUNTS: Final = (0, 1, 2, 3, -1, -(2**31))
_HINTS: Final[Hints] = {
    "name": ("--lr", "--layers", "batch", "optimizer", "loss", "SuggestionNum", "MaxParallel", "Seed", *TEXTS),
    "value": ("0.5", "1", "16", "sgd", "0", "-1", "nan", "inf", *TEXTS),
    "objective_value": ("0.5", "1", "nan", "inf", "-inf", "", "x", "1e308", "-1e308"),
    "values": FLOATS,
    "base": ("", "a", "b"),
    "cursor": ("", "a", "b", "c"),
    "study_id": ("", "a123456789abcdef", "b", *TEXTS[:30]),
    "max_parallel": (1, 2, 0, -1),
    "max_trials": (1, 5, 0, -1),
    "count": _COUNTS,
    "completed_count": (0, 1, 3, 2**31 - 1, -1, -(2**31)),
    "first_number": (0, 1, 7, *INTS),
}


def names(group: str) -> list[str]:
    return sorted(e.name for e in entry_points(group=group))


class _Services:
    may_grow = 48.0

    def __init__(self, service: str, group: str, folder: Path, short: Path, honest: Mapping[str, Any]) -> None:
        self._log = folder / "services.log"
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.services", service, str(short)], stdout=file, stderr=file
            )
        self._callers = []
        for name in names(group):
            address = f"unix:{short}/{name}"
            wait_until_serving(address, None, 120)
            self._callers.append(Caller(service, address, lambda: _HINTS, honest))

    def close(self) -> None:
        for caller in self._callers:
            caller.close()
        self._process.kill()
        self._process.wait()

    def put(self, rnd: Random) -> str:
        return rnd.choice(self._callers).put(rnd)

    def memory(self) -> float:
        return memory_of(self._process.pid)

    def check(self) -> None:
        log = self._log.read_text(errors="replace")
        if "Traceback" in log or self._process.poll() is not None:
            raise BrokenError(f"the services: {log[-4000:]}")


def _algorithms_study(rnd: Random) -> pb.StudyConfig:
    made = config(rnd)
    del made.suggestion_parameters[:]
    for name, value in (("SuggestionNum", "30"), ("MaxParallel", "4"), ("Seed", "1"), ("resource_name", "--layers")):
        if name != "resource_name" or rnd.random() < 0.3:
            made.suggestion_parameters.add(name=name, value=value)
    return made


def _question(rnd: Random) -> pb.GenerateTrialsRequest:
    done = [trial(rnd, i + 1, "a123456789abcdef") for i in range(rnd.choice((0, 3, 12)))]
    for found in done:
        found.status = rnd.choice((pb.COMPLETED, pb.COMPLETED, pb.KILLED, pb.ERROR))
    running = [trial(rnd, len(done) + i + 1, "a123456789abcdef") for i in range(rnd.choice((0, 2)))]
    for found in running:
        found.status = pb.RUNNING
    return pb.GenerateTrialsRequest(
        study_id="a123456789abcdef",
        configs=_algorithms_study(rnd),
        completed_trials=done,
        running_trials=running,
        completed_count=len(done),
        running_count=len(running),
        first_number=len(done) + len(running) + 1,
    )


def _suggestion_honest() -> Mapping[str, Any]:
    def generate(rnd: Random) -> Sequence[Message]:
        return [_question(rnd)]

    def delta(rnd: Random) -> Sequence[Message]:
        return [pb.GenerateTrialsDeltaRequest(question=_question(rnd), base="", cursor="a")]

    def settings(rnd: Random) -> Sequence[Message]:
        study = _algorithms_study(rnd)
        return [pb.SetSuggestionParametersRequest(study_id="a123456789abcdef", configs=study)]

    return {"GenerateTrials": generate, "GenerateTrialsDelta": delta, "SetSuggestionParameters": settings}


def _rule_honest() -> Mapping[str, Any]:
    def stop(rnd: Random) -> Sequence[Message]:
        found = _question(rnd)
        return [
            pb.ShouldTrialStopRequest(
                study_id="a123456789abcdef",
                study_config=config(rnd, rule="medianstopping"),
                running_trials=found.running_trials,
                completed_trials=found.completed_trials,
            )
        ]

    def delta(rnd: Random) -> Sequence[Message]:
        trials = [
            pb.TrialDelta(trial=trial(rnd, i + 1, values=0), values=[pb.MetricValues(name="loss", values=[1, 0.5])])
            for i in range(4)
        ]
        study = config(rnd, rule="medianstopping")
        return [pb.ShouldTrialStopDeltaRequest(study_id="s", study_config=study, trials=trials, cursor="a")]

    def settings(rnd: Random) -> Sequence[Message]:
        study = config(rnd, rule="medianstopping")
        return [pb.SetEarlyStoppingParameterRequest(study_id="s", study_config=study)]

    return {"ShouldTrialStop": stop, "ShouldTrialStopDelta": delta, "SetEarlyStoppingParameter": settings}


@contextmanager
def suggestion(folder: Path) -> Iterator[_Services]:
    yield from _served("Suggestion", _SUGGESTIONS, folder, _suggestion_honest())


@contextmanager
def earlystopping(folder: Path) -> Iterator[_Services]:
    yield from _served("EarlyStopping", _RULES, folder, _rule_honest())


def _served(service: str, group: str, folder: Path, honest: Mapping[str, Any]) -> Iterator[_Services]:
    with tempfile.TemporaryDirectory(prefix="kt-") as short:
        found = _Services(service, group, folder, Path(short), honest)
        try:
            yield found
        finally:
            found.close()


def serve(service: str, folder: str) -> None:
    """All of them, each at a socket of its name, until the process is killed."""
    logs.set_up_logging("WARNING")
    stop = rpc.stop_on_signals()
    servers = []
    for name in names(_SUGGESTIONS if service == "Suggestion" else _RULES):
        server = rpc.Server((f"api.{service}",))
        if service == "Suggestion":
            algorithm = plugins.find(_SUGGESTIONS, "algorithm", name)
            add_SuggestionServicer_to_server(SuggestionServicer(algorithm, Histories(_CACHE_BYTES)), server.grpc)
        else:
            rule = plugins.find(_RULES, "rule", name)
            add_EarlyStoppingServicer_to_server(EarlyStoppingServicer(rule, Told(rule)), server.grpc)
        server.listen(f"unix:{folder}/{name}")
        server.start()
        servers.append(server)
    stop.wait()


if __name__ == "__main__":
    serve(*sys.argv[1:])
