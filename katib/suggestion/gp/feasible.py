"""How likely a trial ends with a number, from where others did and did not.

Failures near a point count by the kernel's correlation with it, against all trials near it. With nothing near, the share is a
cautious part of the study's; one failure that chance explains hardly moves it, and a region where every trial fails is left.
"""

import numpy as np

from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.kernels import matern52, squared_distances
from katib.suggestion.gp.model import Hyper

# The weight of the study's share of failures, in trials.
_WEIGHT = 1.0
# Regions of failure have edges, which the objective's lengths know nothing of: theirs are shorter.
_SHORTER = 0.35


class Feasibility:
    def __init__(self, encoding: Encoding, hyper: Hyper, x: Floats, failed: Floats) -> None:
        """`x`: the rows of all trials that ended by themselves; `failed`: 1 where it failed, else 0."""
        self._encoding = encoding
        features, owners = encoding.features(x)
        # Beyond twice a column's width a length says only that the objective does not depend on it.
        self._inverse = np.exp(-np.minimum(hyper.lengths, np.log(2.0))[owners]) / _SHORTER
        self._scaled = features * self._inverse
        self._failed = failed
        self._share = 0.5 * float(failed.mean())
        self._numbers = len(encoding.numeric)

    def log_probability(self, x: Floats) -> Floats:
        return self.slopes(x)[0]

    def slopes(self, x: Floats) -> tuple[Floats, Floats]:
        """The logarithm of the probability, and its derivatives by the numeric columns."""
        scaled = self._encoding.features(x)[0] * self._inverse
        value, slope = matern52(squared_distances(scaled, self._scaled))
        fails, alls = value @ self._failed, value.sum(axis=1)
        well = alls - fails + _WEIGHT * (1.0 - self._share)
        total = alls + _WEIGHT
        numbers = scaled[:, : self._numbers]
        others = self._scaled[:, : self._numbers]

        def pull(weights: Floats) -> Floats:
            pulled: Floats = weights.sum(axis=1)[:, None] * numbers - weights @ others
            pulled *= 2.0 * self._inverse[: self._numbers]
            return pulled

        gradient = pull(slope * (1.0 - self._failed)) / well[:, None] - pull(slope) / total[:, None]
        return np.log(well / total), gradient
