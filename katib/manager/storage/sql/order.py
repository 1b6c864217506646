"""In which order the writes of a group run.

Most of them lock the row of a study, which stays locked until the commit. Two managers whose groups are about the same studies,
each in the order in which its calls came, would hold what the other one needs: the server ends such a deadlock by undoing one
of the two, whose writes run once more then, one by one. So every manager goes through the studies of a group by their ids, and
through the writes to one study in the order in which they came.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import select

from katib.manager.storage.sql.group import Job
from katib.manager.storage.sql.held import About, Held
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, filled, parameters
from katib.manager.storage.sql.tables import trials

# Whose study is known: those that have not come up for longest go first.
_MOST_TRIALS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Write:
    """`shares`: it knows of what is held (held.py). `about`: what it will ask for, if that is known. `study_id`: the study that
    it locks, where `about` does not say."""

    function: Callable[[Session], Any]
    shares: bool = False
    about: About | None = None
    study_id: str = ""


class Order:
    """For one writer alone."""

    def __init__(self) -> None:
        # A trial stays in its study: what is here is never stale.
        self._study_of: OrderedDict[str, str] = OrderedDict()

    def learn(self, held: Held) -> None:
        """A transaction has been committed that ended with this."""
        self._learn((trial.id, trial.study_id) for trial, _ in held.trials.values())

    def runs(self, session: Session, jobs: Sequence[Job[Write]]) -> Sequence[Sequence[Job[Write]]]:
        """Those of one study at a time; last of all what locks none, or that of a trial which is not there. Reads of which
        study a trial is where that matters and is not known, as for one that another manager has given."""
        writes = [job.function for job in jobs]
        unknown = {_trial_id(write) for write in writes if not self._study_id(write)} - {""}
        if unknown and len({self._study_id(write) or _trial_id(write) for write in writes}) > 1:
            values = filled("trial", sorted(unknown))
            self._learn((row[0], row[1]) for row in session.rows(_studies_of(len(values)), **values))

        def place(job: Job[Write]) -> tuple[bool, str]:
            study_id = self._study_id(job.function)
            return not study_id, study_id

        return [list(run) for _, run in groupby(sorted(jobs, key=place), place)]

    def _study_id(self, write: Write) -> str:
        """Empty as long as it is not known."""
        study_id = write.study_id or (write.about.study_id if write.about else "")
        return study_id or self._study_of.get(_trial_id(write), "")

    def _learn(self, found: Iterable[tuple[str, str]]) -> None:
        for trial_id, study_id in found:
            self._study_of[trial_id] = study_id
            self._study_of.move_to_end(trial_id)
        while len(self._study_of) > _MOST_TRIALS:
            self._study_of.popitem(last=False)


def _trial_id(write: Write) -> str:
    return write.about.trial_id if write.about else ""


@cache
def _studies_of(size: int) -> Statement:
    return Statement(select(trials.c.id, trials.c.study_id).where(trials.c.id.in_(parameters("trial", size))))
