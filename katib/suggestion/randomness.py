"""Randomness without state: every random number is a function of the study's seed and of what it is for.

By hashing, so that the numbers are the same on every machine and in every release, and cost no import.
"""

import hashlib
import math
from typing import Final

from katib.domain.settings import Values, whole

SEED: Final = whole(
    "Seed",
    None,
    "The same seed gives the same trials in another study of the same search space.",
    least=0,
    most=2**63 - 1,
    default_text="from the study's id",
)
_ROUNDS: Final = 8
_WORD: Final = 8


def study_seed(values: Values, study_id: str) -> int:
    """The setting `Seed`, or a number that only the study's id determines: 0 to 2^64 - 1."""
    own = values[SEED]
    if own is not None:
        return own
    return int.from_bytes(hashlib.blake2b(study_id.encode(errors="surrogatepass"), digest_size=_WORD).digest())


def uniforms(seed: int, number: int, count: int) -> list[float]:
    """`count` independent numbers in [0, 1) that only `seed` and `number` determine."""
    key = b"uniforms" + seed.to_bytes(_WORD) + number.to_bytes(_WORD)
    words = hashlib.shake_256(key).digest(_WORD * count)
    # The upper 53 bits: what a double holds between 0.5 and 1.
    return [(int.from_bytes(words[i : i + _WORD]) >> 11) * 2.0**-53 for i in range(0, _WORD * count, _WORD)]


class Permutation:
    """A random order of 0 to size - 1 in constant memory, for any size: a Feistel network with cycle walking.

    After the construction FE1 of Black and Rogaway, "Ciphers with arbitrary finite domains" (2002): numbers below
    `size` are pairs in a left by right rectangle, hardly larger, and each round adds a hash of one half to the other; a
    result outside `size` goes through again until it is inside.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError("a permutation is of at least one number")
        self.size = size
        self._seed = seed.to_bytes(_WORD)
        self._right = _ceil_sqrt(size)
        self._left = -(-size // self._right)
        # With eight bytes more than the number itself has, the remainder is uniform for all practical purposes.
        self._bytes = (self._right.bit_length() + 7) // 8 + _WORD

    def __getitem__(self, index: int) -> int:
        self._check(index)
        while True:
            left, right = divmod(index, self._right)
            for i in range(_ROUNDS):
                if i % 2:
                    right = (right + self._hash(i, left)) % self._right
                else:
                    left = (left + self._hash(i, right)) % self._left
            index = left * self._right + right
            if index < self.size:
                return index

    def index(self, value: int) -> int:
        """Where `value` stands: `self[self.index(v)]` is v."""
        self._check(value)
        while True:
            left, right = divmod(value, self._right)
            for i in reversed(range(_ROUNDS)):
                if i % 2:
                    right = (right - self._hash(i, left)) % self._right
                else:
                    left = (left - self._hash(i, right)) % self._left
            value = left * self._right + right
            if value < self.size:
                return value

    def _check(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise IndexError(f"no number {index} of {self.size}")

    def _hash(self, round_: int, half: int) -> int:
        key = b"permutation" + self._seed + round_.to_bytes(1) + half.to_bytes(self._bytes)
        return int.from_bytes(hashlib.shake_256(key).digest(self._bytes))


def _ceil_sqrt(number: int) -> int:
    return math.isqrt(number - 1) + 1
