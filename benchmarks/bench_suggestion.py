"""What one question to a suggestion service costs, as its study grows: the whole history each time against what is new.

    python benchmarks/bench_suggestion.py [--finished 100 1000 10000] [--algorithms random tpe ...] [--repeats 7] [--others]

A real service in a process of its own, a real SQLite file, a study of eight parameters. Before each question one trial ends.
Both forms are asked in turns, so that they meet the same moments of the machine. Printed for each: the time from the manager's
first look at the database to the answer (median, and the least, which other work on the machine disturbs less), the processor
time that manager and service spend on it, the bytes of the question, and what SQLite does: statements, and steps of its
virtual machine, which grow with the rows that it looks at. With --others the space is finite, and the algorithm has suggested
none of the trials: random, grid and sobol have to be told of them then.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psutil
from sqlalchemy import event

from katib.api import api_pb2_grpc
from katib.domain.errors import UnavailableError
from katib.domain.metrics import Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, Setting, Study, StudySpec, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.history import StoredHistory
from katib.manager.remote import suggestion
from katib.manager.remote.addresses import AddressTemplate, Channels, Line
from katib.manager.service_ports import AskAgainError, History, SuggestionRequest
from katib.manager.storage.open import open_storage

PARAMETERS = 8
RUNNING_AT_ONCE = 4
NOW = datetime.now(UTC)


class Wire:
    """Counts the bytes of the questions that this process sends."""

    def __init__(self) -> None:
        self.bytes = 0

    def stub(self, line: Line) -> Any:
        return line.stub(self._counting)

    def _counting(self, channel: grpc.Channel) -> Any:
        stub = api_pb2_grpc.SuggestionStub(channel)
        for name in ("GenerateTrials", "GenerateTrialsDelta"):
            setattr(stub, name, _Counted(self, getattr(stub, name)))
        return stub


class _Counted:
    def __init__(self, wire: Wire, method: Any) -> None:
        self._wire = wire
        self._method = method

    def future(self, request: Any, **arguments: Any) -> Any:
        self._wire.bytes += request.ByteSize()
        return self._method.future(request, **arguments)


class Database:
    """What SQLite does while it is looked at, which makes it slow."""

    def __init__(self, storage: Any) -> None:
        self.statements = self.steps = 0
        self._engine = storage.database._connections.engine
        event.listen(self._engine, "connect", self._watch)
        self._connections: list[Any] = []
        self._engine.dispose()

    def _watch(self, connection: Any, _entry: object) -> None:
        self._connections.append(connection)

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        for connection in self._connections:
            connection.set_trace_callback(lambda _sql: self._count(statements=1))
            connection.set_progress_handler(lambda: self._count(steps=1), 1)
        yield
        for connection in self._connections:
            connection.set_trace_callback(None)
            connection.set_progress_handler(None, 0)

    def _count(self, statements: int = 0, steps: int = 0) -> None:
        self.statements += statements
        self.steps += steps


@dataclass(frozen=True)
class Cost:
    seconds: float
    manager: float
    service: float
    bytes: int


class Desk:
    def __init__(self, stack: ExitStack, folder: Path, algorithm: str, others: bool) -> None:
        self.algorithm = algorithm
        self.wire = Wire()
        suggestion._stub = self.wire.stub  # type: ignore[assignment]
        self.storage = stack.enter_context(closing(open_storage(f"sqlite:///{folder}/katib.db")))
        self.database = Database(self.storage)
        template = AddressTemplate.parse("address", f"unix:{folder}/{{algorithm}}")
        self.address = template.address("algorithm", algorithm)
        self.service = psutil.Process(stack.enter_context(serving(algorithm, self.address)).pid)
        self.channels = stack.enter_context(closing(Channels()))
        self.services = suggestion.RemoteSuggestionServices(template, self.channels)
        configs = tuple(
            ParameterConfig(
                f"parameter-{i}", ParameterType.DOUBLE, FeasibleSpace("0.001", "0.9", step="0.001" if others else "")
            )
            for i in range(PARAMETERS)
        )
        settings = (Setting("MaxParallel", str(RUNNING_AT_ONCE + 1)), Setting("SuggestionNum", "1000000"))
        if algorithm == "grid":
            settings += (Setting("DefaultGrid", "10"),)
        spec = StudySpec(
            "bench", "loss", Objective.MINIMIZE, configs, algorithm="" if others else algorithm, settings=settings
        )
        self.study = self.storage.create_study(Study(new_id(), spec, StudyState.RUNNING, NOW, 1))
        self.random = random.Random(1)
        self.digits = 3 if others else 17
        self._start(RUNNING_AT_ONCE)
        deadline = time.monotonic() + 60
        while True:
            try:
                declared = self.services.set_parameters(algorithm, self.study.id, spec).result(30)
                break
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.needs = declared.of(self.storage.get_study(self.study.id), algorithm)
        self.deltas = self.needs is not History.NONE and self.services._deltas.understood(
            self.channels.get(self.address)
        )

    def _start(self, count: int) -> None:
        new = [
            NewTrial(
                new_id(),
                tuple(
                    Parameter(f"parameter-{i}", ParameterType.DOUBLE, repr(self._value())) for i in range(PARAMETERS)
                ),
            )
            for _ in range(count)
        ]
        suggested = self.storage.get_study(self.study.id).suggested
        self.storage.add_trials(self.study.id, suggested, new, NOW, running=True)

    def _value(self) -> float:
        return round(self.random.uniform(0.001, 0.9), self.digits)

    def _end(self, trials: list[Trial]) -> None:
        intakes, moves = [], []
        for trial in trials:
            loss = sum((float(p.value) - 0.3) ** 2 for p in trial.parameters) + self.random.gauss(0, 0.01)
            seen = Observation("loss", loss, NOW, 1, "output", trial.number)
            intakes.append(Intake(trial.id, 1, "", "1", (seen,)))
            moves.append(TrialMove(trial.id, 1, TrialState.RUNNING, TrialState.COMPLETED, at=NOW))
        self.storage.apply(self.study.id, StudyChanges(tuple(intakes), tuple(moves)))

    def finish(self, count: int) -> None:
        """More trials end, others begin in their place."""
        for begin in range(0, count, 250):
            part = min(250, count - begin)
            self._start(part)
            self._end(list(self.storage.unfinished_trials(self.study.id))[:part])

    def question(self) -> SuggestionRequest:
        study = self.storage.get_study(self.study.id)
        known = self.needs is not History.NONE
        return SuggestionRequest(
            study_id=study.id,
            spec=study.spec,
            history=StoredHistory(self.storage, study, self.needs) if known else None,
            unfinished=self.storage.unfinished_trials(study.id) if known else (),
            finished_count=study.finished_trials,
            unfinished_count=study.unfinished_trials,
            first_number=study.suggested + 1,
        )

    def ask(self, deltas: bool) -> Cost:
        self.services._deltas.declared(self.address, deltas)
        sent, used = self.wire.bytes, sum(self.service.cpu_times()[:2])
        began, cpu = time.perf_counter(), time.process_time()
        while True:
            try:
                assert self.services.generate(self.algorithm, self.question()).result(600).suggestions
                break
            except AskAgainError:
                continue
        took, mine = time.perf_counter() - began, time.process_time() - cpu
        return Cost(took, mine, sum(self.service.cpu_times()[:2]) - used, self.wire.bytes - sent)


@contextmanager
def serving(algorithm: str, address: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "katib.suggestion.server", algorithm, "--listen", address]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def measure(algorithm: str, sizes: list[int], repeats: int, others: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kb-")))
        desk = Desk(stack, folder, algorithm, others)
        forms = (False, True) if desk.deltas else (False,)
        there = 0
        for size in sizes:
            desk.finish(size - there)
            there = size + 2 * (repeats + 2) * len(forms)
            costs: dict[bool, list[Cost]] = {form: [] for form in forms}
            for turn in range(repeats + 1):
                for form in forms:
                    # Twice: trials that the service has read anew, from the other form, are not those that it knew.
                    for again in (False, True):
                        desk.finish(1)
                        cost = desk.ask(form)
                        # The first turn finds a service, or a manager, that knows nothing yet.
                        if turn and again:
                            costs[form].append(cost)
            for form in forms:
                desk.finish(1)
                before = (desk.database.statements, desk.database.steps)
                with desk.database.looked_at():
                    desk.ask(form)
                statements, steps = desk.database.statements - before[0], desk.database.steps - before[1]
                print(row(algorithm, size, _form(desk, form), costs[form], statements, steps), flush=True)


def _form(desk: Desk, deltas: bool) -> str:
    return "what is new" if deltas else "all" if desk.needs is not History.NONE else "counts"


def row(algorithm: str, size: int, form: str, costs: list[Cost], statements: int, steps: int) -> str:
    def median(name: str) -> float:
        return statistics.median(getattr(cost, name) for cost in costs)

    return (
        f"| {algorithm} | {size:,} | {form} | {median('seconds') * 1e3:,.1f} ms | "
        f"{min(c.seconds for c in costs) * 1e3:,.1f} ms | {median('manager') * 1e3:,.1f} ms | "
        f"{statistics.mean(c.service for c in costs) * 1e3:,.0f} ms | {median('bytes'):,.0f} | {statements} | {steps:,} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--algorithms", nargs="+", default=["random", "tpe", "bayesianoptimization"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--others", action="store_true")
    arguments = parser.parse_args()
    print(
        "| algorithm | finished trials | sent | time | least | manager's processor | service's | bytes | statements | steps |"
    )
    print("| --- " * 10 + "|")
    for algorithm in arguments.algorithms:
        measure(algorithm, sorted(arguments.finished), arguments.repeats, arguments.others)


if __name__ == "__main__":
    main()
