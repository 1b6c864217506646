"""Taking in what runs write to files that their study's metrics are read from."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from katib.domain.metric_lines import line_parser
from katib.domain.metrics import fold_objective
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.changes import Intake
from katib.manager.patterns import compile_pattern
from katib.worker.base import RunPhase, RunStatus, Worker

_log: Final = logging.getLogger(__name__)

# How much of one run's files one pass takes in.
FILE_BYTES: Final = 256 * 1024
# How long after a run's end what cannot be read, its output or its files, is tried again.
TROUBLE_S: Final = 30.0
# How long a file is waited for that is not there: on a network's file system it may not be to be seen yet.
ABSENT_S: Final = 5.0


class FileReading:
    """How far one run's files have been read by this process. One that begins anew reads all of them again: what is stored
    already is passed over by its keys.

    `end`: the run has ended, and all has been read that will be. `trouble`: what could not be read, and why. `note`: the first
    that was to be known of the values in all. `waiting`: it is to be read again in a while.
    """

    def __init__(
        self, worker: Worker, study: Study, run: RunStatus, clock: Callable[[], float] = time.monotonic
    ) -> None:
        spec = study.spec
        self.end = False
        self.waiting = False
        self.trouble = ""
        self.note = ""
        self._clock = clock
        self._ended_at: float | None = None
        parser = line_parser(spec.collector, spec.objective_name, spec.metric_names, compile_pattern)
        self._files = worker.metric_files(spec, study.id, run.name, parser)

    @property
    def path(self) -> str:
        return self._files.path

    @property
    def warning(self) -> str:
        """What the trial is to say of values that may be missing or wrong."""
        return f"not all of its metrics could be read: {self.trouble}" if self.trouble else self.note

    @property
    def seen(self) -> list[str]:
        """Names of which there were values."""
        return list(self._files.seen)

    def read(self, study: Study, trial: Trial, run: RunStatus, intakes: list[Intake]) -> tuple[Trial, bool]:
        """The next piece; the trial as it will be, and whether there is more at once."""
        spec = study.spec
        ended = run.phase.ended
        now = self._clock()
        if ended and self._ended_at is None:
            self._ended_at = now
        piece = self._files.read(FILE_BYTES, ended=ended)
        if piece.trouble and piece.trouble != self.trouble:
            _log.warning("metrics of %s: %s", run.name, piece.trouble, extra={"study_id": study.id})
        self.trouble = piece.trouble
        if piece.note and not self.note:
            _log.warning("metrics of %s: %s", run.name, piece.note, extra={"study_id": study.id})
            self.note = piece.note
        # One that did not end well need not have written one.
        absent = piece.absent and run.phase is RunPhase.SUCCEEDED
        patience = TROUBLE_S if piece.trouble else ABSENT_S if absent else 0.0
        self.waiting = self._ended_at is not None and now < self._ended_at + patience
        self.end = ended and piece.end and not self.waiting
        if not piece.observations:
            return trial, not piece.end
        found = tuple(piece.observations)
        intakes.append(Intake(trial.id, trial.attempt, trial.cursor, trial.cursor, found))
        values = [o.value for o in found if o.name == spec.objective_name]
        return replace(trial, objective=fold_objective(trial.objective, values, spec.objective_strategy)), not piece.end
