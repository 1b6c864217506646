"""Who may look at once, of those that watch, and how often.

A caller may have a hundred streams, and each change of what they watch wakes them all. Together they would take every
connection to the database and the interpreter from those that call. So of one caller one stream looks at a time and of all
callers a few; and the busier the manager is, the longer a caller's streams pause after each look.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from katib.domain.effort import for_flood

_AT_ONCE: Final = 2
# What one caller's streams take of the processor at most beside others. Those are at work in earnest when they use so much of
# it: if they need more they may not get it, so it is no measure of what they need.
_SHARE: Final = 0.1
_EARNEST: Final = 0.1
# With more streams than these that wait to look, it is half of that; and this of a caller that floods.
_FEW: Final = 16
_FLOOD_SHARE: Final = 0.02
# So often whoever waits asks whether it still should.
_ASK_S: Final = 1.0
# Over at least so long it is measured how busy the manager is.
_MEASURE_S: Final = 0.5
# Callers whose pause is not over are remembered without a stream; so many, before they are looked through.
_FORMER: Final = 1000


class _Turn:
    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.users = 0
        self.not_before = 0.0


class Looks:
    """Safe from any thread."""

    def __init__(self, at_once: int = _AT_ONCE, used: Callable[[], float] = time.process_time) -> None:
        """`used()`: how much of the processor all that this process does has used so far."""
        self._all: Final = threading.BoundedSemaphore(at_once)
        self._used = used
        # For all that follows.
        self._lock: Final = threading.Lock()
        self._turns: Final[dict[str, _Turn]] = {}
        self._measured_at, self._used_then, self._own = time.monotonic(), used(), 0.0
        # When it had its last turn, by each thread's own processor time.
        self._of_thread = threading.local()
        self._busy = 0.0

    @contextmanager
    def of(self, caller: str, ended: Callable[[], bool]) -> Iterator[bool]:
        """Its turn: true; false where `ended()` came first. What is done in it counts for the caller's next turn."""
        with self._lock:
            turn = self._turns.setdefault(caller, _Turn())
            turn.users += 1
        try:
            # The caller's own first: only one of its streams stands in the others' way.
            with _taken(turn.lock, ended) as its, self._after(turn, ended) as late, _taken(self._all, ended) as alls:
                may = its and late and alls
                began = time.thread_time()
                try:
                    yield may
                finally:
                    if may:
                        self._pause(turn, began, time.thread_time())
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users and (turn.not_before <= time.monotonic() or len(self._turns) > _FORMER):
                    self._turns.pop(caller, None)

    @contextmanager
    def _after(self, turn: _Turn, ended: Callable[[], bool]) -> Iterator[bool]:
        """When the caller's pause is over."""
        while not ended():
            left = turn.not_before - time.monotonic()
            if left <= 0:
                yield True
                return
            time.sleep(min(left, _ASK_S))
        yield False

    def _pause(self, turn: _Turn, began: float, ended: float) -> None:
        # What it did between two turns is sending what it found in the first.
        last, self._of_thread.last = getattr(self._of_thread, "last", began), ended
        with self._lock:
            now = time.monotonic()
            self._own += ended - last
            took = now - self._measured_at
            if took >= _MEASURE_S:
                used = self._used()
                others = max(used - self._used_then - self._own, 0.0) / took
                self._busy = min(others / _EARNEST, 1.0)
                self._measured_at, self._used_then, self._own = now, used, 0.0
            share = _FLOOD_SHARE if for_flood() else _SHARE if turn.users <= _FEW else _SHARE / 2
            turn.not_before = now + (ended - began) * (1 / share - 1) * self._busy


@contextmanager
def _taken(lock: "threading.Lock | threading.BoundedSemaphore", ended: Callable[[], bool]) -> Iterator[bool]:
    taken = False
    while not taken and not ended():
        taken = lock.acquire(timeout=_ASK_S)
    try:
        yield taken
    finally:
        if taken:
            lock.release()
