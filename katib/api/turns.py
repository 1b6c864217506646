"""Threads that serve callers in turns, so that nobody waits for another's calls longer than for a few of them.

Each caller has a queue of its own. Next is who has had least of the processor so far, among those that wait (start-time fair
queueing). How many of a caller's calls are in hand at once depends on how many others have called within a second: alone it
may have most of the threads, beside others its share of them, and never all. Who has a crowd of calls waiting beside others
gets one at a time, and pauses between them: the processor that a flood takes is bounded even where a single other caller is to
be served. So does who makes calls that take long to compute: while one of them runs, the others' short ones hardly do. Who goes
on when there is no place left for its calls floods, and gets least.
"""

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import SimpleQueue
from typing import Any, Final

from katib.api.callers import Asker, Caller, Job
from katib.api.later import Later
from katib.domain.effort import spent_for_others, tell_waits
from katib.domain.errors import ResourceExhaustedError

# More do not help calls that compute: Python runs one thread at a time (docs/adr/0001). Some calls wait for a service.
THREADS: Final = 24
# Of these, the most that a caller has alone: whoever comes next finds some that are free.
_ALONE: Final = 2 / 3
# Who has called within this time counts as one of those who share.
_ACTIVE_S: Final = 1.0
# A caller that has more calls waiting than this is a crowd: a program with as many threads is rare, one that does not wait for
# answers is not. For so long after, too.
_CROWD: Final = 64
_CROWD_S: Final = 2.0
# Who was refused for want of a place floods for so long.
_FLOOD_S: Final = 5.0
# The most of the processor that a crowd gets beside others, and who makes long calls without being one; and what a crowd's call
# is taken to cost at least.
_CROWD_SHARE: Final = 0.05
_FLOOD_SHARE: Final = 0.02
_LONG_SHARE: Final = 0.1
_LEAST_COST_S: Final = 0.0003
# A call that takes more of the processor is a long one; and so long is measured how much the others use meanwhile, who are at
# work in earnest when it is so much of it. (They may need more than they get: what they use does not say what they need.)
_LONG_S: Final = 0.01
# So much of long calls comes before any pause: a page that shows ten thousand trials once is no flood.
_FREE_S: Final = 0.6
_LONG_ALONE: Final = 2
# So many more calls of a crowd, or of who makes long ones, may be in hand while they wait for a service.
_WAITING: Final = 3
# One that has not ended yet is taken for a long one from here on: it may be writing for others (domain/effort.py), which is
# known at its end.
_SURELY_LONG_S: Final = 0.025
_MEASURE_S: Final = 0.5
_EARNEST: Final = 0.1
# Of a caller's calls so far, as an estimate of its next one's.
_OLD: Final = 0.8
_RETRY_S: Final = 1.0
# Crowds that have gone are remembered for a while, up to so many.
_FORMER: Final = 1000


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
        self._callers: dict[str, Caller] = {}
        # By when they were seen last.
        self._recent: OrderedDict[str, Caller] = OrderedDict()
        # Callers that have a call to begin with. For each a token is in `_tokens`, which threads wait for.
        self._heap: list[tuple[float, int, Caller]] = []
        self._numbers = count()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._virtual = 0.0
        self._total = 0.0
        # Who called last, and when that was somebody else than before.
        self._last: Caller | None = None
        self._changed = -_FLOOD_S
        self._waiting = 0
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
            caller = self._see(asker, now)
            refusal = self._refusal(caller)
            if refusal is not None:
                # Where all places are taken, who has one call is none.
                if len(caller.queue) >= min(self._most_of_caller or _CROWD, _CROWD):
                    caller.flood_until = now + _FLOOD_S
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
            self._see(asker, now).flood_until = now + _FLOOD_S

    def floods(self, asker: Asker) -> bool:
        now = self._clock()
        with self._lock:
            caller = self._callers.get(asker.key)
            return caller is not None and self._is_crowd(caller, now) and self._is_flood(caller, now)

    def close(self) -> None:
        """What waits is never begun."""
        with self._lock:
            self._closed = True
            waiting = [job for caller in self._callers.values() for job in caller.queue]
            for caller in self._callers.values():
                caller.queue.clear()
            self._heap.clear()
            started = self._started
        for job in waiting:
            job.future.cancel()
        for _ in range(started):
            self._tokens.put(False)  # noqa: FBT003

    def _refusal(self, caller: Caller) -> ResourceExhaustedError | None:
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

    def _see(self, asker: Asker, now: float) -> Caller:
        caller = self._callers.get(asker.key)
        if caller is None:
            caller = self._callers[asker.key] = Caller(asker)
            caller.mark = now, 0.0, self._total
        if caller is not self._last:
            self._last, self._changed = caller, now if self._last else self._changed
        caller.seen = now
        self._recent[asker.key] = caller
        self._recent.move_to_end(asker.key)
        while True:
            oldest, other = next(iter(self._recent.items()))
            if now - other.seen < _ACTIVE_S:
                return caller
            if other.queue or other.running:
                # Still there: it waits.
                other.seen = now
                self._recent.move_to_end(oldest)
                continue
            del self._recent[oldest]
            if now >= max(other.crowd_until, other.flood_until):
                self._callers.pop(oldest, None)
            elif len(self._callers) > 2 * len(self._recent) + _FORMER:
                self._callers = dict(self._recent)

    def _consider(self, caller: Caller, now: float) -> None:
        """Puts the caller among those that have a call to begin with, if it has and may."""
        if caller.ready or caller.held or not caller.queue:
            return
        if not self._may_begin(caller, now):
            return  # considered again when one of its calls has ended, or waits
        if now < caller.not_before:
            caller.held = True
            self._later.at(caller.not_before, lambda: self._release(caller))
            return
        if caller.running <= caller.waiting:
            caller.used = max(caller.used, self._virtual)
        caller.ready = True
        heapq.heappush(self._heap, (caller.used, next(self._numbers), caller))
        self._tokens.put(True)  # noqa: FBT003
        # As many threads as there are calls to begin, up to the most.
        if self._idle < len(self._heap) and self._started < self._threads:
            self._started += 1
            self._idle += 1
            threading.Thread(target=self._work, name=f"rpc_{self._started}", daemon=True).start()

    def _may_begin(self, caller: Caller, now: float) -> bool:
        """Whether one more of its calls may be in hand at once."""
        crowd, alone = self._is_crowd(caller, now), self._is_alone(caller, now)
        at_work = caller.running - caller.waiting
        most = self._threads
        if alone:
            threads = int(self._threads * _ALONE)
        else:
            threads = max(2, self._threads // len(self._recent))
            if crowd:
                most = 1
        if caller.cost > _LONG_S or self._is_flood(caller, now) or self._has_long(caller, now):
            # More would gain it nothing, keep from the interpreter the thread that takes in the others' calls, so that it would
            # look as though there were none, and be in the way of who comes next.
            most = _LONG_ALONE if alone else 1
        if most < self._threads:
            # The others of its calls may wait for somebody, each with a thread.
            threads = min(threads, most + _WAITING)
        return at_work < most and caller.running < max(1, threads)

    def _has_long(self, caller: Caller, now: float) -> bool:
        """Whether one of its calls that are in hand is a long one: those of a new caller would be known too late."""
        return any(
            now - at > _SURELY_LONG_S and time.clock_gettime(clock) - then > _SURELY_LONG_S
            for clock, (at, then) in caller.begun.items()
            if clock is not None
        )

    def _is_alone(self, caller: Caller, now: float) -> bool:
        # Beside a flood others are seldom seen.
        return len(self._recent) <= 1 and not (self._is_flood(caller, now) and now - self._changed < _FLOOD_S)

    def _is_crowd(self, caller: Caller, now: float) -> bool:
        if len(caller.queue) > _CROWD:
            # It may pause for longer than these times; nothing new comes of it meanwhile, as it waits for answers.
            caller.crowd_until = now + _CROWD_S
            if caller.flood_until:
                caller.flood_until = max(caller.flood_until, now + _CROWD_S)
        elif now >= caller.flood_until:
            caller.flood_until = 0.0
        # Of a study's trials there may be thousands, each of which waits for its own answer.
        return now < max(caller.crowd_until, caller.flood_until) and not caller.trial

    def _is_flood(self, caller: Caller, now: float) -> bool:
        return now < caller.flood_until and not caller.trial

    def _pause(self, caller: Caller, cost: float, now: float) -> float:
        """How long after a call that took so much its next one may begin."""
        if self._is_alone(caller, now):
            return 0.0
        if self._is_crowd(caller, now):
            return cost * (1 / (_FLOOD_SHARE if self._is_flood(caller, now) else _CROWD_SHARE) - 1)
        if cost <= _LONG_S:
            return 0.0
        since, mine, all_ = caller.mark
        others = (self._total - all_) - (caller.total - mine)
        busy = min(others / max(now - since, _LONG_S) / _EARNEST, 1.0)
        if now - since > _MEASURE_S:
            caller.mark = now, caller.total, self._total
        caller.paid_until = max(caller.paid_until, now) + cost / _LONG_SHARE
        over = max(caller.paid_until - now - _FREE_S / _LONG_SHARE, 0.0)
        return min(over, cost * (1 / _LONG_SHARE - 1)) * busy

    def _release(self, caller: Caller) -> None:
        with self._lock:
            caller.held = False
            self._consider(caller, self._clock())

    def _wait(self, caller: Caller, now_waits: bool) -> None:
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
                caller.ready = False
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
                caller.cost = _OLD * caller.cost + (1 - _OLD) * cost
                now = self._clock()
                caller.total += cost
                self._total += cost
                pause = self._pause(caller, cost, now)
                if pause:
                    # Calls that had waited side by side pause one after the other.
                    caller.not_before = max(caller.not_before, now) + pause
                self._consider(caller, now)
            del caller


def _processor_clock() -> int | None:
    """That other threads read this one's processor time by; macOS has none."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())
