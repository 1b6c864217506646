"""Suggestions from a distribution, none of them twice."""

from typing import Final

import numpy as np

from katib.domain.trial import Tag
from katib.suggestion.cells import Cells
from katib.suggestion.cmaes.runs import Position
from katib.suggestion.gp.encoding import Floats
from katib.suggestion.seen import Taken
from katib.suggestion.untried import any_untried, first_untried

# Draws for one suggestion before it is a random one: the distribution is then all in points that were tried.
_DRAWS: Final = 50


class Drawing:
    def __init__(self, cells: Cells, position: Position, taken: Taken, seed: int) -> None:
        self._cells = cells
        self._position = position
        self._seed = seed
        self.taken = taken

    def next_row(self, number: int) -> tuple[Floats, tuple[Tag, ...]]:
        """The row of a point that is not taken, of which there is one, for trial `number`, and what the trial must remember."""
        encoding = self._cells.encoding
        rng = np.random.default_rng([self._seed, number])
        for _ in range(_DRAWS):
            point = self._position.distribution.sample(rng)
            row = first_untried(encoding, self._cells.rows(point), self.taken)
            if row is not None:
                break
        else:
            row = any_untried(encoding, self.taken, self._seed, number)
            point = self._cells.points(row[None, :])
        self.taken.add(encoding.key(row))
        return row, self._position.tags(point)
