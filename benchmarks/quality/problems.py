"""What the algorithms are to minimise: functions of known optimum over search spaces of our kind.

No optimum is at the centre of its space, none lies along the axes: each function is shifted and rotated by draws that its name
and an instance number determine. Instance 0 is the suite; others are for checks that it was not tuned to.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from katib.domain.parameters import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.search_space import SearchSpace

Values = Mapping[str, Any]  # floats, ints, and texts of categories


@dataclass(frozen=True)
class Problem:
    """`best` is the least value there is. `noise`: the deviation of what a trial reports; the score counts the true value."""

    name: str
    suite: str
    parameters: tuple[ParameterConfig, ...]
    value: Callable[[Values], float]
    best: float = 0.0
    noise: float = 0.0

    def read(self, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
        kinds = {ParameterType.INT: int, ParameterType.CATEGORICAL: str}
        return {p.name: kinds.get(p.type, float)(p.value) for p in parameters}


def double(name: str, low: float, high: float, *, log: bool = False, step: str = "") -> ParameterConfig:
    scale = Scale.LOG if log else Scale.LINEAR
    return ParameterConfig(name, ParameterType.DOUBLE, FeasibleSpace(repr(low), repr(high), (), step, scale))


def whole(name: str, low: int, high: int, *, log: bool = False) -> ParameterConfig:
    scale = Scale.LOG if log else Scale.LINEAR
    return ParameterConfig(name, ParameterType.INT, FeasibleSpace(str(low), str(high), (), "", scale))


def discrete(name: str, *values: float) -> ParameterConfig:
    return ParameterConfig(name, ParameterType.DISCRETE, FeasibleSpace(list=tuple(map(repr, values))))


def categorical(name: str, *values: str) -> ParameterConfig:
    return ParameterConfig(name, ParameterType.CATEGORICAL, FeasibleSpace(list=values))


def stream(*key: object) -> np.random.Generator:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest))


@cache
def fingerprint(problem: Problem) -> str:
    """Of what a search of it depends on: results of a problem that has been changed since are told by it from those of today.
    Values count to six digits, as another machine's may differ in the last ones."""
    space = SearchSpace.of(problem.parameters)
    rng = np.random.default_rng(0)
    points = [problem.read(space.from_unit(rng.random(len(space)).tolist())) for _ in range(8)]
    values = [f"{x:.6g}" for x in (*map(problem.value, points), problem.best, problem.noise)]
    digest = hashlib.blake2b(repr((problem.name, problem.parameters, values)).encode(), digest_size=6)
    return digest.hexdigest()
