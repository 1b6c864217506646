"""Removing a study with everything of it, without holding up other writers.

First, in one transaction, the study's row is marked: from then on nobody sees the study, its trials or its observations. Then
its trials are deleted in chunks, each a transaction, with other writes between them; the row itself goes last. A process that
ends in between leaves the marked row, and so does one that loses the database. Whoever opens the database next carries on, and
whoever has it open looks for such rows when it is there again and now and then.

That the study was deleted is remembered for a while: a worker may name runs of it that nobody has taken away, and a study that
nobody knows may as well be one of another database.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from katib.domain.errors import KatibError
from katib.domain.times import period_to_micros_or_none
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.rows import DELETED, DELETED_ACTIVE
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.studies import THERE
from katib.manager.storage.sql.tables import (
    attempts,
    deleted_studies,
    model_deliveries,
    observations,
    studies,
    study_grants,
    trials,
)

_log: Final = logging.getLogger(__name__)

# A chunk takes a few milliseconds: trials, and observations, at most about this many.
_TRIALS: Final = 250
_OBSERVATIONS: Final = 5000
# Between chunks. Another process that waits for SQLite's lock looks for it every 25 ms at first, and would miss a shorter gap.
_PAUSE_S: Final = 0.03
# Between two looks for what was broken off, each a statement that finds its rows by an index.
_LOOK_S: Final = 60.0
# Longer than no manager is there.
_REMEMBERED: Final = timedelta(days=30)
_FORGOTTEN_AT_ONCE: Final = 500

# Without name, request id and algorithm: nobody finds it by these, and a request id may be used again.
_MARK: Final = Statement(
    update(studies)
    .where(studies.c.id == bindparam("study"), THERE)
    .values(
        state=DELETED,
        active=DELETED_ACTIVE,
        name="",
        request_id=None,
        algorithm="",
        rule="",
        revision=studies.c.revision + 1,
    )
)
_MARKED: Final = Statement(select(studies.c.id).where(studies.c.active == DELETED_ACTIVE))
_TRIALS_LEFT: Final = Statement(
    select(trials.c.id, trials.c.taken, trials.c.attempt)
    .where(trials.c.study_id == bindparam("study"))
    .order_by(trials.c.number)
    .limit(_TRIALS)
)
_END_OF_CHUNK: Final = Statement(
    select(observations.c.attempt, observations.c.seq)
    .where(observations.c.trial_id == bindparam("trial"))
    .order_by(observations.c.attempt, observations.c.seq)
    .limit(1)
    .offset(_OBSERVATIONS)
)
_DELETE_CHUNK: Final = Statement(
    delete(observations).where(
        observations.c.trial_id == bindparam("trial"),
        or_(
            observations.c.attempt < bindparam("attempt"),
            and_(observations.c.attempt == bindparam("attempt"), observations.c.seq < bindparam("seq")),
        ),
    )
)
_DELETE_OBSERVATIONS: Final = Statement(delete(observations).where(observations.c.trial_id == bindparam("trial")))
_DELETE_ATTEMPTS: Final = Statement(delete(attempts).where(attempts.c.trial_id == bindparam("trial")))
_DELETE_TRIAL: Final = Statement(delete(trials).where(trials.c.id == bindparam("trial")))
_DELETE_DELIVERIES: Final = Statement(delete(model_deliveries).where(model_deliveries.c.study_id == bindparam("study")))
_DELETE_GRANTS: Final = Statement(delete(study_grants).where(study_grants.c.study_id == bindparam("study")))
_DELETE_STUDY: Final = Statement(delete(studies).where(studies.c.id == bindparam("study"), studies.c.state == DELETED))
_REMEMBER: Final = Statement(insert(deleted_studies).values(id=bindparam("id"), deleted_at=now_micros()))
_REMEMBERED_ONE: Final = Statement(select(deleted_studies.c.id).where(deleted_studies.c.id == bindparam("study")))
_OLD: Final = Statement(
    select(deleted_studies.c.id)
    .where(deleted_studies.c.deleted_at < now_micros() - bindparam("age"))
    .limit(_FORGOTTEN_AT_ONCE)
)
_FORGET: Final = Statement(delete(deleted_studies).where(deleted_studies.c.id == bindparam("study")))


class Deletions:
    """The removals of one storage. From `begin` on a thread of theirs finishes those that were broken off, by whomever."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._look = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def delete(self, study_id: str) -> None:
        """Returns when everything is removed. When it raises after the study was marked, the rest follows by itself."""
        with self._lock:
            self._under_way.add(study_id)
        whole = False
        try:
            if self._database.write(lambda session: _mark(session, study_id), study_id):
                _remove(self._database, study_id)
            whole = True
        finally:
            with self._lock:
                self._under_way.discard(study_id)
            # While the database is away there is no use in it: `look` is called when that is back.
            if not whole and self._database.presence.there:
                self._look.set()

    def finish(self) -> None:
        """Removes what was broken off."""
        for (study_id,) in self._database.read(lambda session: session.rows(_MARKED)):
            with self._lock:
                under_way = study_id in self._under_way
            if not under_way:
                _remove(self._database, study_id)
        old = self._database.read(lambda session: session.rows(_OLD, age=period_to_micros_or_none(_REMEMBERED)))
        if old:
            rows = [{"study": study_id} for (study_id,) in old]
            self._database.write(lambda session: session.write_all(_FORGET, rows))

    def was(self, study_id: str) -> bool:
        return self._database.read(lambda session: session.row(_REMEMBERED_ONE, study=study_id)) is not None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._finish_for_ever, name="deletions", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """There may be something to finish. Returns at once."""
        self._look.set()

    def close(self) -> None:
        """Before the database is closed, which ends a removal under way after its chunk."""
        self._closed = True
        self._look.set()

    def _finish_for_ever(self) -> None:
        while True:
            # Not all managers of a database at the same moment.
            self._look.wait(_LOOK_S * random.uniform(1.0, 1.5))  # noqa: S311
            if self._closed:
                return
            self._look.clear()
            try:
                self.finish()
            except KatibError as error:
                _log.debug("a removal cannot be finished now: %s", error)
            except Exception:  # noqa: BLE001 - nobody else would finish the next one
                _log.exception("a look for removals that were broken off failed")


def _remove(database: Database, study_id: str) -> None:
    while database.write(lambda session: _delete_chunk(session, study_id), study_id):
        time.sleep(_PAUSE_S)


def _mark(session: Session, study_id: str) -> bool:
    marked = session.write(_MARK, study=study_id) == 1
    if marked:
        session.touch(study_id)
        # Of a copy that was put back it may be there.
        session.write(_FORGET, study=study_id)
        session.write(_REMEMBER, id=study_id)
    return marked


def _delete_chunk(session: Session, study_id: str) -> bool:
    """Whether there is more to delete."""
    left = session.rows(_TRIALS_LEFT, study=study_id)
    if not left:
        session.write(_DELETE_DELIVERIES, study=study_id)
        session.write(_DELETE_GRANTS, study=study_id)
        session.write(_DELETE_STUDY, study=study_id)
        return False
    first, taken, _ = left[0]
    chunk = _fitting(left)
    if taken > _OBSERVATIONS:
        end = session.row(_END_OF_CHUNK, trial=first)
        if end is not None:
            session.write(_DELETE_CHUNK, trial=first, attempt=end[0], seq=end[1])
            return True
        chunk = [first]
    rows = [{"trial": trial_id} for trial_id in chunk]
    session.write_all(_DELETE_OBSERVATIONS, rows)
    session.write_all(_DELETE_ATTEMPTS, [{"trial": i} for i, _, attempt in left if attempt > 1 and i in chunk])
    session.write_all(_DELETE_TRIAL, rows)
    return True


def _fitting(left: Sequence[Row]) -> Sequence[str]:
    """As many of the first trials as have no more than a chunk's observations together."""
    chunk, total = [], 0
    for trial_id, taken, _ in left:
        total += taken
        if total > _OBSERVATIONS:
            break
        chunk.append(trial_id)
    return chunk
