"""How long users wait for programs to start: `make bench-start`.

    python -m benchmarks.bench_start [--times 15]

Measured are, from the start of the process to its end or to the first answer,

- `katib-cli --help`;
- `katib-cli list trials` of a study of 100 trials, from a manager that runs;
- a manager, until it says that it can work: with a new SQLite file, whose schema it makes, and with the one that is there.

Beside each stands the processor time of the process, which says what it takes on a machine that has other work too, and a
Python that does nothing, which is the least that any of them can take. Everything is measured in turns.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.service.systems import fill
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.manager.storage.open import open_storage

BIN: Final = Path(sys.executable).parent
TRIALS: Final = 100
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Aim:
    what: str
    ms: float | None


AIMS: Final = {
    "nothing": Aim("a Python that does nothing", None),
    "help": Aim("`katib-cli --help`", 200),
    "list": Aim(f"`katib-cli list trials`, {TRIALS} trials", 400),
    "new": Aim("a manager, until it is ready, with a new database", 1500),
    "again": Aim("a manager, until it is ready, with the database that is there", 1500),
}


@dataclass(frozen=True)
class Took:
    wall: float
    processor: float


def program(*command: str | Path) -> Took:
    """From the start of a program to its end."""
    before, began = _children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    return Took(wall, _children() - before)


def manager(folder: Path, database: str) -> Took:
    """From the start of a manager to its first SERVING."""
    address = folder / "ready"
    address.unlink(missing_ok=True)
    command = [BIN / "katib-manager", "--listen", f"unix:{address}", "--http", "", "--database", database]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--data", folder / "runs", "--log-level", "WARNING"])
    try:
        _await_ready(address, process)
        wall = time.perf_counter() - began
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        processor = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)
    return Took(wall, processor)


def _await_ready(address: Path, process: "subprocess.Popen[bytes]") -> None:
    # A channel would wait for a second after its first try.
    _until(lambda: _connects(address), process)
    with open_channel(f"unix:{address}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        _until(lambda: _serves(check), process)


def _connects(address: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as tried:
        return tried.connect_ex(str(address)) == 0


def _serves(check: Callable[..., health_pb2.HealthCheckResponse]) -> bool:
    try:
        reply = check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError:
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _until(what: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not what():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the manager is not ready after {_PATIENCE_S:g} s, or has ended; it says why above")
        time.sleep(0.002)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(times: int) -> dict[str, list[Took]]:
    found: dict[str, list[Took]] = {name: [] for name in AIMS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kbs-")))
        database, address = f"sqlite:///{folder}/katib.db", f"unix:{folder}/m"
        command = [BIN / "katib-manager", "--listen", address, "--http", "", "--database", database]
        process = subprocess.Popen([*command, "--data", folder / "data", "--log-level", "WARNING"])
        stack.callback(process.wait, _PATIENCE_S)
        stack.callback(process.terminate)
        _await_ready(folder / "m", process)
        client = stack.enter_context(ManagerClient(address, _PATIENCE_S))
        with closing(open_storage(database)) as storage:
            study = fill(client, storage, TRIALS)
        listing = (BIN / "katib-cli", "-s", address, "list", "trials", study)
        other = f"sqlite:///{folder}/other.db"
        manager(folder, other)
        for i in range(times + 1):
            row = {
                "nothing": program(sys.executable, "-c", "pass"),
                "help": program(BIN / "katib-cli", "--help"),
                "list": program(*listing),
                "new": manager(folder, f"sqlite:///{folder}/new-{i}.db"),
                "again": manager(folder, other),
            }
            # The first time round files are read from the disk.
            if i > 0:
                for name, took in row.items():
                    found[name].append(took)
    return found


def markdown(found: dict[str, list[Took]]) -> str:
    lines = ["| from its start | time (lowest to highest) | aim | processor |", "| --- | --- | --- | --- |"]
    for name, aim in AIMS.items():
        walls = sorted(took.wall * 1e3 for took in found[name])
        processor = statistics.median(took.processor * 1e3 for took in found[name])
        wanted = "" if aim.ms is None else f"{aim.ms:g} ms"
        time_ = f"{statistics.median(walls):.0f} ms ({walls[0]:.0f} to {walls[-1]:.0f})"
        lines.append(f"| {aim.what} | {time_} | {wanted} | {processor:.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=15)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    print(markdown(measure(arguments.times)))
    print(f"\nMedians of {arguments.times}, at a load average of {before:.1f} before it began.")


if __name__ == "__main__":
    main()
