"""What a thread does for others, and when it does nothing: neither is counted as its own caller's work. And whether that caller
is one of whose work there should be little.

Threads that write bring what they have to whichever of them is at it (storage/sql/group.py): that one's processor time is
everybody's. And a thread that waits for a service's answer keeps nobody from the processor.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Effort(threading.local):
    for_others = 0.0
    on_wait: Callable[[bool], None] | None = None
    floods: Callable[[], bool] | None = None


_effort = _Effort()


def spent_for_others() -> float:
    """Of this thread's processor time so far, in seconds."""
    return _effort.for_others


def spend_for_others(seconds: float) -> None:
    _effort.for_others += seconds


def tell_waits(told: Callable[[bool], None] | None) -> None:
    """`told` is called by this thread when it begins to wait for somebody else (True), and when it has done so (False)."""
    _effort.on_wait = told


@contextmanager
def working_for(floods: Callable[[], bool]) -> Iterator[None]:
    """Meanwhile this thread works for a caller of whom `floods()` says whether it floods."""
    _effort.floods = floods
    try:
        yield
    finally:
        _effort.floods = None


def for_flood() -> bool:
    """Whether what this thread does is for a caller that floods."""
    return _effort.floods is not None and _effort.floods()


@contextmanager
def waiting() -> Iterator[None]:
    """Meanwhile this thread waits for somebody else, for a long time perhaps."""
    told = _effort.on_wait
    if told is None:
        yield
        return
    told(True)  # noqa: FBT003
    try:
        yield
    finally:
        told(False)  # noqa: FBT003
