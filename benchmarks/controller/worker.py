"""A worker whose runs are entries in a table: they print and end at times drawn beforehand, and cost nothing else.

It is a worker as any other: the manager of the benchmark finds it by an entry point and is told `--worker simulated`. Each run
prints the objective `reports` times, evenly over its length, and ends well. Nothing goes on before the file `begin` is there: a
manager can be looked at while its runs are silent. The file `ends` in the worker's folder has a line for each run that ended
well, with its name and the time, and another with the seconds until the manager had stored it, when it lets go of the run.
"""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from katib.domain.errors import FailedPreconditionError, FieldViolation, InvalidArgumentError, NotFoundError
from katib.domain.metrics import OutputLine
from katib.domain.study import StudySpec
from katib.domain.views import LogChunk
from katib.worker.base import Output, RunPhase, RunSpec, RunStatus, WorkerSettings

BEGIN: Final = "begin"
ENDS: Final = "ends"
_LINE: Final = "acc={}\n"


@dataclass(slots=True, eq=False)
class Run:
    """`printed`: how many lines; all are of the same length. `ended`: by the steady clock."""

    spec: RunSpec
    began: datetime
    printed: int = 0
    phase: RunPhase = RunPhase.RUNNING
    ended: float = 0.0
    ended_at: datetime | None = None
    times: list[datetime] = field(default_factory=list)


class SimulatedWorker:
    """`--worker-option seconds=240`: how long runs last, between half and one and a half times that; `reports=3`; `seed=0`."""

    placement = ""
    creates_at_once = 1

    def __init__(self, settings: WorkerSettings) -> None:
        options = {"seconds": "240", "reports": "3", "seed": "0"}
        unknown = settings.options.keys() - options.keys()
        if unknown:
            raise InvalidArgumentError.of("--worker-option", ", ".join(unknown), f"expected {', '.join(options)}")
        options |= settings.options
        self._seconds: Final = float(options["seconds"])
        self._reports: Final = int(options["reports"])
        self._random: Final = random.Random(options["seed"])
        self._folder: Final = Path(settings.data)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock: Final = threading.Lock()
        self._changed: Final = threading.Condition(self._lock)
        self._studies: Final[dict[str, dict[str, Run]]] = {}
        self._deleted: Final[set[str]] = set()
        self._order: Final = itertools.count()
        self._events: list[tuple[float, int, Run]] = []
        self._waiting: list[Run] = []
        self._begun = False
        self._closed = False
        self._wake: Callable[[str], None] = lambda _study_id: None
        self._ends: Final = (self._folder / ENDS).open("a", buffering=1)
        self._thread: Final = threading.Thread(target=self._work, name="simulated", daemon=True)
        self._thread.start()

    def places(self, study_id: str, spec: StudySpec) -> Sequence[str]:
        return ()

    def look_in(self, study_id: str, places: Sequence[str]) -> None: ...

    def check(self, spec: StudySpec) -> Sequence[FieldViolation]:
        return ()

    def create(self, run: RunSpec) -> None:
        with self._changed:
            if run.study_id in self._deleted:
                raise FailedPreconditionError(f"study {run.study_id} has been deleted here")
            runs = self._studies.setdefault(run.study_id, {})
            if run.name in runs:
                return
            made = runs[run.name] = Run(run, datetime.now(UTC))
            if self._begun:
                self._schedule(made)
            else:
                self._waiting.append(made)

    def list(self, study_id: str) -> Sequence[RunStatus]:
        with self._lock:
            return [_status(run) for run in self._studies.get(study_id, {}).values()]

    def output(self, study_id: str, name: str, cursor: str, max_bytes: int) -> Output:
        with self._lock:
            run = self._get(study_id, name)
            size = len(_LINE.format("0.500000"))
            first = int(cursor or 0) // size
            lines = [
                OutputLine(_LINE.format(f"{(i + 1) / (self._reports + 1):.6f}").strip(), i * size, run.times[i])
                for i in range(first, run.printed)
            ]
            return Output(lines, str(run.printed * size), end=run.phase.ended)

    def stop(self, study_id: str, name: str) -> None:
        with self._lock:
            run = self._studies.get(study_id, {}).get(name)
            if run is not None and not run.phase.ended:
                self._end(run, RunPhase.FAILED)
        self._wake(study_id)

    def delete(self, study_id: str, name: str) -> None:
        with self._lock:
            run = self._studies.get(study_id, {}).get(name)
            if run is not None and not run.phase.ended:
                self._end(run, RunPhase.FAILED)
            self._studies.get(study_id, {}).pop(name, None)
            if run is not None and run.phase is RunPhase.SUCCEEDED:
                self._ends.write(f"{name} {run.ended:.6f} {time.monotonic() - run.ended:.6f}\n")

    def log(self, study_id: str, name: str, offset: int, max_bytes: int) -> LogChunk:
        raise NotFoundError("a simulated run has no log")

    def delete_study(self, study_id: str) -> None:
        with self._lock:
            self._studies.pop(study_id, None)
            self._deleted.add(study_id)

    def model_path(self, spec: StudySpec, study_id: str, name: str) -> str:
        return ""

    def remove_model(self, study_id: str, path: str) -> None: ...

    def metric_files(self, spec: StudySpec, study_id: str, name: str, parser: Any) -> Any:
        raise NotImplementedError

    def watch(self, wake: Callable[[str], None]) -> None:
        self._wake = wake

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(5)
        self._ends.close()

    def finish(self, study_id: str, name: str) -> None:
        """Has a run print its last line and end well, now."""
        with self._lock:
            run = self._get(study_id, name)
            self._print(run)
            self._end(run, RunPhase.SUCCEEDED)
        self._wake(study_id)

    def _get(self, study_id: str, name: str) -> Run:
        run = self._studies.get(study_id, {}).get(name)
        if run is None:
            raise NotFoundError(f"there is no run {name} of study {study_id}")
        return run

    def _schedule(self, run: Run) -> None:
        """Under the lock."""
        length = self._seconds * self._random.uniform(0.5, 1.5)
        begin = time.monotonic()
        for i in range(1, self._reports + 1):
            heapq.heappush(self._events, (begin + length * i / (self._reports + 1), next(self._order), run))
        heapq.heappush(self._events, (begin + length, next(self._order), run))
        self._changed.notify()

    def _print(self, run: Run) -> None:
        """Under the lock."""
        run.printed += 1
        run.times.append(datetime.now(UTC))

    def _end(self, run: Run, phase: RunPhase) -> None:
        """Under the lock."""
        run.phase, run.ended, run.ended_at = phase, time.monotonic(), datetime.now(UTC)
        if phase is RunPhase.SUCCEEDED:
            self._ends.write(f"{run.spec.name} {run.ended:.6f}\n")

    def _work(self) -> None:
        """What happens to the runs, each at its time."""
        while not self._closed:
            if not self._begun:
                if not (self._folder / BEGIN).exists():
                    time.sleep(0.2)
                    continue
                with self._lock:
                    self._begun = True
                    for run in self._waiting:
                        # As if they had begun at different times: they do not end all at once.
                        self._schedule(run)
                    self._waiting.clear()
            with self._changed:
                now = time.monotonic()
                if not self._events or self._events[0][0] > now:
                    self._changed.wait(min(self._events[0][0] - now, 1.0) if self._events else 1.0)
                    continue
                _, _, run = heapq.heappop(self._events)
                if run.phase.ended:
                    continue
                if run.printed < self._reports:
                    self._print(run)
                else:
                    self._end(run, RunPhase.SUCCEEDED)
            self._wake(run.spec.study_id)


def _status(run: Run) -> RunStatus:
    spec = run.spec
    return RunStatus(
        name=spec.name,
        study_id=spec.study_id,
        trial_id=spec.trial_id,
        attempt=spec.attempt,
        phase=run.phase,
        exit_code=0 if run.phase is RunPhase.SUCCEEDED else 1 if run.phase.ended else None,
        started_at=run.began,
        ended_at=run.ended_at,
        output_version=run.printed,
    )
