"""How long the storage's writes take.

    python benchmarks/bench_storage.py [URL] [--finished 100 20000] [--seconds 3] [--threads 1 8]

One `apply` is what the controller writes when one trial ends and the next begins: an intake with one observation, a move to
COMPLETED and a move to RUNNING. Printed for each size of the study: calls a second, the median and the 99th percentile of a
call's time as its caller sees it, and the processor time that the process spends on a call. Without URL: SQLite in a temporary
folder.
"""

import argparse
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from itertools import count

from katib.domain.metrics import Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, Study, StudySpec, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.ports import Storage
from katib.manager.storage.open import open_storage

PARAMETERS = 8
PENDING, RUNNING, COMPLETED = TrialState.PENDING, TrialState.RUNNING, TrialState.COMPLETED
NOW = datetime.now(UTC)


def new_study(storage: Storage) -> Study:
    configs = tuple(
        ParameterConfig(f"parameter-{i}", ParameterType.DOUBLE, FeasibleSpace("0.001", "0.9"))
        for i in range(PARAMETERS)
    )
    spec = StudySpec(
        "bench", "accuracy", Objective.MAXIMIZE, configs, command=("python", "train.py"), algorithm="random"
    )
    return storage.create_study(Study(new_id(), spec, StudyState.RUNNING, NOW, 1))


def add(storage: Storage, study: Study, n: int) -> list[Trial]:
    parameters = tuple(Parameter(f"parameter-{i}", ParameterType.DOUBLE, repr(1 / (i + 3))) for i in range(PARAMETERS))
    suggested = storage.get_study(study.id).suggested
    return list(storage.add_trials(study.id, suggested, [NewTrial(new_id(), parameters) for _ in range(n)], NOW))


def start(trial: Trial) -> TrialMove:
    return TrialMove(trial.id, 1, PENDING, RUNNING, run=f"{trial.id}-1", at=NOW)


def finish(trial: Trial, position: int) -> tuple[Intake, TrialMove]:
    seen = Observation("accuracy", (position * 7919 % 10007) / 10007, NOW, 1, "output", position)
    intake = Intake(trial.id, 1, "", str(position), (seen,))
    return intake, TrialMove(trial.id, 1, RUNNING, COMPLETED, at=NOW)


def fill(storage: Storage, study: Study, finished: int) -> None:
    """Trials that have ended, each with an observation."""
    for begin in range(0, finished, 250):
        trials = add(storage, study, min(250, finished - begin))
        storage.apply(study.id, StudyChanges(moves=tuple(map(start, trials))))
        ends = [finish(trial, trial.number) for trial in trials]
        storage.apply(study.id, StudyChanges(tuple(i for i, _ in ends), tuple(m for _, m in ends)))


def loop(storage: Storage, study: Study, until: float, times: list[float]) -> None:
    pending = add(storage, study, 200)
    running = pending.pop()
    storage.apply(study.id, StudyChanges(moves=(start(running),)))
    for position in count(1):
        if not pending:
            pending = add(storage, study, 200)
        follower = pending.pop()
        intake, end = finish(running, position)
        changes = StudyChanges(intakes=(intake,), moves=(end, start(follower)))
        began = time.perf_counter()
        if began > until:
            return
        applied = storage.apply(study.id, changes)
        times.append(time.perf_counter() - began)
        assert not applied.refused
        running = follower


def measure(storage: Storage, studies: list[Study], seconds: float) -> None:
    times: list[list[float]] = [[] for _ in studies]
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=loop, args=(storage, study, until, mine))
        for study, mine in zip(studies, times, strict=True)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    every = sorted(t for mine in times for t in mine)
    print(
        f"  {len(studies):3} threads: {len(every) / took:7.0f} apply/s, median {statistics.median(every) * 1e3:.3f} ms, "
        f"p99 {every[len(every) * 99 // 100] * 1e3:.3f} ms, processor {used / len(every) * 1e3:.3f} ms each",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--finished", type=int, nargs="+", default=[100, 20000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="katib-bench-") as folder:
        storage = open_storage(arguments.url or f"sqlite:///{folder}/katib.db")
        for finished in arguments.finished:
            study = new_study(storage)
            fill(storage, study, finished)
            print(f"{finished} finished trials in the study:")
            for n in arguments.threads:
                measure(storage, [study, *(new_study(storage) for _ in range(n - 1))], arguments.seconds)
        began = time.perf_counter()
        storage.delete_study(study.id)
        print(f"deleting the last one took {time.perf_counter() - began:.2f} s")
        storage.close()


if __name__ == "__main__":
    main()
