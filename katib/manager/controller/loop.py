"""The controller's threads: passes over studies that were woken, the heartbeat, and the look for studies to take over."""

import logging
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Final

from katib.domain.backoff import backoff, by_chance
from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.study import Study
from katib.manager.controller.claims import Claims, Identity
from katib.manager.controller.lease import Lease
from katib.manager.controller.means import LeaseOverError, Means, Outside
from katib.manager.controller.queue import KeyedQueue
from katib.manager.controller.reconcile import Reconciler
from katib.manager.seldom import Seldom
from katib.manager.service_ports import History

_log: Final = logging.getLogger(__name__)

# A pass takes milliseconds and is mostly Python; more threads only help while one waits for the database.
THREADS: Final = 4
# Several heartbeats fit in a lease, so that one that is late costs nothing. With a long lease they come as often as with the
# usual one, for a manager that was given a shorter one judges by its own.
LEASE_S: Final = 10.0
_HEARTBEATS_PER_LEASE: Final = 4
# How often changes that other managers' clients made to our studies are looked for, and studies that nobody drives: at least so
# often, and several times in a lease, so that they move within two.
_LOOK_S: Final = 1.0
_LOOKS_PER_LEASE: Final = 4
_RETRY_FIRST_S: Final = 0.2
_RETRY_MOST_S: Final = 30.0
# A try costs next to nothing while the database is known to be away.
_AWAY_MOST_S: Final = 1.0
_SAY_S: Final = 60.0
# How long the end waits for the passes under way: longer than the waits of one, for the worker (20 s) and then for the database
# (15 s), and short enough to hand over and be gone before a Pod's grace period (60 s) is over.
STOP_S: Final = 40.0
# What is waited for by the time of day is looked at so often in between: the clock may have been set.
_LOOK_AGAIN_S: Final = 300.0
# How long a study that clients drive may wait for a pass: its trials are theirs to move, and whoever sees that it has come to
# its end wakes it at once.
_SOON_S: Final = 0.5


class Controller:
    """Drives this manager's studies from `start` to `stop`."""

    def __init__(self, identity: Identity, outside: Outside, lease_s: float = LEASE_S) -> None:
        self._identity = identity
        self._storage = outside.storage
        self._worker = outside.worker
        self._metrics = outside.metrics
        self._noticed = outside.noticed
        self._lease = Lease(lease_s)
        self._look_s = min(_LOOK_S, lease_s / _LOOKS_PER_LEASE)
        self._queue = KeyedQueue()
        self._reconciler = Reconciler(Means(identity.record.id, outside, self.wake, self._lease.term))
        self._claims = Claims(identity, self._storage, self._worker.placement, lease_s)
        self._failures: dict[str, int] = {}
        # By the monotonic clock: a study whose pass failed rests until then, however often it is woken.
        self._rests: dict[str, float] = {}
        self._revisions: dict[str, int] = {}
        self._stop = threading.Event()
        self._look_now = threading.Event()
        self._say_pass = Seldom(_SAY_S)
        self._say_look = Seldom(_SAY_S)
        self._threads: list[threading.Thread] = []
        # The study that each thread makes a pass over, by the thread's name.
        self._at: dict[str, str] = {}

    @property
    def manager_id(self) -> str:
        return self._identity.record.id

    def start(self) -> None:
        """Begins to work. Raises UnavailableError when the database cannot be reached now."""
        self._heartbeat()
        self._worker.watch(self.wake)
        # One that hangs must not keep the process from its end.
        self._threads = [
            threading.Thread(target=self._work, name=f"reconcile-{i}", daemon=True) for i in range(THREADS)
        ]
        self._threads.append(threading.Thread(target=self._look, name="heartbeat", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads after the passes under way and gives up the studies; the runs go on."""
        self._stop.set()
        self._look_now.set()
        self._queue.close()
        deadline = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        # Should one that hangs go on after all, it does nothing more: the studies are another manager's by then.
        self._lease.give_up()
        for thread in self._threads:
            if thread.is_alive():
                _log.error(
                    "%s has not ended within %g s, and is left behind; it is at %s",
                    thread.name,
                    STOP_S,
                    _where(thread),
                    extra={"study_id": self._at.get(thread.name, "")},
                )
        try:
            self._storage.release(self.manager_id)
        except KatibError as error:
            _log.warning("could not give up the studies: %s; they are taken over when the lease has run out", error)

    def wake(self, study_id: str) -> None:
        """Something may have changed for this study. From any thread, at once."""
        self._queue.add(study_id)

    def wake_soon(self, study_id: str) -> None:
        """As `wake`, for what may happen a thousand times a second: all of a moment's wakes are one."""
        self._queue.add_after(study_id, _SOON_S)

    def created(self, study: Study, history: History | None) -> None:
        """A study that was just stored with this manager as its driver; `history` as its service answered."""
        self._reconciler.prime(study, history)
        self.wake(study.id)

    def look(self) -> None:
        """There may be a study that nobody drives."""
        self._look_now.set()

    def _work(self) -> None:
        while (study_id := self._queue.get()) is not None:
            self._at[threading.current_thread().name] = study_id
            try:
                self._pass(study_id)
            except Exception:  # noqa: BLE001 - the thread serves every other study
                _log.exception("a pass failed, and so did saying so", extra={"study_id": study_id})
            finally:
                self._at.pop(threading.current_thread().name, None)
                self._queue.done(study_id)

    def _pass(self, study_id: str) -> None:
        if self._lease.term() is None:
            # Others may have taken over our studies: not before the heartbeat has got through.
            self._queue.add_after(study_id, self._look_s)
            return
        begin = time.monotonic()
        rest = self._rests.get(study_id, 0.0) - begin
        if rest > 0:
            self._queue.add_after(study_id, rest)
            return
        try:
            wake_at = self._reconciler.reconcile(study_id)
        except LeaseOverError:
            _log.warning("left a pass: this manager had not renewed its lease in time", extra={"study_id": study_id})
            self._queue.add_after(study_id, self._look_s)
            return
        except Exception as error:  # noqa: BLE001 - one study's failure must not end the thread that serves the others
            self._failed(study_id, error)
            return
        finally:
            self._metrics.passed(time.monotonic() - begin)
        self._failures.pop(study_id, None)
        self._rests.pop(study_id, None)
        if wake_at is not None:
            self._queue.add_after(study_id, min((wake_at - datetime.now(UTC)).total_seconds(), _LOOK_AGAIN_S))

    def _failed(self, study_id: str, error: Exception) -> None:
        if isinstance(error, KatibError) and not isinstance(error, UnavailableError) and self._is_gone(study_id):
            # Another manager removed it in the middle of the pass. The next pass lets go of what is known of it here.
            _log.info("dropped a pass: the study is deleted", extra={"study_id": study_id})
            self._queue.add(study_id)
            return
        failures = self._failures[study_id] = self._failures.get(study_id, 0) + 1
        # What is away is back any moment; a defect will not mend itself within seconds.
        most = _AWAY_MOST_S if isinstance(error, UnavailableError) else _RETRY_MOST_S
        delay = backoff(failures, _RETRY_FIRST_S, most)
        self._metrics.failed()
        extra = {"study_id": study_id, "again_in_s": round(delay, 1)}
        if isinstance(error, UnavailableError):
            # The same for every study, and again every second.
            level = logging.WARNING if self._say_pass() else logging.DEBUG
            _log.log(level, "passes cannot be made: %s", error, extra=extra)
        else:
            _log.error("a pass failed", exc_info=error, extra=extra)
        self._rests[study_id] = time.monotonic() + delay
        self._queue.add_after(study_id, delay)
        self._reconciler.note_failure(study_id, error)

    def _is_gone(self, study_id: str) -> bool:
        try:
            self._storage.get_study(study_id)
        except KatibError as error:
            return isinstance(error, NotFoundError)
        return False

    def _look(self) -> None:
        """Heartbeats, takes over what nobody drives, and notices what others have changed."""
        next_heartbeat = 0.0
        while not self._stop.is_set():
            self._look_now.clear()
            try:
                # Rather half a look too early than half a look too late.
                now = time.monotonic()
                if now >= next_heartbeat - self._look_s / 2:
                    self._heartbeat()
                    # From its beginning: one that took longer than it is good for is followed by another at once.
                    next_heartbeat = now + min(self._lease.seconds, LEASE_S) / _HEARTBEATS_PER_LEASE
                self._claims.look(self._taken_over)
                self._notice()
            except KatibError as error:
                _log.log(logging.WARNING if self._say_look() else logging.DEBUG, "cannot look for changes: %s", error)
            except Exception:  # noqa: BLE001 - the thread that renews the lease must live
                _log.exception("a look at the database failed")
            self._metrics.queue_length.set(len(self._queue))
            self._look_now.wait(by_chance(self._look_s, 0.9))

    def _heartbeat(self) -> None:
        self._lease.renew(lambda: self._storage.heartbeat(self._identity.record))

    def _taken_over(self, study_id: str) -> None:
        self._reconciler.forget(study_id)
        self.wake(study_id)

    def _notice(self) -> None:
        """Wakes our studies whose revision is not the one seen at the last look."""
        revisions = dict(self._storage.driven_studies(self.manager_id))
        self._metrics.driven_studies.set(len(revisions))
        for study_id, revision in revisions.items():
            if self._revisions.get(study_id) != revision:
                self.wake(study_id)
                self._noticed(study_id)
        for study_id in self._revisions.keys() - revisions.keys():
            self._noticed(study_id)
        self._revisions = revisions


def _where(thread: threading.Thread) -> str:
    """The innermost calls that a thread is in, outermost first, for somebody who reads a log."""
    frame = sys._current_frames().get(thread.ident or 0)
    calls = traceback.extract_stack(frame)[-6:] if frame is not None else []
    return " > ".join(f"{call.filename.rpartition('/')[2]}:{call.lineno} {call.name}" for call in calls) or "its end"
