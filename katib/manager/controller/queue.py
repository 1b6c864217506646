"""The work queue of the controller: keys, each worked on by one thread at a time, now or later."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable


class KeyedQueue:
    """Keys that want work. Adding one that waits already changes nothing; one that is being worked on is worked on again.

    Every key that `get` gave out must be given back by `done`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._ready: deque[str] = deque()
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        # Only the soonest time of a key counts; entries of the heap that say otherwise are passed over.
        self._due: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        self._closed = False

    def add(self, key: str) -> None:
        with self._condition:
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Adds the key when `seconds` have passed, or before if somebody adds it before."""
        with self._condition:
            if self._closed:
                return
            due = self._clock() + max(seconds, 0.0)
            if due >= self._due.get(key, float("inf")):
                return
            self._due[key] = due
            heapq.heappush(self._timers, (due, key))
            if self._timers[0] == (due, key):
                # Whoever waits for the soonest timer must now wait for this one.
                self._condition.notify()

    def get(self) -> str | None:
        """The next key, waited for; None when the queue is closed."""
        with self._condition:
            while True:
                if self._closed:
                    return None
                wait = self._move_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._queued.discard(key)
                    self._working.add(key)
                    return key
                self._condition.wait(wait)

    def done(self, key: str) -> None:
        with self._condition:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._add(key)

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __len__(self) -> int:
        """How many keys wait for a thread."""
        with self._condition:
            return len(self._ready)

    def _add(self, key: str) -> None:
        if self._closed or key in self._queued:
            return
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
            return
        self._queued.add(key)
        self._ready.append(key)
        self._condition.notify()

    def _move_due(self) -> float | None:
        """Makes ready what is due; returns the seconds until the next timer."""
        now = self._clock()
        while self._timers:
            due, key = self._timers[0]
            if self._due.get(key) != due:
                heapq.heappop(self._timers)
            elif due <= now:
                heapq.heappop(self._timers)
                self._add(key)
            else:
                return due - now
        return None
