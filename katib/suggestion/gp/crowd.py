"""Distance from trials that run: beside one of them there is nothing to learn that it will not tell."""

from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.kernels import squared_distances

# Within about this distance in each parameter, of its range.
_WIDTH: Final = 0.02


class Crowd:
    """A factor from 0 at a pending row to 1 away from all. The model takes pending rows for known, but where nothing else
    promises much either, what is left of doubt just beside one could still be the most."""

    def __init__(self, encoding: Encoding, pending: Floats) -> None:
        self._encoding = encoding
        self._variance = 2.0 * _WIDTH**2 * len(encoding)
        self._features = encoding.features(pending)[0]
        self._numbers = len(encoding.numeric)

    def slopes(self, x: Floats) -> tuple[Floats, Floats]:
        """The logarithm of the factor, and its derivatives by the numeric columns."""
        features = self._encoding.features(x)[0]
        away = np.maximum(squared_distances(features, self._features) / self._variance, 1e-9)
        weights = 1.0 / np.expm1(np.minimum(away, 700.0))
        numbers = features[:, : self._numbers]
        pulled: Floats = weights.sum(axis=1)[:, None] * numbers - weights @ self._features[:, : self._numbers]
        return np.asarray(np.log(-np.expm1(-away)).sum(axis=1)), pulled * (2.0 / self._variance)
