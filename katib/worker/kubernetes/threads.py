"""Threads for work that waits most of the time."""

import queue
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Threads(Generic[T]):
    """At most `most` threads, begun when there is work for them."""

    def __init__(self, name: str, most: int, work: Callable[[T], None]) -> None:
        self._name: Final = name
        self._most: Final = most
        self._work: Final = work
        self._queue: Final[queue.SimpleQueue[T | None]] = queue.SimpleQueue()
        self._lock: Final = threading.Lock()
        self._idle = 0
        self._threads: Final[list[threading.Thread]] = []

    def put(self, log: T) -> None:
        with self._lock:
            self._queue.put(log)
            if self._queue.qsize() > self._idle and len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def waiting(self) -> int:
        """How many no thread has time for."""
        with self._lock:
            return max(0, self._queue.qsize() - self._idle) if len(self._threads) >= self._most else 0

    def close(self) -> None:
        with self._lock:
            for _ in self._threads:
                self._queue.put(None)
            threads = list(self._threads)
        for thread in threads:
            thread.join(5.0)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            log = self._queue.get()
            with self._lock:
                self._idle -= 1
            if log is None:
                return
            self._work(log)
