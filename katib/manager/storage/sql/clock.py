"""Notices that the database's clock was set.

Leases end by that clock, which every manager reads and no client. Where it is set back, a lease would be held for as much
longer; where it is set forward, a client that lives would lose its trial at once. So each time that it is read it is compared
with this process' monotonic clock, and where the two have come apart, the leases of a study that were not over before begin
anew, for their whole length, the next time that somebody asks for its trials (locking.py). What was set while no manager ran is
not noticed so; but a lease that ends later than its length from now tells by itself, and is cut to that.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# A shortest lease. Less is what a slow answer may look like; a clock that is merely wrong is wrong by less than the other.
_TOLERANCE_US: Final = 1_000_000
_DRIFT: Final = 1e-4
# Of so many studies it is remembered that their leases are as they should be. Those of another are looked at once more.
_MOST_STUDIES: Final = 4096


class DatabaseClock:
    """Safe from any thread. Times are in microseconds, those of the database since 1970."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady: Final = steady
        self._lock: Final = threading.Lock()
        # By how much the database's clock is ahead of the steady one, at least and at most, and when that was found.
        self._ahead: tuple[float, float, float] | None = None
        # Of each time that it was set: leases that end later were not over before.
        self._set: list[int] = []
        # By study: of how many of these its leases know.
        self._mended: OrderedDict[str, int] = OrderedDict()

    @property
    def times_set(self) -> int:
        return len(self._set)

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
                    self._set.append(min(at, int(was_least + asked)))
                elif now - asked > _TOLERANCE_US:
                    # A slow answer says little: what is known is better.
                    return
            self._ahead = least, most, now

    def is_due(self, study_id: str) -> bool:
        """Whether a study's leases may not be as they should be."""
        with self._lock:
            return self._mended.get(study_id, -1) != len(self._set)

    def alive_after(self, study_id: str) -> int | None:
        """Leases of the study that end later were not over when the clock was set. None: it was not, since they were mended."""
        with self._lock:
            return min(self._set[max(self._mended.get(study_id, 0), 0) :], default=None)

    def mended(self, study_id: str, times_set: int) -> None:
        """The study's leases are as they should be after it was set so often."""
        with self._lock:
            self._mended[study_id] = times_set
            self._mended.move_to_end(study_id)
            while len(self._mended) > _MOST_STUDIES:
                self._mended.popitem(last=False)
