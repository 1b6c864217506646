"""Notices that the database's clock was set.

Leases end by that clock, which every manager reads and no client. Where it is set back, a lease would be held for as much
longer; where it is set forward, a client that lives would lose its trial at once. So each time that it is read it is compared
with this process' monotonic clock, and where the two have come apart, the leases of a study that were not over before begin
anew, for their whole length, the next time that somebody asks for its trials (locking.py). What was set while no manager ran is
not noticed so; but a lease that ends later than its length from now tells by itself, and is cut to that.

A clock that is set again and again is none: most likely several nodes answer in turn, each by its own. Leases that begin anew
each time would never end, so then they are left alone until it has been calm for a while.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from katib.domain.lease import MAX_LEASE

_log: Final = logging.getLogger(__name__)
# A shortest lease. Less is what a slow answer may look like; a clock that is merely wrong is wrong by less than the other.
_TOLERANCE_US: Final = 1_000_000
_DRIFT: Final = 1e-4
# Of so many studies it is remembered that their leases are as they should be. Those of another are looked at once more.
_MOST_STUDIES: Final = 4096
# When it has been set more often than this within so long, it is not somebody who sets it; and for so long it must then go on
# without, to be believed again. Long enough for an idle manager too, which reads it seldom.
_FEW: Final = 5
_CALM_S: Final = 600.0
# Of so many times that it was set it is remembered when.
_MOST_SETS: Final = 64


class _Set(NamedTuple):
    """One time that it was set. `alive_after`: leases that end later were not over before. `at`: its time when that was found.
    `steady_s`: the same by the steady clock."""

    alive_after: int
    at: int
    steady_s: float


class Mending(NamedTuple):
    """What a study's leases need after the clock was set `times_set` times: those that end after `alive_after` begin anew, if
    they were given until `given_until`; those given later go by the clock as it is now. None: none does."""

    times_set: int
    alive_after: int | None
    given_until: int


class DatabaseClock:
    """Safe from any thread. Times are in microseconds, those of the database since 1970."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady: Final = steady
        self._lock: Final = threading.Lock()
        # By how much the database's clock is ahead of the steady one, at least and at most, and when that was found.
        self._ahead: tuple[float, float, float] | None = None
        # The last ones of those that count, of which there were `_times`.
        self._sets: Final[deque[_Set]] = deque(maxlen=_MOST_SETS)
        self._times = 0
        # When it was set, by the steady clock, whether that counts or not.
        self._jumps: Final[deque[float]] = deque(maxlen=_FEW + 1)
        self._unsteady = False
        # By study: of how many of these its leases know.
        self._mended: OrderedDict[str, int] = OrderedDict()

    @property
    def times_set(self) -> int:
        return self._times

    def saw(self, at: int, asked_s: float) -> None:
        """It has been read: `at` was its time at some moment between `asked_s`, by the steady clock, and now."""
        with self._lock:
            now_s = self._steady()
            asked, now = asked_s * 1e6, now_s * 1e6
            least, most = at - now, at - asked
            if self._ahead is not None:
                was_least, was_most, found = self._ahead
                tolerance = _TOLERANCE_US + _DRIFT * (now - found)
                if least > was_most + tolerance or most < was_least - tolerance:
                    self._was_set(
                        _Set(min(at, int(was_least + asked)), at, now_s), max(least - was_most, was_least - most)
                    )
                elif now - asked > _TOLERANCE_US:
                    # A slow answer says little: what is known is better.
                    return
            self._ahead = least, most, now

    def _was_set(self, new: _Set, by_us: float) -> None:
        if self._unsteady and new.steady_s - self._jumps[-1] > _CALM_S:
            self._unsteady = False
            self._jumps.clear()
        self._jumps.append(new.steady_s)
        if self._unsteady:
            return
        if len(self._jumps) > _FEW and new.steady_s - self._jumps[0] <= _CALM_S:
            self._unsteady = True
            self._sets.clear()
            _log.warning(
                "the database's clock differs from one answer to the next by %.1f s; synchronise the clocks of its nodes. "
                "Until it has been steady for %.0f minutes, clients' leases are not renewed when it is set",
                by_us / 1e6,
                _CALM_S / 60,
            )
            return
        self._times += 1
        self._sets.append(new)

    def is_due(self, study_id: str) -> bool:
        """Whether a study's leases may not be as they should be."""
        with self._lock:
            return self._mended.get(study_id, -1) != self._times

    def mending(self, study_id: str) -> Mending:
        """All of it as of one moment: another thread may find meanwhile that it was set once more."""
        with self._lock:
            # No lease is left of those given before.
            oldest = self._steady() - MAX_LEASE.total_seconds()
            while self._sets and self._sets[0].steady_s < oldest:
                self._sets.popleft()
            since = self._times - self._mended.get(study_id, 0)
            sets = list(self._sets)[-since:] if since else []
            if not sets:
                return Mending(self._times, None, 0)
            # The last one's time tells for all: what was given before it and begins later than that also ends too late by now.
            return Mending(self._times, min(s.alive_after for s in sets), sets[-1].at)

    def mended(self, study_id: str, times_set: int) -> None:
        """The study's leases are as they should be after it was set so often."""
        with self._lock:
            self._mended[study_id] = times_set
            self._mended.move_to_end(study_id)
            while len(self._mended) > _MOST_STUDIES:
                self._mended.popitem(last=False)
