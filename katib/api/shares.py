"""How much each caller may have of a server: how many of its calls are in hand at once, and how long it pauses after one.

What a caller may have follows from how it stands at that moment. Of the threads it may have so many, and of them so many for
calls that are at work, the others for calls that wait for a service:

                                               threads         at work  pause after a call, so that it takes
    alone                                      two thirds      all      none
    beside others                              its part        all      none
    alone, with long calls, or if it flooded   5               2        none
    beside others, with long calls             4               1        10 % of the processor, if the others are at work too
    beside others, a crowd                     4               1        5 %
    beside others, a flood                     4               1        2 %

A crowd has more calls waiting than programs have threads; a flood is a crowd that was refused a place. Both stay what they are
for some seconds after. A trial is neither: of a study's trials there may be thousands, each of which waits for its own answer.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from katib.api.callers import Account, Asker

# Of the threads, the most that a caller has alone: whoever comes next finds some that are free.
_ALONE: Final = 2 / 3
# Who has called within this time counts as one of those who share.
_ACTIVE_S: Final = 1.0
# A caller that has more calls waiting than this is a crowd: a program with as many threads is rare, one that does not wait for
# answers is not. For so long after, too.
_CROWD: Final = 64
_CROWD_S: Final = 2.0
# Who was refused for want of a place floods for so long.
_FLOOD_S: Final = 5.0
# The most of the processor that a crowd gets beside others, and who makes long calls without being one.
_CROWD_SHARE: Final = 0.05
_FLOOD_SHARE: Final = 0.02
_LONG_SHARE: Final = 0.1
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
# Crowds that have gone are remembered for a while, up to so many.
_FORMER: Final = 1000


class Shares:
    """Of one server's threads and processor. Its user holds a lock around each call, and says what time it is."""

    def __init__(self, threads: int) -> None:
        self._threads: Final = threads
        self._callers: dict[str, Account] = {}
        # By when they were seen last.
        self._recent: OrderedDict[str, Account] = OrderedDict()
        # What all callers have taken so far.
        self.total = 0.0
        # Who called last, and when that was somebody else than before.
        self._last: Account | None = None
        self._changed = -_FLOOD_S

    @property
    def callers(self) -> Mapping[str, Account]:
        """Those that are remembered, by their keys."""
        return self._callers

    def see(self, asker: Asker, now: float) -> Account:
        caller = self._callers.get(asker.key)
        if caller is None:
            caller = self._callers[asker.key] = Account(asker.name, asker.trial)
            caller.mark = now, 0.0, self.total
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

    def refused(self, caller: Account, places: int, now: float) -> None:
        """There was no place left for a call of it, of which so many may wait (0: any number)."""
        # Where all places are taken, who has one call is no crowd.
        if len(caller.queue) >= min(places or _CROWD, _CROWD):
            self.flooded(caller, now)

    def flooded(self, caller: Account, now: float) -> None:
        caller.flood_until = now + _FLOOD_S

    def floods(self, asker: Asker, now: float) -> bool:
        caller = self._callers.get(asker.key)
        return caller is not None and self._is_crowd(caller, now) and self._is_flood(caller, now)

    def may_begin(self, caller: Account, now: float) -> bool:
        """Whether one more of its calls may be in hand at once."""
        crowd, alone = self._is_crowd(caller, now), self.is_alone(caller, now)
        at_work = caller.running - caller.waiting
        most = self._threads
        if alone:
            threads = int(self._threads * _ALONE)
        else:
            threads = max(2, self._threads // len(self._recent))
            if crowd:
                most = 1
        if caller.cost > _LONG_S or self._is_flood(caller, now) or self.has_long(caller, now):
            # More would gain it nothing, keep from the interpreter the thread that takes in the others' calls, so that it would
            # look as though there were none, and be in the way of who comes next.
            most = _LONG_ALONE if alone else 1
        if most < self._threads:
            # The others of its calls may wait for somebody, each with a thread.
            threads = min(threads, most + _WAITING)
        return at_work < most and caller.running < max(1, threads)

    def took(self, caller: Account, cost: float, now: float) -> None:
        """One of its calls has ended and cost so much."""
        caller.cost = _OLD * caller.cost + (1 - _OLD) * cost
        caller.total += cost
        self.total += cost
        pause = self._pause(caller, cost, now)
        if pause:
            # Calls that had waited side by side pause one after the other.
            caller.not_before = max(caller.not_before, now) + pause

    def has_long(self, caller: Account, now: float) -> bool:
        """Whether one of its calls that are in hand is a long one: those of a new caller would be known too late."""
        return any(
            now - at > _SURELY_LONG_S and time.clock_gettime(clock) - then > _SURELY_LONG_S
            for clock, (at, then) in caller.begun.items()
            if clock is not None
        )

    def is_alone(self, caller: Account, now: float) -> bool:
        # Beside a flood others are seldom seen.
        return len(self._recent) <= 1 and not (self._is_flood(caller, now) and now - self._changed < _FLOOD_S)

    def _is_crowd(self, caller: Account, now: float) -> bool:
        if len(caller.queue) > _CROWD:
            # It may pause for longer than these times; nothing new comes of it meanwhile, as it waits for answers.
            caller.crowd_until = now + _CROWD_S
            if caller.flood_until:
                caller.flood_until = max(caller.flood_until, now + _CROWD_S)
        elif now >= caller.flood_until:
            caller.flood_until = 0.0
        # Of a study's trials there may be thousands, each of which waits for its own answer.
        return now < max(caller.crowd_until, caller.flood_until) and not caller.trial

    def _is_flood(self, caller: Account, now: float) -> bool:
        return now < caller.flood_until and not caller.trial

    def _pause(self, caller: Account, cost: float, now: float) -> float:
        """How long after a call that took so much its next one may begin."""
        if self.is_alone(caller, now):
            return 0.0
        if self._is_crowd(caller, now):
            return cost * (1 / (_FLOOD_SHARE if self._is_flood(caller, now) else _CROWD_SHARE) - 1)
        if cost <= _LONG_S:
            return 0.0
        since, mine, all_ = caller.mark
        others = (self.total - all_) - (caller.total - mine)
        busy = min(others / max(now - since, _LONG_S) / _EARNEST, 1.0)
        if now - since > _MEASURE_S:
            caller.mark = now, caller.total, self.total
        caller.paid_until = max(caller.paid_until, now) + cost / _LONG_SHARE
        over = max(caller.paid_until - now - _FREE_S / _LONG_SHARE, 0.0)
        return min(over, cost * (1 / _LONG_SHARE - 1)) * busy
