"""Which problems are run together."""

from collections.abc import Callable

from benchmarks.quality import mixed, noisy, synthetic, tables
from benchmarks.quality.problems import Problem

SUITES: dict[str, Callable[[], list[Problem]]] = {
    "synthetic": lambda: synthetic.problems(synthetic.SUITE, 0),
    "mixed": lambda: mixed.problems(0),
    "models": tables.problems,
    "noisy": noisy.problems,
    "synthetic-held-out": lambda: synthetic.problems(synthetic.HELD_OUT, 7),
    "models-held-out": lambda: tables.problems(tables.HELD_OUT),
    "noisy-loud": noisy.loud_problems,
    "wide": lambda: synthetic.problems(synthetic.WIDE, 0),
    # What algorithms are tuned on: the same functions, shifted and rotated otherwise, or with optima where ranges end; and
    # other models.
    "synthetic-other": lambda: synthetic.problems(synthetic.SUITE, 1),
    "synthetic-ends": lambda: synthetic.problems(synthetic.SUITE, 1, ends=True),
    "mixed-other": lambda: mixed.problems(1),
    "models-other": lambda: tables.problems(tables.OTHER),
}

# Those that docs/algorithms.md shows.
REPORTED = ("synthetic", "mixed", "models", "noisy", "synthetic-held-out", "models-held-out")


def problems(names: str) -> list[Problem]:
    """Those of several suites, their names joined by commas. Raises KeyError: of an unknown one."""
    return [p for name in names.split(",") for p in SUITES[name]()]
