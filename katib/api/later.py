"""A thread that does small things at their time."""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Final

_log: Final = logging.getLogger(__name__)


class Later:
    """Nothing is started before there is something to do; what is left when the process ends is not done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, do: Callable[[], None]) -> None:
        """`when` by the monotonic clock. Returns at once; `do` must be quick."""
        with self._changed:
            heapq.heappush(self._heap, (when, next(self._numbers), do))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="later", daemon=True)
                self._thread.start()
            elif self._heap[0][0] == when:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._closed:
                    return
                _, _, do = heapq.heappop(self._heap)
            try:
                do()
            except Exception:  # noqa: BLE001 - the next one has nothing to do with it
                _log.exception("something that was to be done later failed")
