"""A worker whose runs do what a test says, in the order in which it says it; test_worker.py shows that it is one.

The `Place` is what is true of the runs, whatever becomes of managers; each manager has a `ScriptedWorker` of its own on it.
It keeps the promises of `katib.worker.base`, those included that a driver keeps rarely and unwillingly: a run that was created
and is not listed yet (its creator broke off, and it may still begin), one that has vanished from the list.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from katib.domain.errors import (
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
)
from katib.domain.metrics import OutputLine
from katib.domain.names import is_id, run_name
from katib.domain.study import StudySpec
from katib.domain.trial import TrialReason
from katib.domain.views import LogChunk
from katib.worker.base import Output, RunPhase, RunSpec, RunStatus

FENCED: Final = "it was stopped before it started"


@dataclass(eq=False)
class Run:
    """`listed`: `list` names it. `dropped`: it was deleted, and is history once it has ended. `values` are those of the metrics
    that it has printed, by name."""

    name: str
    study_id: str
    trial_id: str
    attempt: int
    arguments: tuple[str, ...] = ()
    phase: RunPhase = RunPhase.WAITING
    listed: bool = True
    dropped: bool = False
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    text: bytes = b""
    values: list[tuple[str, float]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """It executes, or may still come to."""
        return not self.phase.ended


class Place:
    """All runs of all studies. `created` and `began` are told of each run that comes to be, and to execute."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock: Final = clock
        self.runs: Final[dict[str, Run]] = {}
        self.deleted: Final[set[str]] = set()
        self.executions: Final[Counter[str]] = Counter()
        self.created: Callable[[Run, str], None] = lambda _run, _worker: None
        self.began: Callable[[Run], None] = lambda _run: None
        self.wakes: Final[list[Callable[[str], None]]] = []

    def of(self, study_id: str) -> list[Run]:
        return [run for run in self.runs.values() if run.study_id == study_id]

    def alive(self, study_id: str) -> list[Run]:
        return [run for run in self.of(study_id) if run.alive]

    # What happens to runs

    def begin(self, run: Run) -> None:
        assert run.phase is RunPhase.WAITING
        run.phase, run.listed, run.reason, run.message = RunPhase.RUNNING, True, "", ""
        run.started_at = self.clock()
        self.executions[run.name] += 1
        self.began(run)
        self.wake(run.study_id)

    def wait(self, run: Run, reason: str, message: str) -> None:
        """It cannot begin now, and says why."""
        assert run.phase is RunPhase.WAITING
        run.reason, run.message = reason, message
        self.wake(run.study_id)

    def print(self, run: Run, text: str) -> None:
        assert run.phase in (RunPhase.RUNNING, RunPhase.STOPPING)
        run.text += text.encode()
        self.wake(run.study_id)

    def end(self, run: Run, code: int | None, reason: str = "", message: str = "") -> None:
        """With an exit code, or (None) without anybody's knowing of one."""
        assert run.alive
        run.phase = RunPhase.SUCCEEDED if code == 0 else RunPhase.FAILED
        run.exit_code, run.reason, run.message = code, reason, message
        run.ended_at = self.clock()
        run.started_at = run.started_at or run.ended_at
        run.listed = not run.dropped
        self.wake(run.study_id)

    def vanish(self, run: Run) -> None:
        """It is gone, and nothing says so before somebody makes sure."""
        self.end(run, None, TrialReason.PROCESS_VANISHED, "it is gone and left no exit code")
        run.listed = False

    def wake(self, study_id: str) -> None:
        for wake in list(self.wakes):
            wake(study_id)


class ScriptedWorker:
    """One manager's hold on the place."""

    placement = ""
    creates_at_once = 1

    def __init__(self, place: Place, owner: str = "") -> None:
        self._place = place
        self._owner = owner

    def places(self, study_id: str, spec: StudySpec) -> Sequence[str]:
        return ()

    def look_in(self, study_id: str, places: Sequence[str]) -> None: ...

    def check(self, spec: StudySpec) -> Sequence[FieldViolation]:
        return []

    def model_path(self, spec: StudySpec, study_id: str, name: str) -> str:
        return ""

    def remove_model(self, study_id: str, path: str) -> None:
        pass

    def create(self, run: RunSpec) -> None:
        self.begin_creating(run, listed=True)

    def begin_creating(self, spec: RunSpec, *, listed: bool) -> None:
        """`listed` False: a creation that broke off. Whoever creates the run again finishes it."""
        _check(spec.study_id, spec.name)
        if spec.name != run_name(spec.trial_id, spec.attempt):
            raise InvalidArgumentError.of("run", spec.name, f"expected attempt {spec.attempt} of trial {spec.trial_id}")
        if spec.study_id in self._place.deleted:
            raise FailedPreconditionError(f"study {spec.study_id} has been deleted here")
        there = self._place.runs.get(spec.name)
        if there is not None:
            there.listed = there.listed or (listed and not there.dropped)
            return
        run = Run(spec.name, spec.study_id, spec.trial_id, spec.attempt, spec.arguments, listed=listed)
        self._place.runs[run.name] = run
        self._place.created(run, self._owner)

    def list(self, study_id: str) -> Sequence[RunStatus]:
        _check(study_id)
        return [_status(run) for run in self._place.of(study_id) if run.listed]

    def output(self, study_id: str, name: str, cursor: str, max_bytes: int) -> Output:
        run = self._get(study_id, name)
        if cursor and not (cursor.isdecimal() and int(cursor) <= len(run.text)):
            raise InvalidArgumentError.of("cursor", cursor, "expected one that this run's output was read with")
        begin = position = int(cursor or 0)
        lines: list[OutputLine] = []
        while not lines or position - begin < max_bytes:
            end = run.text.find(b"\n", position)
            if end < 0 and run.phase.ended:
                end = len(run.text)
            if end < 0 or position == len(run.text):
                break
            lines.append(OutputLine(run.text[position:end].decode(), position, self._place.clock()))
            position = min(end + 1, len(run.text))
        return Output(lines, str(position), end=run.phase.ended and position == len(run.text))

    def stop(self, study_id: str, name: str) -> None:
        _check(study_id, name)
        if study_id in self._place.deleted:
            return
        run = self._place.runs.get(name)
        if run is None:
            trial_id, _, attempt = name.partition("-")
            run = self._place.runs[name] = Run(name, study_id, trial_id, int(attempt), listed=False)
        if run.phase is RunPhase.WAITING:
            self._place.end(run, None, TrialReason.START_FAILED, FENCED)
        elif run.phase is RunPhase.RUNNING:
            run.phase = RunPhase.STOPPING
        elif run.phase.ended:
            run.listed = not run.dropped

    def delete(self, study_id: str, name: str) -> None:
        _check(study_id, name)
        run = self._place.runs.get(name)
        if run is None:
            return
        run.dropped = True
        if run.phase.ended:
            run.listed = False
        else:
            self.stop(study_id, name)

    def log(self, study_id: str, name: str, offset: int, max_bytes: int) -> LogChunk:
        run = self._get(study_id, name)
        begin = max(len(run.text) + offset, 0) if offset < 0 else min(offset, len(run.text))
        data = run.text[begin : begin + max_bytes]
        return LogChunk(data, begin + len(data), run.phase.ended and begin + len(data) == len(run.text))

    def delete_study(self, study_id: str) -> None:
        _check(study_id)
        for run in self._place.alive(study_id):
            if run.phase is RunPhase.WAITING and not run.listed:
                self.stop(study_id, run.name)
        if self._place.alive(study_id):
            raise FailedPreconditionError(f"study {study_id} still has runs; stop them first")
        for run in self._place.of(study_id):
            del self._place.runs[run.name]
        self._place.deleted.add(study_id)

    def watch(self, wake: Callable[[str], None]) -> None:
        self._place.wakes.append(wake)

    def close(self) -> None: ...

    def _get(self, study_id: str, name: str) -> Run:
        _check(study_id, name)
        run = self._place.runs.get(name)
        if run is None or run.study_id != study_id:
            raise NotFoundError(f"there is no run {name} of study {study_id}")
        return run


def _status(run: Run) -> RunStatus:
    return RunStatus(
        name=run.name,
        study_id=run.study_id,
        trial_id=run.trial_id,
        attempt=run.attempt,
        phase=run.phase,
        reason=run.reason,
        message=run.message,
        exit_code=run.exit_code,
        started_at=run.started_at,
        ended_at=run.ended_at,
        output_version=len(run.text),
    )


def _check(study_id: str, name: str | None = None) -> None:
    if not is_id(study_id):
        raise InvalidArgumentError.of("study_id", study_id, "expected an id")
    if name is not None:
        trial_id, _, attempt = name.partition("-")
        if not is_id(trial_id) or not attempt.isdecimal() or name != run_name(trial_id, int(attempt)):
            raise InvalidArgumentError.of("run", name, "expected the name of a run")
