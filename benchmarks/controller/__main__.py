"""What the controller costs with many studies and live trials at once: `make bench-controller`.

A real `katib-manager`, with its database, services over gRPC and everything else, drives studies on a worker whose runs are
entries in a table (benchmarks/controller/worker.py). Measured are

- how long it takes to get everything running, and the memory per study and per live trial;
- doing nothing: the processor while every run is silent;
- the work: from a run's end to its trial's being stored as COMPLETED, and the processor for a trial, in windows of time, so
  that what grows with the finished trials shows.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.controller.worker import BEGIN, ENDS
from katib.api.client import ManagerClient
from katib.domain.errors import KatibError
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, StudySpec

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Manager:
    pid: int
    folder: Path
    client: ManagerClient

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_kib(self) -> int:
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Rss:")).split()[1])

    def ends(self, since: float, until: float, patience: float) -> "tuple[list[float], int]":
        """The seconds from a run's end to its trial's, of those that ended between the two times. Of what is not stored after
        `patience` seconds, how many there are; each counts with its age."""
        deadline = time.monotonic() + patience
        while True:
            # The last line may be on its way.
            whole, _, _ = (self.folder / "data" / ENDS).read_text().rpartition("\n")
            rows = [line.split() for line in whole.splitlines()]
            found = told(rows, since, until, time.monotonic())
            if not found[1] or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


def told(rows: Sequence[Sequence[str]], since: float, until: float, now: float) -> "tuple[list[float], int]":
    """From the lines of ENDS: the seconds of each that ended between the two times, and how many of them are not stored yet."""
    ended: dict[str, float] = {}
    stored: dict[str, float] = {}
    for name, at, *seconds in rows:
        if since <= float(at) < until:
            ended[name] = float(at)
            if seconds:
                stored[name] = float(seconds[0])
    return [stored.get(name, now - at) for name, at in ended.items()], len(ended) - len(stored)


@contextmanager
def manager(options: argparse.Namespace) -> Iterator[Manager]:
    with tempfile.TemporaryDirectory(prefix="kbc-") as name:
        folder = Path(name)
        # How any installed package adds a worker.
        info = folder / "site" / "simulated_worker-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated-worker\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[katib.workers]\nsimulated = benchmarks.controller.worker:SimulatedWorker\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)])}
        address = f"unix:{folder}/m"
        programs = [
            ["katib-suggestion", "random", "--listen", f"unix:{folder}/s-random"],
            [
                *(
                    "katib-manager",
                    "--listen",
                    address,
                    "--http",
                    "",
                    "--data",
                    f"{folder}/data",
                    "--worker",
                    "simulated",
                ),
                *("--database", options.database or f"sqlite:///{folder}/katib.db"),
                *("--suggestion-address", f"unix:{folder}/s-{{algorithm}}"),
                *("--worker-option", f"seconds={options.seconds}", "--worker-option", f"reports={options.reports}"),
            ],
        ]
        with (folder / "log").open("wb") as log:
            started = [
                subprocess.Popen([BIN / program[0], *program[1:]], env=environment, cwd=ROOT, stdout=log, stderr=log)
                for program in programs
            ]
        client = ManagerClient(address, 60)
        try:
            _wait_until_ready(client, started[1], folder / "log")
            yield Manager(started[1].pid, folder, client)
        finally:
            client.close()
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(60)


def _wait_until_ready(client: ManagerClient, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            client.list_studies(page_size=1)
            return
        except KatibError:
            if time.monotonic() > deadline or process.poll() is not None:
                print(log.read_text(), file=sys.stderr)
                raise
            time.sleep(0.1)


def spec(number: int, parallel: int) -> StudySpec:
    parameters = tuple(ParameterConfig(f"--p{i}", ParameterType.DOUBLE, FeasibleSpace("0", "1")) for i in range(4))
    limits = Limits(max_trials=1_000_000, max_parallel=parallel)
    return StudySpec(
        f"bench-{number}", "acc", Objective.MAXIMIZE, parameters, algorithm="random", command=("true",), limits=limits
    )


def running(client: ManagerClient) -> tuple[int, int]:
    """How many trials run, and how many have finished."""
    run = done = 0
    token = ""
    while True:
        page = client.list_studies(page_size=1000, page_token=token)
        run += sum(s.running for s in page.items)
        done += sum(s.finished_trials for s in page.items)
        token = page.next_token
        if not token:
            return run, done


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")


def measure(options: argparse.Namespace) -> dict[str, object]:
    found: dict[str, object] = {"studies": options.studies, "parallel": options.parallel, "seconds": options.seconds}
    with manager(options) as it:
        time.sleep(2)
        found["memory_empty_mib"] = round(it.memory_kib() / 1024, 1)
        # One that is started, and waits for nothing: the first of everything is loaded.
        begin, cpu = time.monotonic(), it.cpu_s()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: it.client.create_study(spec(n, options.parallel)), range(options.studies)))
        found["created_s"] = round(time.monotonic() - begin, 1)
        wanted = options.studies * options.parallel
        while running(it.client)[0] < wanted:
            time.sleep(0.5)
            if time.monotonic() - begin > options.patience:
                raise SystemExit(f"after {options.patience:.0f} s {running(it.client)[0]} of {wanted} trials run")
        found["all_running_s"] = round(time.monotonic() - begin, 1)
        found["cpu_ms_per_started_trial"] = round((it.cpu_s() - cpu) / wanted * 1000, 2)
        time.sleep(5)
        found["memory_running_mib"] = round(it.memory_kib() / 1024, 1)
        begin, cpu = time.monotonic(), it.cpu_s()
        time.sleep(options.idle)
        found["idle_cpu_percent"] = round((it.cpu_s() - cpu) / (time.monotonic() - begin) * 100, 2)
        _say(found)
        (it.folder / "data" / BEGIN).touch()
        # Until runs end all the time.
        time.sleep(options.seconds * 0.5)
        windows = []
        for _ in range(options.windows):
            _, done = running(it.client)
            begin, cpu = time.monotonic(), it.cpu_s()
            time.sleep(options.window)
            end, used = time.monotonic(), it.cpu_s() - cpu
            latencies, outstanding = it.ends(begin, end, options.late)
            window = {
                "finished_before": done,
                "ends_per_s": round(len(latencies) / (end - begin), 1),
                "not_stored": outstanding,
                "p50_ms": round(percentile(latencies, 0.5) * 1000, 1),
                "p99_ms": round(percentile(latencies, 0.99) * 1000, 1),
                "most_ms": round(max(latencies, default=float("nan")) * 1000, 1),
                "cpu_percent": round(used / (end - begin) * 100, 1),
                "cpu_ms_per_trial": round(used / max(len(latencies), 1) * 1000, 2),
                "memory_mib": round(it.memory_kib() / 1024, 1),
            }
            windows.append(window)
            _say(window)
        found["windows"] = windows
        found["p99_ms"] = statistics.median(w["p99_ms"] for w in windows)
    return found


def _say(values: object) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=10, help="live trials of each study")
    parser.add_argument("--seconds", type=float, default=240, help="how long a run lasts in the mean")
    parser.add_argument("--reports", type=int, default=3, help="how often a run prints its objective")
    parser.add_argument("--idle", type=float, default=30, help="seconds of doing nothing that are measured")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window", type=float, default=30, help="seconds of each window")
    parser.add_argument("--late", type=float, default=30, help="seconds that the last ends of a window are waited for")
    parser.add_argument("--patience", type=float, default=600)
    parser.add_argument("--database", default="", help="left out: an SQLite file")
    _say(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
