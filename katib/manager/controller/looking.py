"""What a pass sees of a study's runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from katib.domain.errors import AbortedError, NotFoundError, UnavailableError
from katib.domain.metrics_missing import explain_missing, explain_missing_in_file, names_seen
from katib.domain.names import run_name
from katib.domain.study import Study
from katib.domain.trial import Trial, TrialState
from katib.manager.controller.output import Reading, Taken, lines_looked_at, take_in
from katib.manager.patterns import compile_pattern
from katib.manager.ports import Storage
from katib.worker.base import RunPhase, RunStatus, Worker

# How far back it is looked why there is no value of the objective.
_LOOKED_OBSERVATIONS: Final = 1000


class WorkerAwayError(UnavailableError):
    """It is the worker that cannot be reached."""


@contextmanager
def at_worker() -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        raise WorkerAwayError(error.message) from error


class Lookout:
    def __init__(self, worker: Worker, storage: Storage) -> None:
        self._worker = worker
        self._storage = storage

    def look(
        self, study: Study, trials: Sequence[Trial], readings: dict[str, Reading]
    ) -> tuple[Mapping[str, RunStatus], Taken]:
        """What the worker knows of the study's runs, and what they have printed."""
        unseen: dict[str, str] = {}
        with at_worker():
            runs = {} if study.spec.client_driven else self._list(study.id, trials, unseen)
        self._drop_if_old(trials, runs)
        with at_worker():
            taken = take_in(self._worker, study, trials, runs, readings)
        for name, why in unseen.items():
            taken.heard[name].unseen = why
        drained = {name for name, heard in taken.heard.items() if heard.drained}
        silent = {t.id for t in taken.trials if t.objective is None and run_name(t.id, t.attempt) in drained}
        if silent:
            # What a run reported as its last act may have come after the trials were read, and before it ended.
            fresh = {t.id: t.objective for t in self._storage.unfinished_trials(study.id)}
            taken.trials = [replace(t, objective=fresh.get(t.id)) if t.id in silent else t for t in taken.trials]
            for trial in taken.trials:
                name = run_name(trial.id, trial.attempt)
                if trial.id in silent and trial.objective is None and runs[name].phase is RunPhase.SUCCEEDED:
                    taken.heard[name].missing = self._missing(study, trial, name, readings[name])
        return runs, taken

    def _missing(self, study: Study, trial: Trial, run: str, reading: Reading) -> str:
        """Why a run that ended well has no value of the objective."""
        spec = study.spec
        files = reading.files
        if files is None and reading.loss:
            return f"it ended well but there is no value of {spec.objective_name}; {reading.loss}"
        try:
            lines, long = lines_looked_at(self._worker, study.id, run)
        except UnavailableError as error:
            return f"it ended well but there is no value of {spec.objective_name} that was read; {error.message}"
        reported, _ = self._storage.latest_observations(trial.id, _LOOKED_OBSERVATIONS)
        seen = [o.name for o in reported]
        if files is not None:
            if files.warning:
                return f"it ended well but there is no value of {spec.objective_name}; {files.warning}"
            return explain_missing_in_file(spec.objective_name, files.path, list(dict.fromkeys([*seen, *files.seen])))
        seen += names_seen(lines, spec.collector, compile_pattern)
        return explain_missing(spec.objective_name, spec.collector, lines, list(dict.fromkeys(seen)), long)

    def _list(self, study_id: str, trials: Sequence[Trial], unseen: dict[str, str]) -> Mapping[str, RunStatus]:
        """The study's runs. A worker's list may be a little old, as after a time in which another manager drove the study; so
        what should be in it and is not is asked for by its name. Else a run that lives would be ended as one that never began.
        Those for which it cannot be asked now go to `unseen`, with the reason: the others go on.
        """
        runs = {run.name: run for run in self._worker.list(study_id)}
        missing = [
            name
            for t in trials
            if t.state is TrialState.RUNNING or t.stop_reason
            if (name := run_name(t.id, t.attempt)) not in runs
        ]
        found = False
        for number, name in enumerate(missing):
            try:
                found = self._is_there(study_id, name) or found
            except UnavailableError as error:
                # Each may take its time to be refused, and all for the same reason.
                unseen.update(dict.fromkeys(missing[number:], error.message))
                break
        if found:
            runs = {run.name: run for run in self._worker.list(study_id)}
        return runs

    def _drop_if_old(self, trials: Sequence[Trial], runs: Mapping[str, RunStatus]) -> None:
        """Raises AbortedError when the runs are newer than the trials: then another manager drives the study."""
        current = {run_name(t.id, t.attempt) for t in trials}
        for run in runs.values():
            if run.name not in current and self._is_current(run):
                raise AbortedError(f"the run {run.name} began after the trials of the study were read")

    def _is_current(self, run: RunStatus) -> bool:
        """Whether a run that no trial in hand accounts for is one that another manager has begun since they were read. Read
        after the run was seen, the trial can only be that far or further: where it says no, the attempt is over for good."""
        try:
            trial = self._storage.get_trial(run.trial_id)
        except NotFoundError:
            return False
        return not trial.state.finished and trial.attempt == run.attempt

    def _is_there(self, study_id: str, run: str) -> bool:
        try:
            self._worker.output(study_id, run, "", 0)
        except NotFoundError:
            return False
        return True
