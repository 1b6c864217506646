"""Threads for work that waits most of the time."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Threads(Generic[T]):
    """At most `most` threads, begun when there is work for them; of one `kind` of work at most `of_a_kind` at once."""

    def __init__(
        self,
        name: str,
        most: int,
        work: Callable[[T], None],
        kind: Callable[[T], str] | None = None,
        of_a_kind: int = 0,
    ) -> None:
        self._name: Final = name
        self._most: Final = most
        self._work: Final = work
        self._kind: Final = kind
        self._of_a_kind: Final = of_a_kind
        self._changed: Final = threading.Condition()
        self._queue: Final[deque[T]] = deque()
        self._busy: Final[Counter[str]] = Counter()
        self._idle = 0
        self._closed = False
        self._threads: Final[list[threading.Thread]] = []

    def put(self, log: T) -> None:
        with self._changed:
            self._queue.append(log)
            self._changed.notify()
            if len(self._queue) > self._idle and len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def waiting(self) -> int:
        """How many no thread has time for."""
        with self._changed:
            return max(0, len(self._queue) - self._idle) if len(self._threads) >= self._most else 0

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while (at := self._next()) is None and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if at is None or self._closed:
                    return
                log = self._queue[at]
                del self._queue[at]
                kind = self._kind(log) if self._kind is not None else ""
                self._busy[kind] += 1
            try:
                self._work(log)
            finally:
                with self._changed:
                    self._busy[kind] -= 1
                    if not self._busy[kind]:
                        del self._busy[kind]

    def _next(self) -> int | None:
        """Which of the queue is the next, with the lock held."""
        if self._kind is None:
            return 0 if self._queue else None
        free = (at for at, log in enumerate(self._queue) if self._busy[self._kind(log)] < self._of_a_kind)
        return next(free, None)
