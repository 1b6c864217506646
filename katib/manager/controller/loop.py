"""The controller's threads: passes over studies that were woken, the heartbeat, and the look for studies to take over."""

import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.domain.backoff import backoff, by_chance
from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.study import Study
from katib.manager.controller.means import LeaseOverError, Means, Outside
from katib.manager.controller.queue import KeyedQueue
from katib.manager.controller.reconcile import Reconciler
from katib.manager.controller.stranded import Stranded
from katib.manager.ports import ManagerRecord
from katib.manager.seldom import Seldom
from katib.manager.service_ports import History

_log: Final = logging.getLogger(__name__)

# A pass takes milliseconds and is mostly Python; more threads only help while one waits for the database.
THREADS: Final = 4
# Several heartbeats fit in a lease, so that one that is late costs nothing. With a long lease they come as often as with the
# usual one, for a manager that was given a shorter one judges by its own.
LEASE_S: Final = 10.0
_HEARTBEATS_PER_LEASE: Final = 4
# A manager that was only frozen writes its row again when it goes on.
_LEASES_UNTIL_REMOVED: Final = 10
# How often changes that other managers' clients made to our studies are looked for, and studies that nobody drives: at least so
# often, and several times in a lease, so that they move within two.
_LOOK_S: Final = 1.0
_LOOKS_PER_LEASE: Final = 4
_CLAIMS_AT_ONCE: Final = 100
# Studies that nobody drives are left to the others of which they are the fair part for so many looks. Then they are taken all
# the same: whoever was to take them is frozen, or has its worker elsewhere.
_LOOKS_LEFT_TO_OTHERS: Final = 2
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
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


@dataclass(frozen=True, slots=True)
class Identity:
    """This manager among those on the same database. `is_gone(record)` knows, where it can, that another manager's process
    has ended, so that its studies need not wait for its lease to run out."""

    record: ManagerRecord
    is_gone: Callable[[ManagerRecord], bool] = lambda _record: False


class Controller:
    """Drives this manager's studies from `start` to `stop`."""

    def __init__(self, identity: Identity, outside: Outside, lease_s: float = LEASE_S) -> None:
        self._identity = identity
        self._storage = outside.storage
        self._worker = outside.worker
        self._metrics = outside.metrics
        self._noticed = outside.noticed
        self._lease_s = lease_s
        self._look_s = min(_LOOK_S, lease_s / _LOOKS_PER_LEASE)
        self._queue = KeyedQueue()
        self._reconciler = Reconciler(Means(identity.record.id, outside, self.wake, self._term))
        self._stranded = Stranded(self._storage, self._worker.placement, lease_s)
        self._failures: dict[str, int] = {}
        # By the monotonic clock: a study whose pass failed rests until then, however often it is woken.
        self._rests: dict[str, float] = {}
        self._revisions: dict[str, int] = {}
        self._stop = threading.Event()
        self._look_now = threading.Event()
        # The term of the lease, and by `_now` until when the others believe that we live. Before it we may act. In one: it is
        # read by other threads than the one that renews it.
        self._lease = (0, 0.0)
        # At how many looks on end there were studies that nobody drove.
        self._looks_at_undriven = 0
        self._say_pass = Seldom(_SAY_S)
        self._say_look = Seldom(_SAY_S)
        self._threads: list[threading.Thread] = []
        # The study that each thread makes a pass over, by the thread's name.
        self._at: dict[str, str] = {}
        self._given_up = False

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
        self._given_up = True
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
        if self._term() is None:
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
                    next_heartbeat = now + min(self._lease_s, LEASE_S) / _HEARTBEATS_PER_LEASE
                self._claim()
                self._notice()
            except KatibError as error:
                _log.log(logging.WARNING if self._say_look() else logging.DEBUG, "cannot look for changes: %s", error)
            except Exception:  # noqa: BLE001 - the thread that renews the lease must live
                _log.exception("a look at the database failed")
            self._metrics.queue_length.set(len(self._queue))
            self._look_now.wait(by_chance(self._look_s, 0.9))

    def _term(self) -> int | None:
        """A number that stays the same as long as the others have believed without a break that we live; None when they may
        not. Asked again before each act in the world, since a process can be frozen between any two lines; why what slips
        through all the same is harmless stands in docs/adr/0005."""
        term, valid_until = self._lease
        return term if _now() < valid_until and not self._given_up else None

    def _heartbeat(self) -> None:
        begin = _now()
        self._storage.heartbeat(self._identity.record)
        term, valid_until = self._lease
        if _now() >= valid_until:
            # Others may have driven our studies in between: no pass that began before goes on as if nothing had been. Looked
            # at after the write, which may itself have come too late.
            term += 1
        # Counted from before the write: the database's clock cannot have been earlier. A quarter is kept back.
        self._lease = (term, begin + self._lease_s * 0.75)

    def _claim(self) -> None:
        """Takes over the studies that nobody drives any more, and removes managers that will not come back."""
        lease = timedelta(seconds=self._lease_s)
        others = [m for m in self._storage.managers() if m.id != self.manager_id]
        gone = [m.id for m in others if m.age > lease * _LEASES_UNTIL_REMOVED or self._identity.is_gone(m)]
        dead = [m.id for m in others if m.age > lease or m.id in gone]
        living = {self.manager_id, *(m.id for m in others)}.difference(dead)
        room = self._room(living)
        while room > 0:
            most = min(room, _CLAIMS_AT_ONCE)
            claimed = self._storage.claim_studies(self.manager_id, self._worker.placement, dead, most)
            for study_id in claimed:
                _log.info("drives a study from now on", extra={"study_id": study_id})
                self._reconciler.forget(study_id)
                self.wake(study_id)
            if len(claimed) < most:
                break
            room -= len(claimed)
        self._stranded.look(dead)
        for manager_id in gone:
            self._storage.release(manager_id)

    def _room(self, living: Set[str]) -> int:
        """How many of the studies that nobody drives are this manager's to take now: up to its fair part of all, so that those
        of a manager that died are shared. Studies that have a driver stay with it."""
        drivers = self._storage.drivers(self._worker.placement)
        undriven = sum(count for manager, count in drivers.items() if manager not in living)
        self._looks_at_undriven = self._looks_at_undriven + 1 if undriven else 0
        if self._looks_at_undriven > _LOOKS_LEFT_TO_OTHERS:
            return undriven
        part = math.ceil(sum(drivers.values()) / len(living))
        return min(undriven, max(0, part - drivers.get(self.manager_id, 0)))

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


def _now() -> float:
    """Seconds that pass while the machine is suspended too, as the lease does."""
    return time.clock_gettime(_CLOCK)
