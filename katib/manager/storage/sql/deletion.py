"""Removing a study with everything of it, without holding up other writers.

First, in one transaction, the study's row is marked: from then on nobody sees the study, its trials or its observations. Then
its trials are deleted in chunks, each a transaction, with other writes between them; the row itself goes last. A process that
ends in between leaves the marked row, and whoever opens the database next carries on.
"""

import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import and_, bindparam, delete, or_, select, update

from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.rows import DELETED, DELETED_ACTIVE
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.studies import THERE
from katib.manager.storage.sql.tables import attempts, observations, studies, trials

# A chunk takes a few milliseconds: trials, and observations, at most about this many.
_TRIALS: Final = 250
_OBSERVATIONS: Final = 5000
# Between chunks. Another process that waits for SQLite's lock looks for it every 25 ms at first, and would miss a shorter gap.
_PAUSE_S: Final = 0.03

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
_DELETE_STUDY: Final = Statement(delete(studies).where(studies.c.id == bindparam("study"), studies.c.state == DELETED))


def delete_study(database: Database, study_id: str) -> None:
    if database.write(lambda session: _mark(session, study_id)):
        _remove(database, study_id)


def finish_deletions(database: Database) -> None:
    """Removes what processes that ended in the middle of it have left."""
    for (study_id,) in database.read(lambda session: session.rows(_MARKED)):
        _remove(database, study_id)


def _remove(database: Database, study_id: str) -> None:
    while database.write(lambda session: _delete_chunk(session, study_id)):
        time.sleep(_PAUSE_S)


def _mark(session: Session, study_id: str) -> bool:
    marked = session.write(_MARK, study=study_id) == 1
    if marked:
        session.touch(study_id)
    return marked


def _delete_chunk(session: Session, study_id: str) -> bool:
    """Whether there is more to delete."""
    left = session.rows(_TRIALS_LEFT, study=study_id)
    if not left:
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
