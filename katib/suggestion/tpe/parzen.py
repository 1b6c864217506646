"""Parzen estimators over mixed spaces: a kernel at each trial, a product over the parameters, and a uniform prior.

The parameters of one kernel belong together, so that the estimator knows which values go with which (multivariate, as in
Falkner et al. 2018, "BOHB", and Watanabe 2023, "Tree-structured Parzen estimator"). Numbers lie in the unit cube; a value with
steps has the mass of its cell there, and not a density, so that what is estimated is the probability of what can be tried.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from katib.suggestion.cells import Cells, Points
from katib.suggestion.gp.encoding import Floats

_ROOT_2PI: Final = float(np.sqrt(2.0 * np.pi))
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Kernels:
    """How wide they are. `width`: one standard deviation of a number's kernel for each of them; `blur`: for each category
    parameter the probability that a kernel gives to the other values together."""

    width: Floats
    blur: Floats


class Mixture:
    """Kernels at `points` with `weights`, which need not sum to 1, and the uniform distribution with weight `prior`."""

    def __init__(self, cells: Cells, points: Points, weights: Floats, prior: float, kernels: Kernels) -> None:
        self._cells = cells
        self._points = points
        self._kernels = kernels
        total = float(weights.sum()) + prior
        self._weights = weights / total
        self._prior = prior / total
        width = kernels.width
        # What a kernel has within the cube: the density there is so much higher.
        self._low = ndtr((0.0 - points.numbers) / width)
        self._inside = np.maximum(ndtr((1.0 - points.numbers) / width) - self._low, _TINY)

    def sample(self, count: int, rng: np.random.Generator) -> Points:
        cells, points, kernels = self._cells, self._points, self._kernels
        numbers = rng.random((count, len(cells.borders)))
        categories = np.stack(
            [rng.integers(k, size=count) for k in cells.choices] or [np.empty(count, dtype=np.intp)], axis=1
        )[:, : len(cells.choices)]
        own = np.flatnonzero(rng.random(count) >= self._prior)
        if not len(points) or not len(own):
            return Points(numbers, categories)
        kernel = rng.choice(len(points), size=len(own), p=self._weights / self._weights.sum())
        u = self._low[kernel] + numbers[own] * self._inside[kernel]
        numbers[own] = np.clip(points.numbers[kernel] + ndtri(u) * kernels.width, 0.0, 1.0)
        for i, choices in enumerate(cells.choices):
            # Another one with the probability `blur`, each of the others as likely.
            other = (points.categories[kernel, i] + rng.integers(1, choices, size=len(own))) % choices
            blurred = rng.random(len(own)) < kernels.blur[i]
            categories[own, i] = np.where(blurred, other, points.categories[kernel, i])
        return Points(numbers, categories)

    def log_density(self, at: Points) -> Floats:
        """At each of `at`; with steps and categories, of the cell over its share of the cube."""
        cells, points, kernels = self._cells, self._points, self._kernels
        if not len(points):
            return np.zeros(len(at))
        logs = np.log(np.maximum(self._weights, _TINY))[None, :] - np.log(self._inside).sum(axis=1)[None, :]
        smooth = cells.smooth
        if len(smooth):
            width = kernels.width[smooth]
            a, b = at.numbers[:, smooth] / width, points.numbers[:, smooth] / width
            squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
            logs = logs - 0.5 * np.maximum(squares, 0.0) - np.log(width * _ROOT_2PI).sum()
        for i, borders in cells.stepped:
            places = np.clip(np.searchsorted(borders, at.numbers[:, i], side="right") - 1, 0, len(borders) - 2)
            used, which = np.unique(places, return_inverse=True)
            low, high = borders[used], borders[used + 1]
            centre = points.numbers[None, :, i]
            mass = ndtr((high[:, None] - centre) / kernels.width[i]) - ndtr((low[:, None] - centre) / kernels.width[i])
            logs = logs + np.log(np.maximum(mass, _TINY) / (high - low)[:, None])[which]
        for i, choices in enumerate(cells.choices):
            same = at.categories[:, i, None] == points.categories[None, :, i]
            blur = kernels.blur[i]
            logs = logs + np.where(same, np.log((1.0 - blur) * choices), np.log(blur / (choices - 1) * choices))
        most = np.maximum(logs.max(axis=1), np.log(max(self._prior, _TINY)))
        return np.asarray(most + np.log(np.exp(logs - most[:, None]).sum(axis=1) + self._prior * np.exp(-most)))
