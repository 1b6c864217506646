"""So many calls a second, of each of many."""

from collections import OrderedDict
from typing import Final

# A program that begins with a number of calls at once, after which it makes few, is not held up.
BURST_S: Final = 2.0
_MOST: Final = 20_000


class Rates:
    """Not safe from several threads at once."""

    def __init__(self, most: int = _MOST) -> None:
        """Remembers so many; who called longest ago is forgotten, and may begin anew."""
        self._most = most
        # Until when each has used up what it may (the generic cell rate algorithm).
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait(self, key: str, rate: float, now: float) -> float:
        """0 if one more call is within the rate, which it then counts for; else the seconds until one would be."""
        until = max(self._until.get(key, 0.0), now)
        wait = until - now - BURST_S
        if wait > 0:
            return wait
        self.spend(key, 1 / rate, now)
        return 0.0

    def over(self, key: str, now: float) -> float:
        """How many seconds it is until what was spent is within the rate again; 0 if it is."""
        return max(self._until.get(key, 0.0) - now - BURST_S, 0.0)

    def spend(self, key: str, seconds: float, now: float) -> None:
        """So many seconds' worth of the rate, in any case."""
        self._until[key] = max(self._until.get(key, 0.0), now) + seconds
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)
