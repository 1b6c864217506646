"""Rows of points that no trial has had."""

from collections.abc import Container, Iterable
from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.randomness import Permutation

# Random points of a continuum before one is given out that was tried: there are hardly ever two alike.
_DRAWS: Final = 100


def first_untried(encoding: Encoding, rows: Iterable[Floats], taken: Container[tuple[float, ...]]) -> Floats | None:
    """The first of the rows whose point is not taken; None: all are."""
    for row in rows:
        # First as it is: what it costs to know the point's own row counts where hundreds are taken.
        if encoding.key(row) not in taken:
            own = encoding.canonical(row)
            if encoding.key(own) not in taken:
                return own
    return None


def any_untried(encoding: Encoding, taken: Container[tuple[float, ...]], seed: int, number: int) -> Floats:
    """A random point for trial `number`, not taken if there is one."""
    size = encoding.space.cardinality
    if size is None:
        cube = np.random.default_rng([seed, number]).random((_DRAWS, len(encoding)))
        rows = encoding.from_cube(cube)
        found = first_untried(encoding, rows, taken)
        return encoding.canonical(rows[0]) if found is None else found
    order = Permutation(size, seed)
    row = np.empty(len(encoding))
    for i in range(size):
        # Begins elsewhere for each trial, lest all that was found before is passed each time.
        row = encoding.rows([encoding.space.at(order[(number + i) % size])])[0][0]
        if encoding.key(row) not in taken:
            break
    return row
