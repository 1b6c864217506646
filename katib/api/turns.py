"""Threads that serve callers in turns, so that nobody waits for another's calls longer than for a few of them.

`Admission` offers each call that is within its caller's rate. It waits in a queue of its caller's own, unless there is no place
left. Of the callers that may begin a call, next is who has had least of the processor so far (start-time fair queueing).

What a caller may have of the threads, and how long it pauses, is for `Shares` to say: alone most of the threads, beside others
its part of them, and never all. Who has a crowd of calls waiting beside others gets one at a time, and pauses between them: the
processor that a flood takes is bounded even where a single other caller is to be served. So does who makes calls that take long
to compute: while one of them runs, the others' short ones hardly do.
"""

import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import SimpleQueue
from typing import Any, Final

from katib.api.callers import Account, Asker, Job, Turn
from katib.api.later import Later
from katib.api.shares import Shares
from katib.domain.effort import spent_for_others, tell_waits
from katib.domain.errors import ResourceExhaustedError

# More do not help calls that compute: Python runs one thread at a time (docs/adr/0001). Some calls wait for a service.
THREADS: Final = 24
# For who was refused a place.
_RETRY_S: Final = 1.0
# What a call is taken to cost at least.
_LEAST_COST_S: Final = 0.0003


class Turns:
    def __init__(
        self,
        later: Later,
        threads: int = THREADS,
        waiting: int = 0,
        waiting_of_caller: int = 0,
        clock: Callable[[], float] = time.monotonic,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """At most so many calls wait, in all and of one caller; 0: any number. `begin` is what each thread does first."""
        self._later = later
        self._threads = threads
        self._most = waiting
        self._most_of_caller = waiting_of_caller
        self._clock = clock
        self._begin = begin
        # For all that follows.
        self._lock = threading.Lock()
        self._shares = Shares(threads)
        # Callers that have a call to begin with. For each a token is in `_tokens`, which threads wait for.
        self._heap: list[tuple[float, int, Account]] = []
        self._numbers = count()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        # What the caller whose call was begun last had had of the processor: who comes anew is taken to have had as much.
        self._virtual = 0.0
        self._waiting = 0
        # Threads, and those of them that have no call in hand.
        self._started = 0
        self._idle = 0
        self._closed = False

    def offer(
        self, asker: Asker, fn: Callable[..., Any], args: tuple[Any, ...]
    ) -> "Future[Any] | ResourceExhaustedError":
        """The call's future, or why it is not taken."""
        job = Job(fn, args)
        now = self._clock()
        with self._lock:
            caller = self._shares.see(asker, now)
            refusal = self._refusal(caller)
            if refusal is not None:
                self._shares.refused(caller, self._most_of_caller, now)
                return refusal
            if self._closed:
                job.future.cancel()
                return job.future
            caller.queue.append(job)
            self._waiting += 1
            self._consider(caller, now)
        return job.future

    def flooded(self, asker: Asker) -> None:
        """Elsewhere."""
        now = self._clock()
        with self._lock:
            self._shares.flooded(self._shares.see(asker, now), now)

    def floods(self, asker: Asker) -> bool:
        now = self._clock()
        with self._lock:
            return self._shares.floods(asker, now)

    def close(self) -> None:
        """What waits is never begun."""
        with self._lock:
            self._closed = True
            waiting = [job for caller in self._shares.callers.values() for job in caller.queue]
            for caller in self._shares.callers.values():
                caller.queue.clear()
            self._heap.clear()
            started = self._started
        for job in waiting:
            job.future.cancel()
        for _ in range(started):
            self._tokens.put(False)  # noqa: FBT003

    def _refusal(self, caller: Account) -> ResourceExhaustedError | None:
        if self._most_of_caller and len(caller.queue) >= self._most_of_caller:
            return ResourceExhaustedError(
                f"{caller.name} has {len(caller.queue)} calls waiting, the most of one caller (--max-waiting-per-caller): "
                "wait for their answers, then call again",
                retry_after=_RETRY_S,
            )
        if self._most and self._waiting >= self._most:
            return ResourceExhaustedError(
                f"{self._waiting} calls wait for this manager, the most that it takes (--max-waiting): call again in a moment, "
                "or another manager",
                retry_after=_RETRY_S,
            )
        return None

    def _consider(self, caller: Account, now: float) -> None:
        """Puts the caller among those that have a call to begin with, if it has and may."""
        if caller.turn is not Turn.NONE or not caller.queue:
            return
        if not self._shares.may_begin(caller, now):
            return  # considered again when one of its calls has ended, or waits
        if now < caller.not_before:
            caller.turn = Turn.PAUSES
            self._later.at(caller.not_before, lambda: self._release(caller))
            return
        if caller.running <= caller.waiting:
            caller.used = max(caller.used, self._virtual)
        caller.turn = Turn.READY
        heapq.heappush(self._heap, (caller.used, next(self._numbers), caller))
        self._tokens.put(True)  # noqa: FBT003
        # As many threads as there are calls to begin, up to the most.
        if self._idle < len(self._heap) and self._started < self._threads:
            self._started += 1
            self._idle += 1
            threading.Thread(target=self._work, name=f"rpc_{self._started}", daemon=True).start()

    def _release(self, caller: Account) -> None:
        with self._lock:
            caller.turn = Turn.NONE
            self._consider(caller, self._clock())

    def _wait(self, caller: Account, now_waits: bool) -> None:
        with self._lock:
            caller.waiting += 1 if now_waits else -1
            if now_waits:
                self._consider(caller, self._clock())

    def _work(self) -> None:
        if self._begin is not None:
            self._begin()
        tell_waits(lambda now_waits: self._wait(caller, now_waits))
        clock = _processor_clock()
        while self._tokens.get():
            with self._lock:
                if not self._heap:
                    continue
                self._virtual, _, caller = heapq.heappop(self._heap)
                caller.turn = Turn.NONE
                job = caller.queue.popleft()
                self._waiting -= 1
                self._idle -= 1
                caller.running += 1
                guess = caller.cost
                caller.used += guess
                now = self._clock()
                began = time.thread_time()
                caller.begun[clock] = now, began
                self._consider(caller, now)
            began -= spent_for_others()
            job.run()
            cost = max(time.thread_time() - spent_for_others() - began, _LEAST_COST_S)
            # Held by nobody while this thread waits for the next one.
            del job
            with self._lock:
                self._idle += 1
                caller.running -= 1
                caller.begun.pop(clock, None)
                caller.used += cost - guess
                now = self._clock()
                self._shares.took(caller, cost, now)
                self._consider(caller, now)
            del caller


def _processor_clock() -> int | None:
    """That other threads read this one's processor time by; macOS has none."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())
