"""What a thread does for others, so that it is not counted as its own caller's.

Threads that write bring what they have to whichever of them is at it (storage/sql/group.py): that one's processor time is
everybody's.
"""

import threading


class _Effort(threading.local):
    for_others = 0.0


_effort = _Effort()


def spent_for_others() -> float:
    """Of this thread's processor time so far, in seconds."""
    return _effort.for_others


def spend_for_others(seconds: float) -> None:
    _effort.for_others += seconds
