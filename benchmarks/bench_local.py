"""What Katib adds to running the same commands by hand, on this machine: `make bench-local`.

Each figure is a ratio against a bare loop in the same run, taken next to it, or a time of the whole path:

- trials that do nothing but report, per second, at 2 parallel, after 100 and after 5,000 finished trials of the study,
  against a loop that spawns the same command with the same parallelism and reads its output;
- from `katib-cli create-study` (and from the call CreateStudy alone) to the first process of the study;
- processor time and memory of a manager with 200 idle studies.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from katib.api.client import ManagerClient
from katib.domain.errors import KatibError
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, StudySpec
from katib.domain.trial import Trial

COMMAND = (sys.executable, "-c", "print('x=1')")
PARALLEL = 2
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Katib:
    process: "subprocess.Popen[bytes]"
    address: str
    client: ManagerClient


@contextmanager
def katib_local(folder: Path) -> Iterator[Katib]:
    address = f"unix:{folder}/m"
    process = subprocess.Popen(
        [BIN / "katib-local", "--data", folder / "data", "--listen", address], stdout=subprocess.DEVNULL
    )
    client = ManagerClient(address, 30)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                client.list_algorithms()
                break
            except KatibError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield Katib(process, address, client)
    finally:
        client.close()
        process.send_signal(signal.SIGINT)
        process.wait(30)


def spec(name: str, **limits: int) -> StudySpec:
    return StudySpec(
        name=name,
        objective_name="x",
        optimization=Objective.MAXIMIZE,
        parameters=(ParameterConfig("--a", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
        algorithm="random",
        command=COMMAND,
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


def bare_loop(count: int) -> float:
    """Spawns the command `count` times, PARALLEL at once, each output read; returns how many a second."""
    running: list[subprocess.Popen[bytes]] = []
    begin = time.perf_counter()
    for _ in range(count):
        if len(running) == PARALLEL:
            done = _wait_for_one(running)
            assert b"x=1" in (done.stdout.read() if done.stdout else b"")
            if done.stdout:
                done.stdout.close()
        running.append(
            subprocess.Popen(
                [*COMMAND, "--a=0.5"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    while running:
        done = _wait_for_one(running)
        if done.stdout:
            done.stdout.close()
    return count / (time.perf_counter() - begin)


def _wait_for_one(running: "list[subprocess.Popen[bytes]]") -> "subprocess.Popen[bytes]":
    pid, status = os.waitpid(-1, 0)
    for process in running:
        if process.pid == pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            running.remove(process)
            return process
    raise AssertionError(f"process {pid} is not ours")


def throughput(katib: Katib, points: tuple[int, ...], count: int, rounds: int) -> list[dict[str, float]]:
    """At each point of finished trials: Katib's rate over the next `count` trials beside the bare loop's, `rounds` times."""
    study = katib.client.create_study(spec("throughput", max_trials=1_000_000, max_parallel=PARALLEL))
    results = []
    for point in points:
        wait_for(katib, study, point)
        begin = katib.client.get_study(study).summary.finished_trials
        ours, bare = [], []
        for _ in range(rounds):
            wait_for(katib, study, begin + count)
            katib.client.update_study(study, paused=True)
            bare.append(bare_loop(count))
            ours.append(rate(katib, study, begin, count))
            begin = katib.client.get_study(study).summary.finished_trials
            katib.client.update_study(study, paused=False)
        ratios = [a / b for a, b in zip(ours, bare, strict=True)]
        results.append(
            {
                "finished": point,
                "katib_per_s": statistics.median(ours),
                "bare_per_s": statistics.median(bare),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
            }
        )
    katib.client.stop_study(study)
    return results


def wait_for(katib: Katib, study: str, finished: int) -> None:
    deadline = time.monotonic() + 300
    while (seen := katib.client.get_study(study).summary.finished_trials) < finished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{seen} of {finished} trials after 300 s")
        # Seldom: asking costs the manager time that is being measured.
        time.sleep(min(max((finished - seen) / 400, 0.1), 2.0))


def rate(katib: Katib, study: str, begin: int, count: int) -> float:
    """Trials a second by the ends of trials in the middle of a stretch without a pause."""
    ends = sorted(t.ended_at for t in trials(katib, study) if t.ended_at is not None)
    stretch = ends[begin + count // 10 : begin + count]
    return (len(stretch) - 1) / (stretch[-1] - stretch[0]).total_seconds()


def trials(katib: Katib, study: str) -> Iterator[Trial]:
    token = ""
    while True:
        page = katib.client.list_trials(study, page_size=1000, page_token=token)
        yield from page.items
        token = page.next_token
        if not token:
            return


def first_process(katib: Katib, folder: Path, times: int) -> dict[str, float]:
    """Milliseconds to the first process, whose first act is to write down the time."""
    stamp = folder / "stamp"
    command = ["/bin/sh", "-c", f"date +%s%N > {stamp}.new; mv {stamp}.new {stamp}; echo x=1"]
    file = folder / "first.yaml"
    file.write_text(
        json.dumps(
            {
                "name": "first",
                "objective": {"name": "x", "type": "maximize"},
                "algorithm": "random",
                "parameters": [{"name": "--a", "type": "double", "min": "0", "max": "1"}],
                "max_trials": 1,
                "command": command,
            }
        )
    )
    by_cli, by_call = [], []
    for _ in range(times):
        stamp.unlink(missing_ok=True)
        begin = time.time_ns()
        subprocess.run(
            [BIN / "katib-cli", "-s", katib.address, "create-study", "-f", file], check=True, stdout=subprocess.DEVNULL
        )
        by_cli.append((_stamped(stamp) - begin) / 1e6)
        stamp.unlink(missing_ok=True)
        begin = time.time_ns()
        study = StudySpec(**{**_fields(spec("first", max_trials=1)), "command": tuple(command)})
        katib.client.create_study(study)
        by_call.append((_stamped(stamp) - begin) / 1e6)
    return {"cli_ms": statistics.median(by_cli), "call_ms": statistics.median(by_call)}


def _fields(study: StudySpec) -> dict[str, object]:
    return {name: getattr(study, name) for name in StudySpec.__slots__}


def _stamped(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("no process began within 20 s")
        time.sleep(0.002)
    return int(path.read_text())


def idle(katib: Katib, studies: int, seconds: float) -> dict[str, float]:
    """A manager with studies that wait for their clients."""
    waiting = StudySpec(**{**_fields(spec("idle")), "algorithm": ""})
    for _ in range(studies):
        katib.client.create_study(waiting)
    time.sleep(3)
    begin, cpu = time.monotonic(), _cpu_seconds(katib.process.pid)
    time.sleep(seconds)
    share = (_cpu_seconds(katib.process.pid) - cpu) / (time.monotonic() - begin)
    return {"studies": studies, "cpu_percent_of_a_core": share * 100, "memory_mib": _memory_mib(katib.process.pid)}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer trials: to see that it runs, not to quote")
    parser.add_argument("--only", choices=["throughput", "first", "idle"], help="one part")
    parser.add_argument("--points", type=int, nargs="+", default=[100, 5000])
    options = parser.parse_args()
    points, count, rounds = tuple(options.points), 200, 9
    if options.quick:
        points, count, rounds = (100,), 150, 2
    with tempfile.TemporaryDirectory(prefix="katib-bench-") as name:
        folder = Path(name)
        with katib_local(folder) as katib:
            if options.only in (None, "first"):
                first = first_process(katib, folder, 3 if options.quick else 15)
                print("From create-study to the study's first process, median (aim: under 150 ms):")
                print(f"  by katib-cli {first['cli_ms']:.0f} ms, by the call alone {first['call_ms']:.0f} ms\n")
            if options.only in (None, "throughput"):
                print(f"Trials that only report, {PARALLEL} parallel, against a bare loop (aim: 0.75):")
                for row in throughput(katib, points, count, rounds):
                    print(
                        f"  after {row['finished']:>5}: {row['katib_per_s']:.0f}/s beside {row['bare_per_s']:.0f}/s, "
                        f"ratio {row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
                    )
                print()
        if options.only in (None, "idle"):
            (folder / "idle").mkdir()
            with katib_local(folder / "idle") as katib:
                row = idle(katib, 20 if options.quick else 200, 5 if options.quick else 30)
                print(
                    f"{row['studies']} idle studies: {row['cpu_percent_of_a_core']:.2f} % of a core (aim: under 1), "
                    f"{row['memory_mib']:.0f} MiB (aim: under 150)"
                )


if __name__ == "__main__":
    main()
