"""A search space as densities see it: numbers are coordinates of the unit cube, where a value with steps has a cell of its own;
categories are places in their lists."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from katib.suggestion.gp.encoding import Encoding, Floats

Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Points:
    """`numbers`: (n, numbers), in the unit cube; `categories`: (n, categories)."""

    numbers: Floats
    categories: Ints

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: Ints) -> "Points":
        return Points(self.numbers[which], self.categories[which])


def together(*parts: Points) -> Points:
    return Points(np.concatenate([p.numbers for p in parts]), np.concatenate([p.categories for p in parts]))


class Cells:
    """Between an encoding's rows and points, and what of the cube stands for one value.

    `borders`: for each number the borders of its values' cells, the cube's among them, or None for a continuum. What has more
    values than an encoding tells apart counts as one. `stepped` and `smooth` are the numbers of either kind; `choices` is how
    many values each category parameter has.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.choices = [encoding.columns[i].choices for i in encoding.categorical]
        self._columns = [encoding.columns[i] for i in encoding.numeric]
        self.borders = [
            None if c.units is None or c.beyond else np.concatenate([[0.0], _between(c.units), [1.0]])
            for c in self._columns
        ]
        self.stepped = [(i, b) for i, b in enumerate(self.borders) if b is not None]
        self.smooth = np.array([i for i, b in enumerate(self.borders) if b is None], dtype=np.intp)

    def points(self, rows: Floats) -> Points:
        """A value with steps is the middle of its cell."""
        numbers = rows[:, self.encoding.numeric]
        for i, column in enumerate(self._columns):
            if column.levels is None or column.units is None:
                continue
            x = numbers[:, i]
            units = column.units[np.searchsorted(_between(column.levels), x)]
            numbers[:, i] = np.where(x > column.levels[-1], x, units) if column.beyond else units
        return Points(numbers, rows[:, self.encoding.categorical].astype(np.intp))

    def rows(self, points: Points) -> Floats:
        """Each is the row of a point of the search space."""
        cube = np.empty((len(points), len(self.encoding)))
        cube[:, self.encoding.numeric] = points.numbers
        for i, column in enumerate(self.encoding.categorical):
            cube[:, column] = (points.categories[:, i] + 0.5) / self.choices[i]
        return self.encoding.from_cube(cube)


def _between(x: Floats) -> Floats:
    return np.asarray(0.5 * (x[1:] + x[:-1]), dtype=np.float64)
