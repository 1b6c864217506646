"""The brackets of Hyperband: how many trials each rung has, and with how much of the resource.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel bandit-based approach to hyperparameter optimization",
Journal of Machine Learning Research 18 (2018), algorithm 1.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from katib.suggestion.rungs.resource import Resource


@dataclass(frozen=True, slots=True)
class RungPlan:
    """`index`: the paper's i; `value`: r_i as the parameter has it."""

    index: int
    value: str


@dataclass(frozen=True, slots=True)
class Bracket:
    """`s` and `size` (n) of the paper. Consecutive rungs whose resource is one value of the parameter are one rung: to run a
    trial again with the same resource would say nothing new. It has the index of the first of them."""

    s: int
    size: int
    eta: Fraction
    rungs: tuple[RungPlan, ...]

    def count(self, index: int, size: int | None = None) -> int:
        """n_i, the trials on rung i, at least 1. `size`: of how many, where there are not as many as planned."""
        return max(1, math.floor((size or self.size) / self.eta**index))


def brackets(resource: Resource) -> list[Bracket]:
    """In the order of the paper: the one with the most trials and the least resource first."""
    steps = resource.steps
    return [_bracket(resource, steps, s) for s in range(steps, -1, -1)]


def size(eta: Fraction, steps: int, s: int) -> int:
    """n of bracket s."""
    return math.ceil(Fraction(steps + 1, s + 1) * eta**s)


def _bracket(resource: Resource, steps: int, s: int) -> Bracket:
    rungs: list[RungPlan] = []
    for i in range(s + 1):
        value = resource.value(resource.most / resource.eta ** (s - i))
        if not rungs or rungs[-1].value != value:
            rungs.append(RungPlan(i, value))
    return Bracket(s, size(resource.eta, steps, s), resource.eta, tuple(rungs))
