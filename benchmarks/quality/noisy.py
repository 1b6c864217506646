"""Problems whose trials report more or less than the truth: functions of the other suites, shifted and rotated otherwise, with
normal noise. What counts is the true value of the trial that reported the least, as it is the one that its user would take."""

from dataclasses import replace

import numpy as np

from benchmarks.quality import mixed, synthetic
from benchmarks.quality.problems import Problem, stream
from katib.domain.search_space import SearchSpace

INSTANCE = 2
# The noise's deviation, in what lies between the best and the better fifth of random points.
LITTLE, MUCH = 0.1, 0.3
FUNCTIONS = {
    "ellipsoid-4": MUCH,
    "rosenbrock-3": LITTLE,
    "ackley-4": MUCH,
    "griewank-5": LITTLE,
    "styblinski-4": LITTLE,
    "wells-5": MUCH,
}
SPACES = {"network": LITTLE, "kernels": MUCH}
# Where trials hardly say anything: for the question which algorithm is to be asked then.
LOUD_INSTANCE = 5
LOUD = (1.0, 3.0)


def problems() -> list[Problem]:
    return _problems(INSTANCE, {**FUNCTIONS, **SPACES})


def loud_problems() -> list[Problem]:
    return [p for share in LOUD for p in _problems(LOUD_INSTANCE, dict.fromkeys((*FUNCTIONS, *SPACES), share))]


def _problems(instance: int, shares: dict[str, float]) -> list[Problem]:
    rows = tuple(row for row in synthetic.SUITE if row[0] in FUNCTIONS)
    found = [*synthetic.problems(rows, instance), *mixed.problems(instance)]
    wanted = {f"{name}#{instance}": share for name, share in shares.items()}
    return [_noisy(p, wanted[p.name]) for p in found if p.name in wanted]


def _noisy(problem: Problem, share: float) -> Problem:
    space, rng = SearchSpace.of(problem.parameters), stream(problem.name, "scale")
    values = [problem.value(problem.read(space.from_unit(rng.random(len(space)).tolist()))) for _ in range(400)]
    spread = float(np.quantile(values, 0.2)) - problem.best
    name = f"{problem.name.partition('#')[0]}~{share:g}"
    return replace(problem, name=name, suite="noisy", noise=share * spread)
