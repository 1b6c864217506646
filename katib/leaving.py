"""What is left of loops when the program ends.

A loop whose iterator is still held is closed by the interpreter's end, which is too late: no other thread runs then. Handlers
of the program's end run in the order opposite to that of their registration. This one is there as soon as `katib` is imported,
so those that the program registers afterwards come before it, and may still report and complete.
"""

import atexit
import time
import weakref
from typing import Final, Protocol


class Left(Protocol):
    def leave(self, deadline: float) -> None:
        """Gives back what there is from the manager, by this time of the monotonic clock."""


# What is left says so to the manager, and does not wait for long to be heard: there is the lease.
LEAVE_S: Final = 5.0
_begun: Final[weakref.WeakSet[Left]] = weakref.WeakSet()


def begun(loop: Left) -> None:
    _begun.add(loop)


@atexit.register
def _leave_all() -> None:
    deadline = time.monotonic() + LEAVE_S
    for loop in list(_begun):
        loop.leave(deadline)
