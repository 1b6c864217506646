"""What a table of a real model is made from: a grid over whole exponents and lists, so that every optimizer is shown the same.
A parameter `log2_C` from -4 to 11 is a whole number to all of them.

Where one fit tells the losses of many settings (rounds of boosting, trees of a forest, epochs, neighbours) the whole axis is
taken from it.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

Axis = Sequence[int] | Sequence[str]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """`axes`: the grid, whole numbers evenly spaced or categories. `losses(setting)`: for a setting of all axes but the last,
    the mean loss of the folds for every value of the last."""

    name: str
    about: str
    axes: dict[str, Axis]
    losses: Callable[[Setting], Sequence[float]]

    def table(self) -> Iterator[float]:
        *outer, _ = self.axes
        for values in itertools.product(*(self.axes[n] for n in outer)):
            yield from self.losses(dict(zip(outer, values, strict=True)))


def rows(load: Callable[..., Any], most: int = 10_000) -> tuple[Any, Any]:
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:most]
    return x[order], y[order]


def folds(x: Any, y: Any, count: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    for train, test in KFold(count).split(x):
        yield x[train], y[train], x[test], y[test]


SCALERS = {"none": FunctionTransformer(), "standard": StandardScaler(), "minmax": MinMaxScaler()}


def tabulated(model: Model) -> dict[str, Any]:
    """What the file holds: the axes in order, and the losses with the last axis the fastest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # settings that do not converge are part of the problem
        losses = [float(f"{v:.5g}") for v in model.table()]
    return {"about": model.about, "axes": {n: list(axis) for n, axis in model.axes.items()}, "losses": losses}
