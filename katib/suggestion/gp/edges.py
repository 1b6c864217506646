"""The ends of the ranges: where a model knows least, and where the best seldom is.

A point at an end has trials on one side only, so what a Gaussian process does not know is most there, whatever the objective;
in several dimensions the corners promise most of all that nobody knows anything about. Bånkestad et al., "Boundary Variance
Inflation Causes Acquisition Bias in Gaussian Processes" (2026), say why; Siivola et al., "Correcting Boundary Over-Exploration
Deficiencies in Bayesian Optimization with Virtual Derivative Sign Observations" (2018), what it costs.
"""

from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Encoding, Floats

# Of a range, at either end.
WIDTH: Final = 0.08
# What an improvement at the very end counts. Where the trials say that the objective falls towards it, its promise is greater
# by much more than this, and it is tried.
LEAST: Final = 0.2
# A number with steps has a share of its range for either end, which is a value like others: with so many it is as good as one
# without.
MANY: Final = 50


class Edges:
    """A factor for each number of a continuum: LEAST at the ends of its range, 1 from WIDTH on."""

    def __init__(self, encoding: Encoding) -> None:
        self._numbers = encoding.numeric
        levels = (encoding.columns[i].levels for i in encoding.numeric)
        self._counts = np.array([each is None or len(each) >= MANY for each in levels], dtype=bool)

    def slopes(self, x: Floats) -> tuple[Floats, Floats]:
        """The logarithm of the factors' product, and its derivatives by the numeric columns."""
        at = x[:, self._numbers]
        inside = np.minimum(at, 1.0 - at)
        factor = np.minimum(LEAST + (1.0 - LEAST) / WIDTH * inside, 1.0)
        rising = np.where(at < 0.5, 1.0, -1.0) * (1.0 - LEAST) / WIDTH / factor
        slopes: Floats = np.where((inside < WIDTH) & self._counts, rising, 0.0)
        return np.asarray(np.where(self._counts, np.log(factor), 0.0).sum(axis=1)), slopes
