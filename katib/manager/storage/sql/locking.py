"""Locks a study and reads of its trials what a write is about, and with the same statements what those behind it in the
group are about. See held.py for why that holds."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, bindparam, literal, or_, select, update

from katib.domain.errors import NotFoundError
from katib.domain.trial import UNFINISHED, Trial
from katib.manager.storage.leases import is_free
from katib.manager.storage.sql.columns import now_micros
from katib.manager.storage.sql.held import About, HeldStudy, Instant
from katib.manager.storage.sql.rows import STUDY_COLUMNS, TRIAL_COLUMNS, trial_from_row
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement, by_index, filled, parameters
from katib.manager.storage.sql.studies import LOCK, THERE, hold, lock_study
from katib.manager.storage.sql.tables import studies, trials
from katib.manager.storage.sql.trials import IS_RUNNING, in_states

_LOCK_BY_TRIAL: Final = Statement(
    select(*STUDY_COLUMNS, now_micros())
    .where(studies.c.id == select(trials.c.study_id).where(trials.c.id == bindparam("trial")).scalar_subquery(), THERE)
    .with_for_update()
)
_with_taken: Final = select(*TRIAL_COLUMNS, trials.c.taken).where(trials.c.study_id == bindparam("study"))
_LAPSED: Final = Statement(
    by_index(
        trials, "ix_trials_study_id_lease_ends", _with_taken.where(trials.c.lease_ends <= now_micros(), IS_RUNNING)
    )
    .order_by(trials.c.lease_ends)
    .limit(bindparam("size"))
)
_MEND: Final = Statement(
    update(trials)
    .where(trials.c.study_id == bindparam("study"), trials.c.lease_ends > literal(0), IS_RUNNING)
    .where(
        or_(
            trials.c.lease_ends > now_micros() + trials.c.lease,
            and_(
                trials.c.lease_ends > bindparam("alive"),
                trials.c.lease_ends <= trials.c.lease + bindparam("given_until"),
            ),
        )
    )
    .values(lease_ends=now_micros() + trials.c.lease)
)
# Later than any lease ends.
_NEVER: Final = 2**62
# Of those whose lease is over, which are many after many clients died at once: enough for a group of clients that ask for a few
# each; and more than anybody may ask for, since some may be about to end, or have been handed on before.
_SOME: Final = 64
_MANY: Final = 2000

Read = tuple[Statement, Mapping[str, Any]]


def lock_trial(session: Session, trial_id: str) -> tuple[HeldStudy, Trial, int]:
    """The trial's study, which is locked, the trial as it stays, and its last `seq`. Raises NotFoundError."""
    held = session.held
    if trial_id not in held.trials:
        _read(session, (_LOCK_BY_TRIAL, {"trial": trial_id}), About(trial_id=trial_id))
    if trial_id not in held.trials:
        raise NotFoundError(f"there is no trial {trial_id}")
    trial, taken = held.trials[trial_id]
    return held.studies[trial.study_id], trial, taken


def lock_clients(session: Session, study_id: str, client_ids: Iterable[str]) -> HeldStudy:
    """The study, which is locked, and with it, in one round trip, what `Held.of_client` has of each. Raises NotFoundError."""
    held = session.held
    new = [About(study_id=study_id, client_id=i) for i in client_ids if (study_id, i) not in held.of_clients]
    if new:
        _read(session, (LOCK, {"study": study_id}), *new)
        if study_id not in held.studies:
            raise NotFoundError(f"there is no study {study_id}")
    return held.studies[study_id]


def lock_client(
    session: Session, study_id: str, client_id: str, count: int
) -> tuple[HeldStudy, Sequence[Trial], Sequence[Trial]]:
    """The study, which is locked, the client's unfinished trials, and those whose lease may be over, the one that has been for
    longest first: `count` to hand on, if there are so many. Raises NotFoundError."""
    study = lock_clients(session, study_id, (client_id,))
    held = session.held
    if session.clock.is_due(study_id) and study_id not in session.mended and _mend(session, study_id):
        (rows,) = session.read((_LAPSED, {"study": study_id, "size": _SOME}))
        held.lapsed[study_id] = tuple(t.id for t in _learn(session, rows))
    mine = list(held.of_client(study_id, client_id))
    lapsed = list(held.named(held.lapsed[study_id]))
    if _SOME <= len(lapsed) < _MANY and sum(is_free(t, client_id, study.at) for t in lapsed) < count - len(mine):
        (rows,) = session.read((_LAPSED, {"study": study_id, "size": _MANY}))
        held.lapsed[study_id] = tuple(t.id for t in _learn(session, rows))
        lapsed = list(held.named(held.lapsed[study_id]))
    return study, mine, lapsed


def mend_study(session: Session, study_id: str) -> None:
    """Its leases, where it is due (clock.py). Nothing for a study that is not there."""
    with suppress(NotFoundError):
        lock_study(session, study_id)
        _mend(session, study_id)


def _mend(session: Session, study_id: str) -> bool:
    """Of a study that is locked. Whether some that were over may be no longer."""
    times_set, alive, given_until = session.clock.mending(study_id)
    session.mended[study_id] = times_set
    values = {"study": study_id, "alive": _NEVER if alive is None else alive, "given_until": given_until}
    session.write_all(_MEND, [values])
    return alive is not None


def _read(session: Session, lock: Read, *abouts: About) -> None:
    """The lock comes first: what is read behind it of a study's trials is then as it stays."""
    held = session.held
    every, session.expected = (*abouts, *session.expected), ()
    trial_ids = [i for i in dict.fromkeys(a.trial_id for a in every) if i and i not in held.trials]
    clients: dict[str, list[str]] = {}
    for study_id, client_id in dict.fromkeys((a.study_id, a.client_id) for a in every if a.client_id):
        if (study_id, client_id) not in held.of_clients:
            clients.setdefault(study_id, []).append(client_id)
    reads = [lock]
    if trial_ids:
        reads.append(read_by_ids(trial_ids))
    for study_id, names in clients.items():
        values = filled("client", names)
        reads.append((_of_clients(len(values)), {"study": study_id, **values}))
        reads.append((_LAPSED, {"study": study_id, "size": _SOME}))
    asked = Instant.now()
    locked, *found = session.read(*reads)
    if not locked:
        return
    hold(session, locked, locked[0][0], asked)
    rest = iter(found)
    if trial_ids:
        _learn(session, next(rest))
    for study_id, names in clients.items():
        of_clients, lapsed = next(rest), next(rest)
        # Read before it was locked, if it is another one.
        if study_id in held.studies:
            there = _learn(session, of_clients)
            for name in names:
                held.of_clients[study_id, name] = tuple(t.id for t in there if t.client_id == name)
            held.lapsed[study_id] = tuple(t.id for t in _learn(session, lapsed))


def _learn(session: Session, rows: Iterable[Row]) -> Sequence[Trial]:
    """From rows of TRIAL_COLUMNS and `taken`: those of held studies."""
    held = session.held
    found = []
    for row in rows:
        if row[1] in held.studies:
            # One that is there already, as a client's own trial that is also named by its id, is not taken apart again.
            if row[0] not in held.trials:
                held.trials[row[0]] = trial_from_row(row), int(row[-1])
            found.append(held.trials[row[0]][0])
    return found


def read_by_ids(trial_ids: Sequence[str]) -> Read:
    """TRIAL_COLUMNS and `taken` of each that is there."""
    values = filled("trial", trial_ids)
    return _by_ids(len(values)), values


@cache
def _by_ids(size: int) -> Statement:
    return Statement(select(*TRIAL_COLUMNS, trials.c.taken).where(trials.c.id.in_(parameters("trial", size))))


@cache
def _of_clients(size: int) -> Statement:
    of = _with_taken.where(trials.c.client_id.in_(parameters("client", size)), in_states(UNFINISHED))
    return Statement(by_index(trials, "ix_trials_study_id_client_id_state", of))
