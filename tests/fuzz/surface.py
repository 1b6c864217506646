"""What is put to the test: something that takes one hostile input at a time and says what came of it."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Protocol

import psutil

# Caches are full, pools are grown and modules are loaded after so much of the inputs: what is added afterwards is a leak, or
# grows with what was stored.
_WARM: Final = 0.3
_MEBIBYTE: Final = 2**20


class BrokenError(AssertionError):
    """The surface did not hold: what came of the input is none of what may come of one."""


class Target(Protocol):
    # By how many MiB it may grow over the inputs after the first third.
    may_grow: float

    def put(self, rnd: Random) -> str:
        """Makes an input and puts it; a word for what came of it. Raises BrokenError."""

    def memory(self) -> float:
        """What its processes hold now, in MiB."""

    def check(self) -> None:
        """Looks at what is seen only at the end, such as a log. Raises BrokenError."""


Surface = Callable[[Path], AbstractContextManager[Target]]


@dataclass
class Outcome:
    inputs: int
    seconds: float
    grown: float
    words: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        words = ", ".join(f"{word} {count}" for word, count in self.words.most_common())
        return f"{self.inputs} inputs in {self.seconds:.0f} s, {self.grown:+.0f} MiB: {words}"


def attack(target: Target, name: str, seed: int, first: int, inputs: int) -> Outcome:
    """Puts inputs `first` to `first + inputs - 1` of the seed. Raises BrokenError that names the input."""
    begin = time.monotonic()
    words: Counter[str] = Counter()
    before = target.memory()
    for number in range(first, first + inputs):
        if number == first + int(inputs * _WARM):
            before = target.memory()
        try:
            words[target.put(Random(f"{seed}/{name}/{number}"))] += 1
        except BrokenError as error:
            raise BrokenError(f"{name}, input {number} of seed {seed}: {error}") from error
        except Exception as error:
            raise BrokenError(f"{name}, input {number} of seed {seed}: {type(error).__name__}: {error}") from error
    target.check()
    grown = target.memory() - before
    if grown > target.may_grow:
        raise BrokenError(f"{name}, seed {seed}: grew by {grown:.0f} MiB over {inputs} inputs")
    return Outcome(inputs, time.monotonic() - begin, grown, words)


def memory_of(*pids: int) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in pids) / _MEBIBYTE


def own_memory() -> float:
    return memory_of(psutil.Process().pid)
