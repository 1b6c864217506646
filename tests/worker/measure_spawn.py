"""What a run costs beside a bare start of the same command: `python tests/worker/measure_spawn.py [runs] [parallel]`.

Rounds of both alternate, because a shared machine drifts; compare the ratio. Nothing is removed in between: ext4 slows down for
half a minute after thousands of files were.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections import deque

from katib.domain.names import new_id, run_name
from katib.domain.study import Objective, StudySpec
from katib.worker.base import RunSpec
from katib.worker.local.worker import LocalWorker

COMMAND = ("python", "-c", "print('x=1')")
SPEC = StudySpec("measure", "x", Objective.MINIMIZE, (), algorithm="random", command=COMMAND)


def bare(runs: int, parallel: int) -> float:
    begin = time.perf_counter()
    alive: deque[subprocess.Popen[bytes]] = deque()
    for _ in range(runs):
        if len(alive) == parallel:
            alive.popleft().wait()
        alive.append(subprocess.Popen([sys.executable, *COMMAND[1:]], stdout=subprocess.DEVNULL))
    for process in alive:
        process.wait()
    return runs / (time.perf_counter() - begin)


def worker(local: LocalWorker, runs: int, parallel: int) -> tuple[float, float]:
    """Runs per second, and milliseconds of this process's time for each."""
    woken = threading.Event()
    local.watch(lambda _: woken.set())
    study_id = new_id()
    left, alive = runs, set()
    begin, cpu = time.perf_counter(), time.process_time()
    while left or alive:
        while left and len(alive) < parallel:
            trial_id = new_id()
            run = RunSpec(run_name(trial_id, 1), study_id, trial_id, 1, COMMAND, (), SPEC)
            local.create(run)
            alive.add(run.name)
            left -= 1
        woken.wait(5)
        woken.clear()
        for status in local.list(study_id):
            if status.phase.ended:
                output = local.output(study_id, status.name, "", 65536)
                assert [line.text for line in output.lines] == ["x=1"], (status, output)
                assert output.end
                local.delete(study_id, status.name)
                alive.discard(status.name)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return runs / seconds, cpu / runs * 1000


def main() -> None:
    runs, parallel = (int(word) for word in (*sys.argv[1:], "200", "2")[:2]) if len(sys.argv) > 2 else (200, 2)
    with tempfile.TemporaryDirectory() as data:
        local = LocalWorker(data)
        ratios = []
        for _ in range(5):
            base = bare(runs, parallel)
            own, cpu = worker(local, runs, parallel)
            ratios.append(own / base)
            print(
                f"bare {base:6.1f}/s   local worker {own:6.1f}/s   ratio {own / base:.3f}   own time {cpu:.3f} ms a run"
            )
        local.close()
        print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.3f}")


if __name__ == "__main__":
    main()
