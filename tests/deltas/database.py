"""A database to which happens what no program of ours does."""

import dataclasses
from typing import Any

from katib.manager.storage.memory import MemoryStorage
from tests.storage.builders import COMPLETED, ERROR, KILLED, RUNNING


class Database(MemoryStorage):
    """One that can be restored from a copy, and mended by hand."""

    def copy(self) -> Any:
        trial_ids = {study_id: list(ids) for study_id, ids in self._trial_ids.items()}
        observations = {trial_id: list(them) for trial_id, them in self._observations.items()}
        return dict(self._studies), dict(self._trials), trial_ids, observations, dict(self._attempts)

    def restore(self, copy: Any) -> None:
        studies, trials, trial_ids, observations, attempts = copy
        self._studies, self._trials, self._attempts = dict(studies), dict(trials), dict(attempts)
        self._trial_ids = {study_id: list(ids) for study_id, ids in trial_ids.items()}
        self._observations = {trial_id: list(them) for trial_id, them in observations.items()}

    def mend(self, trial: Any, **changes: Any) -> None:
        """As a transaction of whoever changes a trial that has finished."""
        study = self._studies[trial.study_id]
        revision = study.revision + 1
        self._studies[study.id] = dataclasses.replace(study, revision=revision)
        self._trials[trial.id] = dataclasses.replace(trial, revision=revision, **changes)

    def remove(self, trial: Any) -> None:
        study = self._studies[trial.study_id]
        counter = {COMPLETED: "completed", KILLED: "killed", ERROR: "failed"}[trial.state]
        fewer = {counter: getattr(study, counter) - 1, "revision": study.revision + 1}
        self._studies[study.id] = dataclasses.replace(study, **fewer)
        self._trial_ids[study.id].remove(trial.id)
        del self._trials[trial.id]

    def begin_anew(self, trial: Any) -> None:
        """A finished trial runs again."""
        study = self._studies[trial.study_id]
        counter = {COMPLETED: "completed", KILLED: "killed", ERROR: "failed"}[trial.state]
        fewer = {counter: getattr(study, counter) - 1, "running": study.running + 1}
        self._studies[study.id] = dataclasses.replace(study, **fewer)
        self.mend(trial, state=RUNNING, ended_at=None)
