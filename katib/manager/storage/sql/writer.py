"""One writer at a time in a process, and group commit.

A write is a function of a Session. What is queued while another write is at work (see group.py) runs in one transaction and is
committed once, without waiting for more: under load the cost of a commit is shared, alone nobody waits for company. The order
in which they run is that of order.py.

What happens when something fails:

- What was assumed of a study (see kept.py) was wrong: the batch runs again, and assumes nothing.
- A function that raises before its first write has changed nothing: its caller gets the error, the batch goes on.
- When one raises after it has written, or the database fails (a deadlock, a lost connection), the whole transaction is rolled
  back and each function runs again in a transaction of its own, so that only the guilty one fails. This is safe however often
  it happens: a transaction whose COMMIT was never sent is undone by the database, also when the connection is lost.
- One that finds locked what it needs, for longer than the database is told to wait, is refused at once: another try would hold
  up everybody once more. When that happens to several of a batch, it is not one study that is locked, and all are refused.
- A server that gives no answer at all is not waited for a second time: it is away from then on (see presence.py), and what is
  queued is refused at once with that reason.
- When the connection is lost *during COMMIT*, nobody knows whether it took place. Nothing is run again then, since what a
  function decided in the first run need not be what it decides on top of its own outcome (trials would be added twice, a move
  be refused to the one who made it). Its callers get UnavailableError, which says so, and look: the controller reads what is
  stored before it acts, and what clients may send again carries a key (a request id, an observation's position, the number of
  trials expected). Those who subscribed are told, for it may have taken place.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy.pool import PoolProxiedConnection

from katib.domain.errors import KatibError, UnavailableError
from katib.manager.storage.sql.clock import DatabaseClock
from katib.manager.storage.sql.connections import Connections
from katib.manager.storage.sql.failures import Failure, failure_of
from katib.manager.storage.sql.group import Group, Job
from katib.manager.storage.sql.held import About, Held
from katib.manager.storage.sql.kept import Kept, assume
from katib.manager.storage.sql.order import Order, Write
from katib.manager.storage.sql.session import Session, StaleError, make_session

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)

# Bounds how long a single write waits for its batch, and how much is done again when one of them fails.
MAX_BATCH: Final = 64
# Before another try. Deadlocks resolve at the first or second; a database that restarts takes longer than is worth holding
# the others back.
_PAUSES_S: Final = (0.05, 0.1, 0.2)
# Each costs a wait for a lock, and those who come behind it the same.
_LOCKED_AT_MOST: Final = 3
# Longer than all tries and lock waits of a batch that goes wrong.
_DEADLINE_S: Final = 120.0


class _NotBegunError(UnavailableError):
    """No transaction could be begun: nothing has happened, and the next one would fare no better."""


class _UnknownOutcomeError(UnavailableError):
    """The connection was lost while it committed."""


class _LockedError(UnavailableError):
    """A lock was not to be had: by this job, or where none is named, by the whole transaction. Nothing has happened."""

    job: Job[Write] | None = None


class Writer:
    """Runs functions one after the other, several to a transaction."""

    def __init__(
        self, connections: Connections, tell: Callable[[Iterable[str]], None], clock: DatabaseClock | None = None
    ) -> None:
        """`tell` is called with the studies that a commit is about, after it and before those who wait for it go on."""
        self._connections = connections
        self._dialect = connections.dialect
        self._tell = tell
        self._clock = clock or DatabaseClock()
        self._connection: PoolProxiedConnection | None = None
        self._kept = Kept()
        self._order = Order()
        self._group: Group[Write] = Group(self._work_or_drop, MAX_BATCH, _DEADLINE_S, connections.where)

    def write(
        self, function: Callable[[Session], T], *, shares: bool = False, about: About | None = None, study_id: str = ""
    ) -> T:
        """The function's result, once it is committed. The function may run more than once and must not wait for others.
        The rest as in Write.

        Raises what the function raised; UnavailableError when the database does not work; DeadlineExceededError when it took
        too long.
        """
        result: T = self._group.do(Write(function, shares, about, study_id))
        return result

    def close(self) -> None:
        """Finishes what is queued and lets go of the connection."""
        self._group.close()
        self._drop()

    def _work_or_drop(self, jobs: Sequence[Job[Write]]) -> None:
        try:
            self._work(jobs)
        except BaseException:
            # None of ours, but one that came from outside into this thread: in what state it leaves the connection is unknown.
            self._drop()
            raise

    def _work(self, jobs: Sequence[Job[Write]]) -> None:
        locked = 0
        while len(jobs) > 1:
            try:
                self._transact(jobs)
                return
            except (_NotBegunError, _UnknownOutcomeError) as error:
                _fail_all(jobs, error)
                return
            except _LockedError as error:
                locked += 1
                if error.job is None or locked == _LOCKED_AT_MOST:
                    _fail_all(jobs, error)
                    return
                error.job.fail(error)
                jobs = [job for job in jobs if job is not error.job]
            except Exception:  # noqa: BLE001 - each finds its own error, if it still has one
                _log.debug("a batch of %d writes is run again one by one", len(jobs), exc_info=True)
                break
        for i, job in enumerate(jobs):
            try:
                self._work_alone(job)
            except _NotBegunError as error:
                _fail_all(jobs[i:], error)
                return

    def _work_alone(self, job: Job[Write]) -> None:
        """Brings the job to its end, or raises _NotBegunError."""
        for pause in (*_PAUSES_S, None):
            try:
                self._transact([job])
            except _NotBegunError:
                raise
            except self._connections.errors as error:
                if pause is not None and failure_of(error, self._dialect) in (Failure.LOST, Failure.BUSY):
                    time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  # apart from whom it met, not a secret
                    continue
                failure = self._connections.explain(error)
                failure.__cause__ = error
                job.fail(failure)
            except Exception as error:  # noqa: BLE001 - whatever the function raised belongs to its caller
                job.fail(error)
            return

    def _transact(self, jobs: Sequence[Job[Write]]) -> None:
        """One transaction. Either it is committed and every job is at its end, or it raises: then, but for
        _UnknownOutcomeError, nothing has happened."""
        abouts = _abouts_of(jobs)
        assumed = self._kept.assume(abouts) if len(abouts) == len(jobs) else None
        if assumed is not None:
            try:
                self._try(jobs, assumed)
                return
            except (_NotBegunError, _UnknownOutcomeError):
                raise
            except StaleError as error:
                self._kept.contest(error.study_id)
                _log.debug("a batch of %d writes is run again: %s", len(jobs), error)
            except Exception as error:
                # What was assumed may have a part in it.
                self._kept.forget(assumed.studies)
                if isinstance(error, _LockedError) and len(assumed.studies) == 1:
                    # All are about this one, and have waited for it.
                    error.job = None
                    raise
                if self._connection is None:
                    raise
                _log.debug("a batch of %d writes is run again, and assumes nothing", len(jobs), exc_info=True)
        self._try(jobs, None)

    def _try(self, jobs: Sequence[Job[Write]], assumed: Held | None) -> None:
        began = time.monotonic()
        session = self._begin()
        done: list[tuple[Job[Write], Any, KatibError | None]] = []
        job: Job[Write] | None = None
        try:
            if assumed is not None:
                assume(session, assumed)
            for run in self._runs(session, jobs, assumed):
                if assumed is None:
                    session.expected = _abouts_of(run)
                for job in run:
                    # What it reads is as the others have left it, and what it changes they must not take for known.
                    alone = not job.function.shares
                    if alone:
                        session.settle()
                    writes = session.writes
                    try:
                        result = job.function.function(session)
                        if alone:
                            session.settle()
                        done.append((job, result, None))
                    except KatibError as error:
                        if session.writes != writes:
                            raise
                        done.append((job, None, error))
            if assumed is not None:
                self._kept.check(assumed)
            session.settle()
            session.close()
        except Exception as error:
            failure = self._connections.failure(error, began)
            session.close()
            self._undo()
            if failure is Failure.LOCKED:
                raise self._locked(error, job) from error
            raise
        self._commit(session, began)
        self._learn(session.settled)
        for study_id, times_set in session.mended.items():
            self._clock.mended(study_id, times_set)
        self._tell(session.touched)
        for job, result, refusal in done:
            if refusal is None:
                job.succeed(result)
            else:
                job.fail(refusal)

    def _runs(
        self, session: Session, jobs: Sequence[Job[Write]], assumed: Held | None
    ) -> Sequence[Sequence[Job[Write]]]:
        # SQLite's one lock is there already, and what is assumed is locked by the session, all at once.
        if self._dialect.name == "sqlite" or assumed is not None:
            return [jobs]
        return self._order.runs(session, jobs)

    def _learn(self, settled: Iterable[Held]) -> None:
        try:
            for held in settled:
                self._kept.learn(held)
                self._order.learn(held)
        except Exception:  # noqa: BLE001 - it is committed, and nothing is lost by knowing nothing
            self._kept.clear()
            _log.exception("what was written is not kept")

    def _begin(self) -> Session:
        for last in (False, True):
            began = time.monotonic()
            try:
                self._connections.check()
                fresh = self._connection is None
                if self._connection is None:
                    self._connection = self._connections.take()
                session = make_session(self._connection, self._dialect, self._clock)
                try:
                    if self._dialect.name == "sqlite":
                        session.execute("BEGIN IMMEDIATE")
                    elif fresh:
                        # From then on it begins by itself with the first statement, which saves a round trip each time.
                        session.execute("SET autocommit = 0")
                except BaseException:
                    session.close()
                    raise
                return session
            except KatibError as error:
                raise _NotBegunError(error.message) from error
            except self._connections.errors as error:
                self._drop()
                # A connection that the server closed while it lay idle.
                if self._connections.failure(error, began) is not Failure.LOST or last:
                    raise _NotBegunError(self._connections.explain(error).message) from error
        raise AssertionError  # the last time round returns or raises

    def _commit(self, session: Session, began: float) -> None:
        assert self._connection is not None
        try:
            self._connection.commit()
        except Exception as error:
            failure = self._connections.failure(error, began)
            self._undo()
            if failure is Failure.LOCKED:
                # Before it began to commit, and then it has been rolled back.
                raise self._locked(error, None) from error
            # SQLite says what it did not do; what failed for another transaction has been rolled back.
            if self._dialect.name == "sqlite" or failure is Failure.BUSY:
                raise
            self._kept.clear()
            self._tell(session.touched)
            raise _UnknownOutcomeError(
                f"the connection to the database {self._connections.where} was lost while it committed; "
                "whether it was stored is unknown: look before you try again"
            ) from error

    def _locked(self, error: Exception, job: Job[Write] | None) -> _LockedError:
        locked = _LockedError(self._connections.explain(error).message)
        locked.job = job
        return locked

    def _undo(self) -> None:
        """Rolls back; where that fails, the database does it for want of a connection."""
        assert self._connection is not None
        try:
            self._connection.rollback()
        except self._connections.errors:
            self._drop()

    def _drop(self) -> None:
        """Lets go of the connection; the next transaction gets another."""
        connection, self._connection = self._connection, None
        # Whatever is there when there is another one.
        self._kept.clear()
        if connection is not None:
            connection.invalidate()
            connection.close()


def _abouts_of(jobs: Sequence[Job[Write]]) -> list[About]:
    return [job.function.about for job in jobs if job.function.about is not None]


def _fail_all(jobs: Sequence[Job[Write]], error: KatibError) -> None:
    for job in jobs:
        # Each its own: an exception that several threads raise would collect the tracebacks of all of them.
        failure = type(error)(str(error))
        failure.__cause__ = error.__cause__
        job.fail(failure)
