"""What a writer knows of studies from one transaction to the next.

Nothing of a study or of its trials changes without the study's revision being raised, but that a lease is renewed. So what was
known at a revision may be taken for what is there, without a lock and without being read, if the first thing that the
transaction writes is the study's row, on condition that it still has that revision: this takes the lock, and where no such row
is found, all is undone and done again as ever, with a lock first. Clients that go through their trials one by one ask for just
what the transaction before has written, which on MySQL and MariaDB saves one of three round trips, and the server three of its
statements.

Leases end by themselves. So for how long it has been known that none is over counts too (`_FRESH_S`), and a study in which one
is over is not assumed to be anything.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import bindparam, select

from katib.domain.study import Study
from katib.domain.trial import UNFINISHED, Trial
from katib.manager.storage.sql.held import About, Held, HeldStudy, Instant
from katib.manager.storage.sql.session import Session, StaleError
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.tables import studies

# For so long a trial whose lease is over may lie before it is handed on, and the database's clock is told by ours.
_FRESH_S: Final = 1.0
# Where another process writes to the same study, each assumption costs a transaction that is undone.
_CONTESTED_S: Final = 5.0
# Studies, and unfinished trials of all of them together: the study that has not been written for longest goes first.
_MOST_STUDIES: Final = 64
_MOST_TRIALS: Final = 4096
# Of one study: the client that came first goes first.
_MOST_CLIENTS: Final = 1024
_MOST_CONTESTED: Final = 256

# Whether a study is at the revision that it is assumed to be at: from then on it is locked.
_GUARD: Final = Statement(
    select(studies.c.id)
    .where(studies.c.id == bindparam("study"), studies.c.revision == bindparam("assumed"))
    .with_for_update()
)


@dataclass(slots=True)
class _Study:
    study: Study
    # Unfinished ones, each with its last `seq`.
    trials: dict[str, tuple[Trial, int]] = field(default_factory=dict)
    # Of each client that is known: the ids of all that it has unfinished.
    clients: dict[str, dict[str, None]] = field(default_factory=dict)
    # When it was last seen that no lease was over, by our clocks and by the database's.
    seen: Instant | None = None
    at: datetime = datetime.min


class Kept:
    """For one writer alone."""

    def __init__(self, clock: Callable[[], Instant] = Instant.now) -> None:
        self._clock: Final = clock
        self._studies: OrderedDict[str, _Study] = OrderedDict()
        self._study_of: dict[str, str] = {}
        self._contested: OrderedDict[str, float] = OrderedDict()

    def assume(self, abouts: Sequence[About]) -> Held | None:
        """What is taken for known in a transaction about all these. None where not all is."""
        now, held = self._clock(), Held()
        for about in abouts:
            study_id = self._study_of.get(about.trial_id, "") if about.trial_id else about.study_id
            kept = self._studies.get(study_id)
            if kept is None or kept.seen is None or (age := now.since(kept.seen)) > _FRESH_S:
                return None
            if study_id not in held.studies:
                at = kept.at + timedelta(seconds=age)
                held.studies[study_id] = HeldStudy(kept.study, kept.study, at, now, assumed=True)
                held.lapsed[study_id] = ()
            if about.trial_id:
                held.trials[about.trial_id] = kept.trials[about.trial_id]
            if about.client_id:
                mine = kept.clients.get(about.client_id)
                if mine is None or about.study_id != study_id:
                    return None
                held.of_clients[study_id, about.client_id] = tuple(mine)
                held.trials |= {trial_id: kept.trials[trial_id] for trial_id in mine}
        return held

    def check(self, assumed: Held) -> None:
        """Raises StaleError where so long has gone by since this was assumed, as for a process that stood still, that leases
        given by its time may be over."""
        now = self._clock()
        for study_id, there in assumed.studies.items():
            if there.assumed and now.since(there.asked) > _FRESH_S:
                raise StaleError(study_id)

    def learn(self, held: Held) -> None:
        """A transaction has been committed that ended with this."""
        now = self._clock().monotonic
        found: dict[str, list[tuple[Trial, int]]] = {study_id: [] for study_id in held.studies}
        asked: dict[str, dict[str, dict[str, None]]] = {study_id: {} for study_id in held.studies}
        for study_id, client_id in held.of_clients:
            asked[study_id][client_id] = {}
        for trial, taken in held.trials.values():
            found[trial.study_id].append((trial, taken))
            mine = asked[trial.study_id].get(trial.client_id)
            if mine is not None and trial.state in UNFINISHED:
                mine[trial.id] = None
        for study_id, there in held.studies.items():
            kept = self._studies.get(study_id)
            if kept is None or kept.study.revision != there.stored.revision:
                self._drop(study_id)
                if not asked[study_id] or self._contested.get(study_id, now) > now:
                    continue
                kept = self._studies[study_id] = _Study(there.study)
            self._studies.move_to_end(study_id)
            kept.study = there.study
            if not there.assumed and study_id in held.lapsed:
                kept.seen, kept.at = (None if held.lapsed[study_id] else there.asked), there.at
            kept.clients |= asked[study_id]
            self._learn_trials(study_id, kept, found[study_id])
            while len(kept.clients) > _MOST_CLIENTS:
                del kept.clients[next(iter(kept.clients))]
        while len(self._study_of) > _MOST_TRIALS or len(self._studies) > _MOST_STUDIES:
            self._drop(next(iter(self._studies)))

    def contest(self, study_id: str) -> None:
        """It was not as it was assumed to be."""
        self._drop(study_id)
        self._contested[study_id] = self._clock().monotonic + _CONTESTED_S
        self._contested.move_to_end(study_id)
        while len(self._contested) > _MOST_CONTESTED:
            self._contested.popitem(last=False)

    def forget(self, study_ids: Iterable[str]) -> None:
        for study_id in study_ids:
            self._drop(study_id)

    def clear(self) -> None:
        self._studies.clear()
        self._study_of.clear()

    def _learn_trials(self, study_id: str, kept: _Study, found: Iterable[tuple[Trial, int]]) -> None:
        for trial, taken in found:
            before = kept.trials.pop(trial.id, None)
            if before is not None and before[0].client_id != trial.client_id:
                kept.clients.get(before[0].client_id, {}).pop(trial.id, None)
            mine = kept.clients.get(trial.client_id)
            if trial.state in UNFINISHED:
                kept.trials[trial.id], self._study_of[trial.id] = (trial, taken), study_id
                if mine is not None:
                    mine[trial.id] = None
            else:
                self._study_of.pop(trial.id, None)
                if mine is not None:
                    mine.pop(trial.id, None)

    def _drop(self, study_id: str) -> None:
        kept = self._studies.pop(study_id, None)
        if kept is not None:
            for trial_id in kept.trials:
                del self._study_of[trial_id]


def assume(session: Session, held: Held) -> None:
    """Takes what is held for what is there, which is made sure of before anything else is written."""
    guards = {}
    for study_id, there in held.studies.items():
        values = {"study": study_id, "assumed": there.stored.revision}
        guards[study_id] = partial(session.guard, study_id, _GUARD, values)
    session.assume(held, guards)
