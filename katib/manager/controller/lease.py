"""A manager's lease on its studies: for how long the others believe that it lives, and so for how long it may act.

It goes by a clock of this process's own: a manager that cannot renew its lease has to stop by itself. Why one that was frozen
does no harm in the moment before it notices stands in docs/adr/0005.
"""

import time
from collections.abc import Callable
from typing import Final

# A part of each lease that is not used: clocks do not go alike.
_USED: Final = 0.75
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    """Seconds that pass while the machine is suspended too, as the lease does."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Renewed by one thread; any may ask for its term."""

    def __init__(self, seconds: float, clock: Callable[[], float] = _now) -> None:
        self.seconds: Final = seconds
        self._clock: Final = clock
        # The term, and until when it may be acted in. In one, for who asks while it is renewed.
        self._held = (0, 0.0)
        self._given_up = False

    def term(self) -> int | None:
        """A number that stays the same as long as the others have believed without a break that this manager lives; None when
        they may not. Asked again before each act in the world (`Means.hold`), since a process can be frozen between any two
        lines."""
        term, valid_until = self._held
        return term if self._clock() < valid_until and not self._given_up else None

    def renew(self, heartbeat: Callable[[], None]) -> None:
        """`heartbeat` tells the others; what it raises is raised, and the lease is what it was."""
        begin = self._clock()
        heartbeat()
        term, valid_until = self._held
        if self._clock() >= valid_until:
            # Others may have driven our studies in between: no pass that began before goes on as if nothing had been. Looked
            # at after the write, which may itself have come too late.
            term += 1
        # Counted from before the write: the database's clock cannot have been earlier.
        self._held = (term, begin + self.seconds * _USED)

    def give_up(self) -> None:
        """For good: the studies are another manager's."""
        self._given_up = True
