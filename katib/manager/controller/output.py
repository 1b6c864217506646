"""Taking in what a study's runs have printed since the last pass."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from katib.domain.collector import MetricsSource
from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.metric_lines import LineParser, TextLines, line_parser, parse_output
from katib.domain.metrics import MAX_LINE, fold_objective
from katib.domain.names import run_name
from katib.domain.report_lines import parse_model
from katib.domain.study import Study, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import Intake
from katib.manager.controller.files import TROUBLE_S, FileReading
from katib.manager.controller.observed import Heard
from katib.manager.patterns import compile_pattern
from katib.worker.base import Output, RunPhase, RunStatus, Worker
from katib.worker.lines import line_text

_log: Final = logging.getLogger(__name__)

# How much of one run's output one pass takes in: a run that prints megabytes must not hold up its study's others.
OUTPUT_BYTES: Final = 256 * 1024
# How much of the end of its output explains a trial that failed.
_TAIL_BYTES: Final = 600
_TAIL_LINES: Final = 5
# How far back it is looked why there is no value of the objective: in the last half of it no line is longer than it seems.
_LOOKED_BYTES: Final = 2 * MAX_LINE
LOST: Final = "some of its output was lost before it was read: values that it printed may be missing"


@dataclass(slots=True)
class Reading:
    """How far a run's output has been read: further than stored where the rest held no metric. `lost`: not all of it could
    be, and `cause` why. `trouble`: why it cannot be read at present, or could not be; `given_up_at`: by the monotonic clock,
    when that is the end of it, once the run has ended."""

    cursor: str
    version: int = -1
    end: bool = False
    lost: bool = False
    cause: str = ""
    trouble: str = ""
    given_up_at: float | None = None
    # The worker could not be reached for it the last time, which was then.
    away: bool = False
    tried_at: float = 0.0
    files: FileReading | None = None

    @property
    def whole(self) -> bool:
        """The run has ended, and all that it said has been read."""
        return self.end and (self.files is None or self.files.end)

    @property
    def loss(self) -> str:
        """What there is to say where not all of the output was read."""
        why = self.trouble or self.cause
        return f"{LOST} ({why})" if why else LOST if self.lost else ""


@dataclass(slots=True)
class Taken:
    """What one pass took in.

    `trials` are those given, with the objective that `intakes`, once stored, will give them. `heard`, by the runs' names.
    `metrics`: there were new values. `more`: there is output left for another pass at once. `waiting`: something is to be read
    again in a while.
    """

    intakes: list[Intake] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    heard: defaultdict[str, Heard] = field(default_factory=lambda: defaultdict(Heard))
    metrics: bool = False
    more: bool = False
    waiting: bool = False


def take_in(
    worker: Worker,
    study: Study,
    trials: Sequence[Trial],
    runs: Mapping[str, RunStatus],
    readings: dict[str, Reading],
) -> Taken:
    """Reads each run from where its reading stands, and moves it. When the intakes cannot be stored, the readings are to be
    forgotten: what was read is read again."""
    taking = _Taking(worker, study)
    current = {run_name(t.id, t.attempt) for t in trials}
    for name in readings.keys() - current:
        del readings[name]
    # Of those that the worker could not be reached for one is tried: each may take its time.
    turn = min((r for r in readings.values() if r.away), key=lambda r: r.tried_at, default=None)
    for trial in trials:
        name = run_name(trial.id, trial.attempt)
        run = runs.get(name)
        after = trial
        if run is not None and trial.state is not TrialState.PENDING:
            reading = readings.setdefault(name, Reading(trial.cursor))
            after = taking.take(trial, run, reading, tried=not reading.away or reading is turn)
        taking.taken.trials.append(after)
    return taking.taken


class _Taking:
    """What one pass takes in of a study's runs, one after the other."""

    def __init__(self, worker: Worker, study: Study) -> None:
        self._worker = worker
        self._study = study
        self.taken = Taken()

    def take(self, trial: Trial, run: RunStatus, reading: Reading, *, tried: bool) -> Trial:
        """All there is of one run; the trial as it will be. `tried`: the worker may be asked for its output."""
        after = trial
        if not reading.end and (run.phase.ended or run.output_version != reading.version):
            after = self._read_or_note(trial, run, reading, tried=tried)
        if self._study.spec.collector.file_of_manager:
            after = self._read_files(after, run, reading)
        if reading.whole:
            self._drain(after, run, reading)
        return after

    def _read_or_note(self, trial: Trial, run: RunStatus, reading: Reading, *, tried: bool) -> Trial:
        """As `_read`; where the worker cannot be reached for it, or is not tried because it could not be the last time, that is
        noted and the trial stays as it is."""
        trouble = reading.trouble
        if tried:
            try:
                after = self._read(trial, run, reading)
            except UnavailableError as error:
                # As of a node that does not answer: the runs on others go on.
                reading.away, reading.tried_at, trouble = True, time.monotonic(), error.message
            else:
                reading.away = False
                return after
        self._not_read(run, reading, trouble, for_good=bool(trial.stop_reason))
        return trial

    def _drain(self, trial: Trial, run: RunStatus, reading: Reading) -> None:
        """The run has ended and all of it is read: what is left to say of that."""
        heard = self.taken.heard[run.name]
        heard.drained = True
        heard.warning = "; ".join(filter(None, (reading.loss, reading.files.warning if reading.files else "")))
        failed = run.phase is RunPhase.FAILED
        if trial.stop_reason or not (failed or trial.objective is None):
            return
        if not reading.cause:
            heard.tail = _tail(self._worker, self._study.id, run.name)
        elif failed:
            # Asked for once more it might take half a minute to be refused, and the others wait.
            heard.tail = f"({reading.cause})"

    def _read(self, trial: Trial, run: RunStatus, reading: Reading) -> Trial:
        """One run's next piece; returns the trial as it will be."""
        spec = self._study.spec
        output = self._worker.output(self._study.id, run.name, reading.cursor, OUTPUT_BYTES)
        if output.trouble:
            self._not_read(run, reading, output.trouble, for_good=True)
            return trial
        reading.trouble, reading.given_up_at = "", None
        if output.truncated:
            reading.lost, reading.cause = True, output.cause
            _log.warning("output was lost", extra={"study_id": self._study.id, "trial_id": trial.id, "run": run.name})
        # A run that has ended is asked again at once until its end; one that goes on, only while a pass cannot take it all.
        unread = not output.end and output.cursor != reading.cursor
        self.taken.more = self.taken.more or (unread and run.phase.ended) or _full(output)
        reading.cursor, reading.end = output.cursor, output.end
        reading.version = -1 if run.phase.ended else run.output_version
        observations = tuple(parse_output(output.lines, _parser(spec), trial.attempt))
        model = parse_model(output.lines)
        if not observations and not model and not (output.end and output.cursor != trial.cursor):
            return trial
        self.taken.metrics = self.taken.metrics or bool(observations)
        self.taken.intakes.append(Intake(trial.id, trial.attempt, trial.cursor, output.cursor, observations, model))
        values = [o.value for o in observations if o.name == spec.objective_name]
        return replace(
            trial,
            objective=fold_objective(trial.objective, values, spec.objective_strategy),
            cursor=output.cursor,
        )

    def _not_read(self, run: RunStatus, reading: Reading, trouble: str, *, for_good: bool) -> None:
        """It is looked at again in a while: the others go on. `for_good`: in the end it costs its own run its values."""
        now = time.monotonic()
        self.taken.heard[run.name].unread = trouble
        if trouble != reading.trouble:
            _log.warning("output of %s: %s", run.name, trouble, extra={"study_id": self._study.id})
        reading.trouble, reading.version = trouble, -1
        if for_good and run.phase.ended and reading.given_up_at is None:
            reading.given_up_at = now + TROUBLE_S
        reading.end = reading.given_up_at is not None and now >= reading.given_up_at
        self.taken.waiting = self.taken.waiting or not reading.end

    def _read_files(self, trial: Trial, run: RunStatus, reading: Reading) -> Trial:
        if reading.files is None:
            reading.files = FileReading(self._worker, self._study, run)
        # What is written last is there only when the run has ended; that was known before this looks.
        if reading.files.end:
            return trial
        before = len(self.taken.intakes)
        trial, more = reading.files.read(self._study, trial, run, self.taken.intakes)
        self.taken.metrics = self.taken.metrics or len(self.taken.intakes) > before
        self.taken.more = self.taken.more or more
        self.taken.waiting = self.taken.waiting or reading.files.waiting
        return trial


def _parser(spec: StudySpec) -> LineParser:
    """For what a run prints; where its metrics are in a file, only for reports that could not be sent."""
    if spec.collector.source is not MetricsSource.OUTPUT:
        return TextLines(())
    return line_parser(spec.collector, spec.objective_name, spec.metric_names, compile_pattern)


def _full(output: Output) -> bool:
    """Whether the worker may have more right now than it gave."""
    return sum(len(line.text) for line in output.lines) >= OUTPUT_BYTES // 2


def last_lines(worker: Worker, study_id: str, name: str, size: int) -> list[str]:
    """The lines in the last `size` bytes of a run's output, the first of them perhaps not whole."""
    try:
        data = worker.log(study_id, name, -size, size).data
    except NotFoundError:
        return []
    return [text for line in data.replace(b"\r", b"\n").split(b"\n") if (text := line_text(line).strip())]


def lines_looked_at(worker: Worker, study_id: str, name: str) -> tuple[list[str], list[str]]:
    """The lines at the end of a run's output, as they were read; and those of them that were too long to be read whole, with as
    much of their end as is at hand. A first one whose beginning is not at hand is left out, unless it is too long."""
    try:
        data = worker.log(study_id, name, -_LOOKED_BYTES, _LOOKED_BYTES).data
    except NotFoundError:
        return [], []
    pieces = data.replace(b"\r", b"\n").split(b"\n")
    long = [piece.decode(errors="replace") for piece in pieces if len(piece) > MAX_LINE]
    whole = pieces[1:] if len(data) >= _LOOKED_BYTES else pieces
    return [text for piece in whole if (text := line_text(piece).strip())], long


def _tail(worker: Worker, study_id: str, name: str) -> str:
    """The last lines of a run's output, for a message; without them where they cannot be had, for no run waits for that."""
    try:
        lines = last_lines(worker, study_id, name, _TAIL_BYTES)
    except UnavailableError as error:
        return f"({error.message})"
    text = " | ".join(lines[-_TAIL_LINES:])
    return "".join(c if c.isprintable() else "?" for c in text)
