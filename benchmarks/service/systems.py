"""The systems as they stand while they are measured: their processes, a study of a size, and the clients' processes."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.service import work
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.domain.metrics import Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec
from katib.domain.trial import NewTrial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.modelstore.sql import SqlModelStore
from katib.manager.ports import Storage
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.deliveries import SqlDeliveries
from katib.manager.storage.sql.storage import SqlStorage

_ROOT: Final = Path(__file__).parents[2]
_READY_S: Final = 60.0
_SETTLED_S: Final = 600.0
_BLOCK: Final = 1000
# The clients' processes, at most: as many as there are processors for them beside the server on a small machine.
_GENERATORS: Final = 2


class Talker:
    """A process that answers a line with a line."""

    def __init__(self, stack: ExitStack, python: str, *arguments: str) -> None:
        self.process = stack.enter_context(running(python, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.answer()

    def tell(self, text: str) -> None:
        _of(self.process.stdin).write(text.encode() + b"\n")
        _of(self.process.stdin).flush()

    def answer(self) -> Any:
        line = _of(self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self.process.args} has ended; what it said stands above")
        return json.loads(line)


@dataclass
class System:
    """`fill` makes a study of so many trials and gives its name."""

    name: str
    fill: Callable[[int], str]
    generators: list[Talker]

    def measure(self, study: str, clients: int, seconds: float) -> Mapping[str, Any]:
        names = [f"client-{i}" for i in range(clients)]
        used = self.generators[:clients]
        for i, generator in enumerate(used):
            generator.tell(json.dumps({"study": study, "names": names[i :: len(used)], "seconds": seconds}))
        parts = [generator.answer() for generator in used]
        errors = [error for part in parts for error in part["errors"]]
        if errors:
            raise RuntimeError(f"{self.name}: {errors[0]}")
        times = sorted(t for part in parts for t in part["times"])
        took = max(part["seconds"] for part in parts)
        return {
            "loops": len(times),
            "seconds": round(took, 4),
            "rate": round(len(times) / took, 2),
            "p50_ms": round(times[len(times) // 2] * 1e3, 3),
            "p99_ms": round(times[len(times) * 99 // 100] * 1e3, 3),
        }


def start(stack: ExitStack, name: str, mariadb: Callable[[str], str], peers: str) -> System:
    """`mariadb` makes an empty database of a name and gives its address; `peers` is the Python that has the peers."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="katib-bench-")))

    if name == work.ECHO:
        return _start_echo(stack)
    if name in work.LIMITS:
        url = f"sqlite:///{folder}/commits.db" if name == work.COMMITS_SQLITE else mariadb("commits")
        numbers = count()
        return System(name, lambda _: f"s{next(numbers)}", _generators(stack, sys.executable, "loop_commits", url))
    if name in work.OURS:
        on_sqlite = name in (work.KATIB_SQLITE, work.KATIB_SQLITE_CALLS)
        return start_katib(
            stack, name, f"sqlite:///{folder}/katib.db" if on_sqlite else mariadb(name.replace("-", "_"))
        )
    url = f"sqlite:///{folder}/vizier.db" if name == work.VIZIER else mariadb(name.replace("-", "_"))
    return _start_peer(stack, name, url, peers)


def start_katib(stack: ExitStack, name: str, url: str) -> System:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="katib-bench-")))
    quiet = ("--log-level", "WARNING")
    address, service = f"localhost:{free_port()}", f"unix:{folder}/{{algorithm}}"
    at = service.format(algorithm="random")
    stack.enter_context(running(sys.executable, "-m", "katib.suggestion.server", "random", "--listen", at, *quiet))
    stack.enter_context(
        running(
            *(sys.executable, "-m", "katib.manager.main", "--listen", address, "--http", "", "--database", url),
            *("--data", f"{folder}/runs", "--suggestion-address", service, *quiet),
        )
    )
    wait_for(address)
    client = stack.enter_context(ManagerClient(address))
    storage = stack.enter_context(closing(open_storage(url)))
    assert isinstance(storage, SqlStorage)
    clients = _generators(stack, sys.executable, "loop_katib_calls" if name in work.CALLS else "loop_katib", address)

    def fill_and_settle(trials: int) -> str:
        study = fill(client, storage, trials)
        settle(client, storage, study)
        return study

    return System(name, fill_and_settle, clients)


def _start_echo(stack: ExitStack) -> System:
    address = f"localhost:{free_port()}"
    stack.enter_context(running(sys.executable, "-m", "benchmarks.service.echo", address))
    wait_for(address)
    return System(work.ECHO, lambda _: new_id(), _generators(stack, sys.executable, "loop_echo", address))


def _start_peer(stack: ExitStack, name: str, url: str, python: str) -> System:
    port = free_port()
    address = f"localhost:{port}"
    host = Talker(stack, python, "-m", "benchmarks.service.peer_host", name, str(port), url)

    def fill_peer(trials: int) -> str:
        host.tell(str(trials))
        return str(host.answer()["study"])

    module = "loop_vizier" if name == work.VIZIER else "loop_optuna"
    to = {work.VIZIER: address, work.OPTUNA: url, work.OPTUNA_PROXY: f"proxy:{address}"}[name]
    return System(name, fill_peer, _generators(stack, python, module, to))


def _generators(stack: ExitStack, python: str, module: str, address: str) -> list[Talker]:
    return [Talker(stack, python, "-m", "benchmarks.service.generator", module, address) for _ in range(_GENERATORS)]


def fill(client: ManagerClient, storage: Storage, trials: int) -> str:
    """A study that clients drive, with so many trials that have reported and completed as the loop's do."""
    configs = tuple(
        ParameterConfig(name, ParameterType.DOUBLE, FeasibleSpace(repr(low), repr(high)))
        for name, low, high in work.PARAMETERS
    )
    study = client.create_study(
        StudySpec("bench", work.OBJECTIVE, Objective.MAXIMIZE, configs, metrics=tuple(m for m, _ in work.METRICS))
    )
    now = datetime.now(UTC)
    parameters = tuple(Parameter(name, ParameterType.DOUBLE, repr(high / 3)) for name, _, high in work.PARAMETERS)
    seen = tuple(Observation(m, value, now, 1, "fill", 1, i) for i, (m, value) in enumerate(work.METRICS))
    for begin in range(0, trials, _BLOCK):
        new = [NewTrial(new_id(), parameters, client_id="fill") for _ in range(min(_BLOCK, trials - begin))]
        added = storage.add_trials(study, begin, new, now, running=True)
        storage.apply(
            study,
            StudyChanges(
                intakes=tuple(Intake(t.id, 1, "", "", seen) for t in added),
                moves=tuple(TrialMove(t.id, 1, TrialState.RUNNING, TrialState.COMPLETED, at=now) for t in added),
            ),
        )
    return study


def settle(client: ManagerClient, storage: SqlStorage, study: str) -> None:
    """Until the manager has done what is left to do of trials that have finished, which here finished a thousand at a time: it
    keeps a record of each in its model store."""
    (trial,), _ = client.suggest_trials(study, client_id="fill")
    client.report_metrics(trial.id, [Observation(work.OBJECTIVE, 0.5, datetime.now(UTC), trial.attempt, "fill", 1)])
    client.complete_trial(study, trial.id)
    done = storage.get_trial(trial.id).revision
    deliveries = SqlDeliveries(storage.database)
    deadline = time.monotonic() + _SETTLED_S
    while (kept := deliveries.delivered(SqlModelStore.name, study)) < done:
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {_SETTLED_S:g} s trials are kept up to revision {kept} of {done}")
        time.sleep(0.1)


def wait_for(address: str) -> None:
    """Until a server there says that it can work."""
    with open_channel(address) as channel:
        grpc.channel_ready_future(channel).result(_READY_S)
        check = health_pb2_grpc.HealthStub(channel).Check
        deadline = time.monotonic() + _READY_S
        while check(health_pb2.HealthCheckRequest(), timeout=5).status != health_pb2.HealthCheckResponse.SERVING:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server at {address} is not ready after {_READY_S:g} s; it says why above")
            time.sleep(0.05)


@contextmanager
def running(*command: str, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=_ROOT, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _of(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return int(taken.getsockname()[1])
