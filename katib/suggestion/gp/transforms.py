"""What makes objectives fit for a Gaussian process: measured from the best in robust units, their shape by Box and Cox's power
transform; and the warping of inputs by Kumaraswamy's distribution function.

Every transform of the objective grows strictly, so that the order of the trials stays.
"""

from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Floats

FIRST: Final = 20
# Beyond so many times the median's distance from the best only an objective's logarithm counts: something diverged there.
FAR: Final = 8.0
# The powers are of the distance from a point so much better than the best.
SHIFT: Final = 0.2
POWERS: Final = (1.0, 0.6, 0.3, 0.0, -0.5)


def excess(y: Floats) -> Floats:
    """How much worse than the best the finite objectives are, in the order of the trials and the less the better: 0 for the
    best, 1 for the median of the first trials.

    The first ones lie all over the space. The median of all would come ever nearer to the best, where most trials are in the
    end, and what is left beside it would look ever larger: the search would stay there for ever smaller improvements.
    """
    y = np.clip(y, -1e300, 1e300)
    worse = y - float(np.min(y))
    unit = float(np.median(worse[:FIRST]))
    if not unit > 0.0:
        unit = float(np.min(worse[worse > 0.0])) if (worse > 0.0).any() else 1.0
    with np.errstate(over="ignore"):
        worse = np.minimum(worse / unit, 1e300)
    return np.where(worse > FAR, FAR * (1.0 + np.log(np.maximum(worse, FAR) / FAR)), worse)


def power(excesses: Floats, exponent: float) -> Floats:
    """Box and Cox (1964), shifted: 1 changes nothing; the less, the more what is near the best is spread and what is far from
    it drawn in."""
    logs = np.log(excesses + SHIFT)
    return logs if exponent == 0.0 else np.expm1(exponent * logs) / exponent


def power_log_slope(excesses: Floats, exponent: float) -> float:
    """The sum of the logarithms of the derivative of `power` at each."""
    return float((exponent - 1.0) * np.sum(np.log(excesses + SHIFT)))


def standardised(y: Floats) -> Floats:
    deviation = float(np.std(y))
    return (y - float(np.mean(y))) / (deviation if deviation > 0.0 else 1.0)


def warp(u: Floats, log_a: Floats, log_b: Floats) -> Floats:
    """Kumaraswamy's 1 - (1 - u^a)^b in [0, 1], column by column."""
    return _warped(u, log_a, log_b)[0]


def warp_slopes(u: Floats, log_a: Floats, log_b: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The warped values and their derivatives by u, log a and log b."""
    warped, v, rest, log_v, log_u = _warped(u, log_a, log_b)
    a, b = np.exp(log_a), np.exp(log_b)
    by_power = b * (1.0 - warped) / rest  # d warped / d u^a
    return warped, by_power * a * v * np.exp(-log_u), by_power * v * a * log_u, -(1.0 - warped) * b * log_v


def _warped(u: Floats, log_a: Floats, log_b: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Away from the ends by a hair, where slopes are infinite."""
    u = np.clip(u, 1e-6, 1.0 - 1e-6)
    log_u = np.log(u)
    v = np.exp(np.exp(log_a) * log_u)
    rest = 1.0 - v
    log_rest = np.log(rest)
    return 1.0 - np.exp(np.exp(log_b) * log_rest), v, rest, log_rest, log_u
