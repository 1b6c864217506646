"""Test functions of the literature over continuous cubes, shifted and rotated."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.problems import Problem, Values, double, stream

Array = NDArray[np.float64]


def sphere(z: Array) -> float:
    return float(z @ z)


def ellipsoid(z: Array) -> float:
    return float((100.0 ** np.linspace(0, 1, len(z)) * z * z).sum())


def rosenbrock(z: Array) -> float:
    x = z + 1.0
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def ackley(z: Array) -> float:
    return float(20 - 20 * np.exp(-0.2 * np.sqrt(np.mean(z * z))) + math.e - np.exp(np.mean(np.cos(2 * np.pi * z))))


def rastrigin(z: Array) -> float:
    return float(10 * len(z) + (z * z - 10 * np.cos(2 * np.pi * z)).sum())


def griewank(z: Array) -> float:
    return float(1 + (z * z).sum() / 4000 - np.prod(np.cos(z / np.sqrt(np.arange(1, len(z) + 1)))))


def levy(z: Array) -> float:
    w = 1 + z / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def styblinski(z: Array) -> float:
    x = z - 2.903534
    return float(0.5 * (x**4 - 16 * x * x + 5 * x).sum() + 39.16616570377142 * len(z))


def zakharov(z: Array) -> float:
    s = 0.5 * (np.arange(1, len(z) + 1) * z).sum()
    return float((z * z).sum() + s**2 + s**4)


def schwefel12(z: Array) -> float:
    return float((np.cumsum(z) ** 2).sum())


def dixon(z: Array) -> float:
    i = np.arange(1, len(z) + 1)
    x = z + 2.0 ** -(1 - 2.0 ** (1 - i))
    return float((x[0] - 1) ** 2 + (i[1:] * (2 * x[1:] ** 2 - x[:-1]) ** 2).sum())


def salomon(z: Array) -> float:
    r = float(np.sqrt(z @ z))
    return 1 - math.cos(2 * math.pi * r) + 0.1 * r


def sharp(z: Array) -> float:
    return float(abs(z[0]) + 10 * np.sqrt((z[1:] ** 2).sum()))


def powers(z: Array) -> float:
    return float((np.abs(z) ** np.linspace(2, 6, len(z))).sum())


def gaussians(z: Array) -> float:
    """Three wells of different depth and width."""
    wells = ((0.0, 1.0, 0.35), (0.6, 0.8, 0.5), (-0.7, 0.6, 0.6))
    depth = [h * math.exp(-float(((z - c) ** 2).sum()) / (2 * w * w * len(z))) for c, h, w in wells]
    return 1.0 - max(depth)


# Name, function, dimensions, half the width of the cube in the function's own units.
Function = tuple[str, Callable[[Array], float], int, float]

SUITE: tuple[Function, ...] = (
    ("ellipsoid-4", ellipsoid, 4, 2.0),
    ("rosenbrock-3", rosenbrock, 3, 2.0),
    ("rosenbrock-6", rosenbrock, 6, 2.0),
    ("ackley-4", ackley, 4, 15.0),
    ("ackley-8", ackley, 8, 15.0),
    ("rastrigin-2", rastrigin, 2, 2.5),
    ("griewank-5", griewank, 5, 60.0),
    ("levy-5", levy, 5, 8.0),
    ("styblinski-4", styblinski, 4, 5.0),
    ("schwefel12-6", schwefel12, 6, 5.0),
    ("wells-5", gaussians, 5, 1.5),
)
HELD_OUT: tuple[Function, ...] = (
    ("sphere-10", sphere, 10, 3.0),
    ("zakharov-4", zakharov, 4, 4.0),
    ("dixon-5", dixon, 5, 3.0),
    ("salomon-3", salomon, 3, 2.0),
    ("sharp-5", sharp, 5, 2.0),
    ("powers-6", powers, 6, 2.0),
    ("levy-8", levy, 8, 8.0),
    ("wells-3", gaussians, 3, 1.5),
    ("styblinski-6", styblinski, 6, 5.0),
)

# More parameters than a study of a hundred trials can learn much about.
WIDE: tuple[Function, ...] = (
    ("ellipsoid-30", ellipsoid, 30, 2.0),
    ("rosenbrock-25", rosenbrock, 25, 2.0),
    ("ackley-30", ackley, 30, 15.0),
    ("levy-40", levy, 40, 8.0),
)


def problems(rows: Iterable[Function], instance: int, *, ends: bool = False) -> list[Problem]:
    """`ends`: the optimum is where the ranges of half of the parameters end."""
    return [_problem(*row, instance, ends) for row in rows]


def _problem(
    name: str, function: Callable[[Array], float], dimensions: int, width: float, instance: int, ends: bool
) -> Problem:
    rng = stream(name, instance)
    # Each coordinate of the optimum at least a tenth of the width from the centre and from the ends.
    optimum = 0.5 + rng.choice([-1, 1], dimensions) * rng.uniform(0.1, 0.4, dimensions)
    if ends:
        at_ends = slice(0, (dimensions + 1) // 2)
        optimum[at_ends] = np.rint(optimum[at_ends])
    rotation, triangle = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    rotation = rotation * np.sign(np.diag(triangle))
    names = [f"x{i}" for i in range(dimensions)]

    def value(values: Values) -> float:
        u = np.array([values[n] for n in names])
        return function(rotation @ (u - optimum) * 2 * width)

    shown = (f"{name}-ends" if ends else name) + (f"#{instance}" if instance else "")
    return Problem(shown, "synthetic", tuple(double(n, 0.0, 1.0) for n in names), value)
