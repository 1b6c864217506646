"""Where there are many parameters: a box around the best trial, in which the model is trusted.

After Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization" (2019). The box grows when trial after
trial is better and shrinks when none is. Its size is replayed from the trials in their order: nothing need be remembered.
"""

from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.search import Region

# From so many parameters on, a search of the whole space spends most trials at its faces.
MANY: Final = 21
FIRST: Final = 0.8
_MOST: Final = 1.6
# Smaller than this it has found its local optimum, and starts anew.
_LEAST: Final = 0.5**6
_SUCCESSES: Final = 3
# Of the median's distance from the best: what counts as better.
_BETTER: Final = 1e-3


def side(excesses: Floats, parameters: int) -> float:
    """The box's length after trials with these objectives, in their order."""
    patience = max(4, parameters // 4)
    length, successes, failures = FIRST, 0, 0
    best = np.inf
    for value in excesses:
        if value < best - _BETTER:
            successes, failures, best = successes + 1, 0, float(value)
        else:
            successes, failures = 0, failures + 1
        if successes == _SUCCESSES:
            length, successes = min(2 * length, _MOST), 0
        elif failures == patience:
            length, failures = length / 2, 0
            if length < _LEAST:
                length = FIRST
    return length


def region(encoding: Encoding, centre: Floats, lengths: Floats, side_: float) -> Region:
    """Longer in a parameter that the objective changes slowly with; the same volume for every shape."""
    weights = np.exp(np.clip(lengths - lengths.mean(), -2.0, 2.0))
    half = 0.5 * side_ * weights
    low, high = np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
    low[encoding.categorical], high[encoding.categorical] = 0.0, 1.0
    return Region(low, high)
