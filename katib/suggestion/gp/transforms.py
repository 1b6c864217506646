"""What makes objectives fit for a Gaussian process: outliers drawn in, the shape by Yeo and Johnson's power transform; and
the warping of inputs by Kumaraswamy's distribution function.

Every transform of the objective grows strictly, so that the order of the trials stays.
"""

from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Floats

# So many robust scales above the median (worse) and below it (better) values are taken as they are; farther out only their
# logarithm counts.
WORSE: Final = 4.0
BETTER: Final = 8.0
POWERS: Final = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def draw_in(y: Floats) -> Floats:
    """Finite objectives, to be minimised, in robust units: median 0, and the scale that of the better half, which no failure
    of a trial's training can blow up."""
    y = np.clip(y, -1e300, 1e300)
    median = float(np.median(y))
    better = y[y <= median]
    scale = median - float(np.quantile(better, 0.2))
    if not scale > 0.0:
        scale = median - float(np.min(y))
    if not scale > 0.0:
        worse = y[y > median]
        scale = float(np.min(worse)) - median if len(worse) else 1.0
    with np.errstate(over="ignore"):
        z = np.clip((y - median) / scale, -1e300, 1e300)
    z = np.where(z > WORSE, WORSE + np.log1p(np.maximum(z - WORSE, 0.0)), z)
    return np.where(z < -BETTER, -BETTER - np.log1p(np.maximum(-z - BETTER, 0.0)), z)


def power(z: Floats, exponent: float) -> Floats:
    """Yeo and Johnson (2000): 1 changes nothing, less than 1 spreads what is small and good and draws in what is large."""
    positive = np.log1p(np.maximum(z, 0.0))
    negative = np.log1p(np.maximum(-z, 0.0))
    rest = 2.0 - exponent
    above = positive if exponent == 0.0 else np.expm1(exponent * positive) / exponent
    below = negative if rest == 0.0 else np.expm1(rest * negative) / rest
    return np.where(z >= 0.0, above, -below)


def power_log_slope(z: Floats, exponent: float) -> float:
    """The sum of the logarithms of the derivative of `power` at each of `z`."""
    return float((exponent - 1.0) * np.sum(np.sign(z) * np.log1p(np.abs(z))))


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
