"""Work that many threads bring and one does at a time, in groups.

A thread that finds nobody at work does its own job at once, with nobody to be woken and nobody to wait for: on a busy machine
waking a thread for the work and being woken after it took longer than the work. The jobs that come meanwhile wait; the thread
that is done lets the first of those that wait go on, which does all that is queued by then, its own and others', as one group.
So each does one group at most, and a job that another one has done is back with its thread without waiting for a turn
(compared with a thread for the work alone: a fifth less time and processor for a single caller, the same under load).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from katib.domain.effort import spend_for_others
from katib.domain.errors import DeadlineExceededError, UnavailableError

T = TypeVar("T")


class Job(Generic[T]):
    """A function, and in the end its result or error."""

    __slots__ = ("_error", "_result", "_signal", "done", "function", "leads")

    def __init__(self, function: T) -> None:
        self.function: Final = function
        self.done = False
        # Set with the signal when it is this job's thread that goes on with what is queued.
        self.leads = False
        self._signal = threading.Lock()
        self._signal.acquire()
        self._result: Any = None
        self._error: Exception | None = None

    def succeed(self, result: Any) -> None:
        self._result, self.done = result, True
        self._signal.release()

    def fail(self, error: Exception) -> None:
        self._error, self.done = error, True
        self._signal.release()

    def lead(self) -> None:
        self.leads = True
        self._signal.release()

    def wait(self, seconds: float) -> bool:
        """Whether it is done or leads by then."""
        return self._signal.acquire(timeout=seconds)

    def result(self) -> Any:
        """What the function gave back, or raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Group(Generic[T]):
    """`work` gets the jobs of a group, in the order in which they came, and must bring each of them to its end."""

    def __init__(self, work: Callable[[Sequence[Job[T]]], None], most: int, deadline_s: float, where: str) -> None:
        """At most `most` jobs to a group. A job that waits longer than `deadline_s` is given up. `where` is for errors."""
        self._work: Final = work
        self._most: Final = most
        self._deadline_s: Final = deadline_s
        self._where: Final = where
        # For all that follows.
        self._lock = threading.Lock()
        self._queue: deque[Job[T]] = deque()
        self._busy = False
        self._open = True
        self._leader: int | None = None
        self._idle = threading.Condition(self._lock)

    @property
    def waiting(self) -> int:
        """How many jobs nobody has begun."""
        return len(self._queue)

    def do(self, function: T) -> Any:
        """The function's result, once its group is done; raises what it raised.

        Raises UnavailableError when the group is closed or the job was not begun in time, DeadlineExceededError when it was
        begun and not done in time.
        """
        if self._leader == threading.get_ident():
            raise RuntimeError("a function that writes must not wait for another write: that would never come")
        job = Job(function)
        with self._lock:
            if not self._open:
                raise UnavailableError("the storage is closed")
            self._queue.append(job)
            alone = not self._busy
            self._busy = True
        if alone:
            self._lead()
        elif not job.wait(self._deadline_s):
            self._give_up(job)
        elif job.leads:
            self._lead()
        return job.result()

    def close(self) -> None:
        """Takes no more jobs and waits for those that came before."""
        with self._lock:
            self._open = False
            self._idle.wait_for(lambda: not self._busy, self._deadline_s)

    def _lead(self) -> None:
        """Does what is queued, the caller's job first of all, then lets the next go on."""
        with self._lock:
            jobs = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
        self._leader = threading.get_ident()
        began = time.thread_time()
        try:
            self._work(jobs)
        finally:
            self._leader = None
            # One of them is its own.
            spend_for_others((time.thread_time() - began) * (1 - 1 / max(len(jobs), 1)))
            for job in jobs:
                # An interrupt from the keyboard hits the thread that happens to work.
                if not job.done:
                    job.fail(UnavailableError("the write was interrupted; whether it was stored is unknown"))
            self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            if self._queue:
                self._queue[0].lead()
            else:
                self._busy = False
                self._idle.notify_all()

    def _give_up(self, job: Job[T]) -> None:
        with self._lock:
            if job.done:
                return
            begun = job not in self._queue
            if not begun and not job.leads:
                self._queue.remove(job)
        if job.leads:
            # At the last moment: the others wait for it now.
            job.wait(0)
            self._lead()
        elif begun:
            raise DeadlineExceededError(
                f"the database {self._where} gave no answer for {self._deadline_s:g} seconds; whether it was stored is unknown"
            )
        else:
            raise UnavailableError(
                f"the database {self._where} has been busy for {self._deadline_s:g} seconds; nothing was stored"
            )
