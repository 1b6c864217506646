"""A search space as a model sees it: one column per parameter that has more than one value.

Numbers lie in [0, 1] on the parameter's own scale; what has steps, at its values alone, the first at 0 and the last at 1.
Categories are their numbers in the list, which mean nothing but same or different.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import (
    Dimension,
    NumericDimension,
    Parameter,
    ParameterConfig,
    ParameterType,
    SearchSpace,
)

Floats = NDArray[np.float64]

# Of a dimension with more values only the lowest so many are told apart by the search; above, on a log scale as on a linear
# one, neighbours are nearer than any model can tell, and the transform of the domain rounds.
MAX_LEVELS: Final = 2048
# Steps by which a number may miss a value that is meant.
_OFF: Final = Decimal("1e-6")
# Points of a continuum nearer than this are the same.
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Column:
    """`levels`: the places of the values in [0, 1], ascending; None for a continuum. `units`: the coordinates in the unit cube
    that they stand for. `beyond`: above the last level a continuum begins. A categorical column has `choices` and no levels."""

    dimension: Dimension
    choices: int = 0
    levels: Floats | None = None
    units: Floats | None = None
    beyond: bool = False

    def unit(self, x: float) -> float:
        """The coordinate in the unit cube."""
        if self.choices:
            return (x + 0.5) / self.choices
        if self.levels is not None and self.units is not None and not (self.beyond and x > self.levels[-1]):
            return float(self.units[_nearest(self.levels, np.array([x]))[0]])
        return x

    def snap(self, x: Floats) -> Floats:
        """The nearest values."""
        if self.choices:
            return np.clip(np.rint(x), 0, self.choices - 1)
        x = np.clip(x, 0.0, 1.0)
        if self.levels is None:
            return x
        snapped = self.levels[_nearest(self.levels, x)]
        return np.where(x > self.levels[-1], x, snapped) if self.beyond else snapped


class Encoding:
    """Between parameters and rows of a matrix, one column per parameter with more than one value."""

    def __init__(self, space: SearchSpace, columns: tuple[Column, ...] | None = None) -> None:
        self.space = space
        self.columns = columns_of(space) if columns is None else columns
        self._active = [i for i, d in enumerate(space) if d.cardinality != 1]
        # What has one value, and the texts that were found to be it.
        self._fixed: list[tuple[Dimension, set[str]]] = [(d, set()) for d in space if d.cardinality == 1]
        self.categorical = np.array([i for i, c in enumerate(self.columns) if c.choices], dtype=np.intp)
        self.numeric = np.array([i for i, c in enumerate(self.columns) if not c.choices], dtype=np.intp)
        # Those that a search moves by steps, and those that it moves by gradients.
        self.stepped = np.array([i for i, c in enumerate(self.columns) if c.levels is not None], dtype=np.intp)
        self.smooth = np.array([i for i, c in enumerate(self.columns) if c.levels is None and not c.choices], np.intp)
        self.known: list[dict[str, float]] = [{} for _ in self.columns]

    def __len__(self) -> int:
        return len(self.columns)

    def rows(self, trials: Iterable[Sequence[Parameter]]) -> tuple[Floats, list[int]]:
        """A row for each of the trials whose parameters are of this space, and which those are."""
        rows: list[list[float]] = []
        which = []
        for i, parameters in enumerate(trials):
            try:
                rows.append(self._row(parameters))
            except (InvalidArgumentError, KeyError):
                continue
            which.append(i)
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self)), which

    def _row(self, parameters: Sequence[Parameter]) -> list[float]:
        values = {p.name: p.value for p in parameters}
        for dimension, found in self._fixed:
            if (text := values[dimension.name]) not in found:
                # With another value it is a trial of another space, whose objective is not that of a point of this one.
                dimension.index_of(text)
                found.add(text)
        row = []
        for column, known in zip(self.columns, self.known, strict=True):
            text = values[column.dimension.name]
            place = known.get(text)
            if place is None:
                place = _place(column, text)
                # A continuum's texts hardly ever come again but with a trial whose row is remembered elsewhere.
                if len(known) < MAX_LEVELS:
                    known[text] = place
            row.append(place)
        return row

    def parameters(self, row: Floats) -> tuple[Parameter, ...]:
        unit = [0.5] * len(self.space)
        for i, column, x in zip(self._active, self.columns, row, strict=True):
            unit[i] = column.unit(float(x))
        return self.space.from_unit(unit)

    def canonical(self, row: Floats) -> Floats:
        """The row that the point's own values have."""
        return np.array(self._row(self.parameters(row)), dtype=np.float64)

    def every_row(self) -> Floats:
        """All points of a finite space without columns beyond MAX_LEVELS."""
        axes = [np.arange(c.choices, dtype=np.float64) if c.levels is None else c.levels for c in self.columns]
        if not axes:
            return np.empty((1, 0))
        return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)

    def snap(self, x: Floats) -> Floats:
        """The nearest rows that stand for points of the space."""
        out = np.empty_like(x)
        for i, column in enumerate(self.columns):
            out[:, i] = column.snap(x[:, i])
        return out

    def from_cube(self, u: Floats) -> Floats:
        """Rows for points of the unit cube: each value gets its share of the interval, on a log scale nearly so."""
        out = u.copy()
        for i, column in enumerate(self.columns):
            if column.choices:
                out[:, i] = np.minimum(np.floor(u[:, i] * column.choices), column.choices - 1)
            elif column.levels is not None and column.units is not None:
                levels = column.levels[_nearest(column.units, u[:, i])]
                out[:, i] = np.where(u[:, i] > column.units[-1], u[:, i], levels) if column.beyond else levels
        return out

    def key(self, row: Floats) -> tuple[float, ...]:
        """What rows of the same point share."""
        return tuple(np.round(row, _DIGITS).tolist())

    def features(self, x: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Columns between which the squared distance counts, and whose parameter each is: numbers as they are, each category
        by an indicator, so that two different ones have the squared distance 1."""
        parts = [x[:, self.numeric]]
        owners = [self.numeric]
        for i in self.categorical:
            choices = self.columns[i].choices
            parts.append((x[:, i, None] == np.arange(choices)) * np.sqrt(0.5))
            owners.append(np.full(choices, i, dtype=np.intp))
        return np.concatenate(parts, axis=1), np.concatenate(owners)


def columns_of(space: SearchSpace) -> tuple[Column, ...]:
    return tuple(_column(d) for d in space if d.cardinality != 1)


@lru_cache(maxsize=32)
def columns_for(parameters: tuple[ParameterConfig, ...]) -> tuple[Column, ...]:
    """Remembered for speed alone: the places of two thousand values on a log scale take some time."""
    return columns_of(SearchSpace.of(parameters))


def _column(dimension: Dimension) -> Column:
    count = dimension.cardinality
    if count is None:
        return Column(dimension)
    if dimension.type is ParameterType.CATEGORICAL:
        return Column(dimension, choices=count)
    if dimension.equal_shares:
        if count > MAX_LEVELS:
            return Column(dimension)
        return Column(dimension, levels=np.linspace(0.0, 1.0, count), units=(np.arange(count) + 0.5) / count)
    shown = min(count, MAX_LEVELS)
    units = np.array([dimension.to_unit(dimension.at(i)) for i in range(shown)])
    if shown < count:
        return Column(dimension, levels=units, units=units, beyond=True)
    return Column(dimension, levels=(units - units[0]) / (units[-1] - units[0]), units=units)


def _place(column: Column, text: str) -> float:
    dimension = column.dimension
    if column.choices:
        return float(dimension.index_of(text))
    unit = dimension.to_unit(text)
    if isinstance(dimension, NumericDimension):
        if not float(dimension.low) <= float(text) <= float(dimension.high):
            # Of a trial from elsewhere, whose objective is not that of the end of the range.
            raise InvalidArgumentError.of(dimension.name, text, f"expected {dimension.low} to {dimension.high}")
        if dimension.step is not None and not _on_step(dimension, float(text)):
            # Nor that of the nearest value, which would count as tried.
            raise InvalidArgumentError.of(dimension.name, text, f"expected {dimension.low} + k * {dimension.step}")
    if column.levels is None or column.units is None or (column.beyond and unit > column.units[-1]):
        return unit
    return float(column.levels[_nearest(column.units, np.array([unit]))[0]])


def _on_step(dimension: NumericDimension, number: float) -> bool:
    """To within rounding, as of 0.1 * 3: a part of the step, or what doubles of that size are apart."""
    step = dimension.step or Decimal(1)
    steps = (Decimal(number) - dimension.low) / step
    off = abs(steps - steps.to_integral_value()) * step
    return off < max(_OFF * step, Decimal(math.ulp(number)))


def _nearest(sorted_: Floats, x: Floats) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(sorted_, x), 1, len(sorted_) - 1)
    return right - (x - sorted_[right - 1] <= sorted_[right] - x)
