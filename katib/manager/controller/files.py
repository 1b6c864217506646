"""Taking in what runs write to files that their study's metrics are read from."""

import logging
from dataclasses import replace
from typing import Final

from katib.domain.metric_lines import line_parser
from katib.domain.metrics import fold_objective
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.changes import Intake
from katib.manager.patterns import compile_pattern
from katib.worker.base import MetricPiece, RunStatus, Worker

_log: Final = logging.getLogger(__name__)

# How much of one run's files one pass takes in.
FILE_BYTES: Final = 256 * 1024


class FileReading:
    """How far one run's files have been read by this process. One that begins anew reads all of them again: what is stored
    already is passed over by its keys."""

    def __init__(self, worker: Worker, study: Study, run: RunStatus) -> None:
        spec = study.spec
        self.end = False
        parser = line_parser(spec.collector, spec.objective_name, spec.metric_names, compile_pattern)
        self._files = worker.metric_files(spec, study.id, run.name, parser)

    @property
    def path(self) -> str:
        return self._files.path

    @property
    def seen(self) -> list[str]:
        """Names of which there were values."""
        return list(self._files.seen)

    def read(self, study: Study, trial: Trial, run: RunStatus, intakes: list[Intake]) -> tuple[Trial, bool]:
        """The next piece; the trial as it will be, and whether there is more at once."""
        spec = study.spec
        ended = run.phase.ended
        try:
            piece = self._files.read(FILE_BYTES, ended=ended)
        except OSError as error:
            piece = MetricPiece()
            if ended:
                _log.warning("the metrics of %s cannot be read: %s", run.name, error, extra={"study_id": study.id})
        self.end = ended and piece.end
        if not piece.observations:
            return trial, not piece.end
        found = tuple(piece.observations)
        intakes.append(
            Intake(
                trial.id,
                trial.attempt,
                trial.cursor,
                trial.cursor,
                found,
                spec.objective_name,
                spec.objective_strategy,
            )
        )
        values = [o.value for o in found if o.name == spec.objective_name]
        return replace(trial, objective=fold_objective(trial.objective, values, spec.objective_strategy)), not piece.end
