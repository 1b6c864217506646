"""How long to wait before another try."""

import random

# Beyond so many failures the wait does not grow any more, whatever it may grow to.
_DOUBLINGS = 32


def doubled(failures: int, first: float, most: float) -> float:
    """`first` after one failure, twice as long after each further one on end, and `most` at the most."""
    return min(first * 2.0 ** min(failures - 1, _DOUBLINGS), most)


def by_chance(seconds: float, least: float, most: float = 1.0) -> float:
    """Between these parts of it: whoever met others at one moment does not meet them all at the next."""
    return seconds * random.uniform(least, most)  # noqa: S311 - no secret


def backoff(failures: int, first: float, most: float, least: float = 0.5) -> float:
    """As `doubled`, down to the part `least` of it by chance."""
    return by_chance(doubled(failures, first, most), least)
