"""A random forest as the model: the mean and the spread of its trees' predictions.

It has no slopes; the search goes by candidates and steps alone. The spread is that of trees grown on resampled trials, which
between trials says less of what is unknown than a Gaussian process does, so it is given a floor.
"""

from typing import Final

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.kernels import squared_distances

TREES: Final = 100
# Of the columns, those among which a tree looks for each of its splits.
SHARE: Final = 0.7
# Of a standardised objective.
_FLOOR: Final = 0.05
# Within about this distance for each parameter, a point that runs makes another one superfluous.
_WIDTH: Final = 0.15


class Forest:
    def __init__(
        self, encoding: Encoding, x: Floats, y: Floats, seed: int, trees: int = TREES, columns: str | float = SHARE
    ) -> None:
        """`columns`: what scikit-learn calls `max_features`; a whole number may be more than there are."""
        self._encoding = encoding
        features = self._features(x)
        if isinstance(columns, int):
            columns = min(columns, features.shape[1])
        self._forest = RandomForestRegressor(
            trees, min_samples_leaf=2 if len(y) > 20 else 1, max_features=columns, random_state=seed, n_jobs=1
        ).fit(features, y)
        self._pending: Floats = np.empty((0, features.shape[1]))

    def with_pending(self, x: Floats) -> "Forest":
        """Near a point that runs the deviation falls; the mean stays."""
        other = object.__new__(Forest)
        other.__dict__.update(self.__dict__)
        other._pending = np.concatenate([self._pending, self._features(x[None, :])])
        return other

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        features = self._features(x)
        single = features.astype(np.float32)
        # What a tree holds is asked directly: for a few points its class takes longer to look at them than to answer.
        trees = np.array([tree.tree_.predict(single)[:, 0] for tree in self._forest.estimators_])
        deviation: Floats = np.sqrt(trees.var(axis=0) + _FLOOR**2)
        if len(self._pending):
            near = squared_distances(features, self._pending).min(axis=1)
            deviation = deviation * np.sqrt(-np.expm1(-near / (2 * _WIDTH**2 * len(self._encoding))) + 1e-6)
        return np.asarray(trees.mean(axis=0), dtype=np.float64), deviation

    def slopes(self, _x: Floats) -> None:
        return None

    def _features(self, x: Floats) -> Floats:
        return self._encoding.features(x)[0]
