"""The finished trials of a study, which a suggestion service is sent again and again.

Reading five thousand of them takes a hundred milliseconds, and the end of each trial asks for all of them. But a finished
trial never changes, so what has been read once stays right, and only those that have finished since have to be read: they bear
higher revisions, for the writes to a study follow one another. The last of those that are known is read with them: should it be
another, somebody has put back a copy of the database, and everything is read.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, select

from katib.domain.trial import FINISHED, Trial
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.rows import TRIAL_COLUMNS, trial_from_row
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, by_index
from katib.manager.storage.sql.studies import require_study
from katib.manager.storage.sql.tables import trials
from katib.manager.storage.sql.trials import in_states

# Of all studies together, in bytes. What is beyond is read anew each time.
_MOST: Final = 48 * 1024 * 1024
# What a trial takes in memory, and each of its parameters and tags, beside the texts that may be long; and what a study does.
_BESIDE: Final = 500
_BESIDE_EACH: Final = 130

_FINISHED_AFTER: Final = Statement(
    by_index(
        trials,
        "ix_trials_study_id_revision",
        select(*TRIAL_COLUMNS).where(
            trials.c.study_id == bindparam("study"), trials.c.revision > bindparam("revision"), in_states(FINISHED)
        ),
    )
)
_TRIAL: Final = Statement(select(*TRIAL_COLUMNS).where(trials.c.id == bindparam("trial")))


class _Known:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.revision = 0
        self.trials: tuple[Trial, ...] = ()
        # One of those of `revision`.
        self.last: Trial | None = None
        self.memory = _BESIDE

    def learn(self, new: Sequence[Trial]) -> None:
        if new:
            self.trials = tuple(sorted((*self.trials, *new), key=lambda trial: trial.number))
            self.last = max(new, key=lambda trial: trial.revision)
            self.revision = self.last.revision
            self.memory += sum(map(memory_of, new))

    def clear(self) -> None:
        self.revision, self.trials, self.last, self.memory = 0, (), None, _BESIDE


class History:
    """The finished trials of the studies that were asked for last."""

    def __init__(self, database: Database, most: int = _MOST) -> None:
        self._database = database
        self._most = most
        self._lock = threading.Lock()
        # The one asked for last comes last.
        self._studies: OrderedDict[str, _Known] = OrderedDict()

    def finished_trials(self, study_id: str) -> Sequence[Trial]:
        """By number. Raises NotFoundError when there is no such study."""
        with self._lock:
            known = self._studies.setdefault(study_id, _Known())
            self._studies.move_to_end(study_id)
        try:
            # Those who ask for the same study at the same time read it once.
            with known.lock:
                if not self._database.read(lambda session: _learn(session, study_id, known)):
                    known.clear()
                    self._database.read(lambda session: _learn(session, study_id, known))
                return known.trials
        finally:
            self._trim()

    def forget(self, study_id: str) -> None:
        """Of a study that is gone."""
        with self._lock:
            self._studies.pop(study_id, None)

    def _trim(self) -> None:
        with self._lock:
            total = sum(known.memory for known in self._studies.values())
            while total > self._most:
                _, known = self._studies.popitem(last=False)
                total -= known.memory


def memory_of(trial: Trial) -> int:
    """About how many bytes it takes."""
    texts = len(trial.message) + sum(len(p.value) for p in trial.parameters) + sum(len(t.value) for t in trial.tags)
    return _BESIDE + _BESIDE_EACH * (len(trial.parameters) + len(trial.tags)) + texts


def _learn(session: Session, study_id: str, known: _Known) -> bool:
    """What has finished since. False, and nothing, when what is known is not what there is."""
    require_study(session, study_id)
    if known.last is not None:
        row = session.row(_TRIAL, trial=known.last.id)
        if row is None or _end_of(trial_from_row(row)) != _end_of(known.last):
            return False
    known.learn([trial_from_row(row) for row in session.rows(_FINISHED_AFTER, study=study_id, revision=known.revision)])
    return True


def _end_of(trial: Trial) -> tuple[object, ...]:
    """No two ends have the same, even of one trial: an objective that is no number would differ from itself."""
    return trial.revision, trial.state, trial.ended_at
