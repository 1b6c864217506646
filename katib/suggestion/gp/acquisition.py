"""What a point promises, in logarithms, with the derivatives by the model's mean and standard deviation there.

The objective is minimised. Log expected improvement after Ament et al., "Unexpected Improvements to Expected Improvement for
Bayesian Optimization" (2023): where the improvement itself is a number too small for double precision, its logarithm still
tells the better point.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import erfcx, log_ndtr

from katib.suggestion.gp.encoding import Floats

# (values, derivatives by the mean, derivatives by the standard deviation)
Promise = tuple[Floats, Floats, Floats]
Acquisition = Callable[[Floats, Floats], Promise]

_LOG_ROOT_2PI: Final = 0.5 * float(np.log(2.0 * np.pi))
_ROOT_HALF_PI: Final = float(np.sqrt(0.5 * np.pi))
_ROOT_HALF: Final = float(np.sqrt(0.5))
# Below, 1 - x from the scaled complementary error function has lost most digits: the asymptotic series takes over.
_FAR: Final = -1e3


def log_h(z: Floats) -> Floats:
    """log(phi(z) + z Phi(z)), phi and Phi the density and the distribution function of the standard normal."""
    out = np.empty_like(z)
    near = z > -1.0
    zn = z[near]
    out[near] = np.log(np.exp(-0.5 * zn * zn - _LOG_ROOT_2PI) + zn * np.exp(log_ndtr(zn)))
    zf = z[~near]
    # phi(z) (1 - |z| Phi(z)/phi(z)), the ratio by erfcx; far out 1 - ratio is 1/z^2 (1 - 3/z^2).
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(
            zf > _FAR,
            np.log1p(zf * _ROOT_HALF_PI * erfcx(-_ROOT_HALF * zf)),
            -2.0 * np.log(-zf) + np.log1p(-3.0 / (zf * zf)),
        )
    out[~near] = -0.5 * zf * zf - _LOG_ROOT_2PI + rest
    return out


def log_expected_improvement(best: float) -> Acquisition:
    """By how much a point is expected to be better than `best`."""

    def acquisition(mean: Floats, deviation: Floats) -> Promise:
        z = (best - mean) / deviation
        value = log_h(z)
        by_mean = -np.exp(log_ndtr(z) - value) / deviation
        by_deviation = np.exp(-0.5 * z * z - _LOG_ROOT_2PI - value) / deviation
        return value + np.log(deviation), by_mean, by_deviation

    return acquisition


def log_probability_of_improvement(best: float) -> Acquisition:
    """How likely a point is better than `best`."""

    def acquisition(mean: Floats, deviation: Floats) -> Promise:
        z = (best - mean) / deviation
        value = log_ndtr(z)
        slope = np.exp(-0.5 * z * z - _LOG_ROOT_2PI - value) / deviation
        return value, -slope, -slope * z

    return acquisition


def lower_confidence_bound(kappa: float) -> Acquisition:
    """How good a point may be, `kappa` standard deviations below its mean; negated, as more is better."""

    def acquisition(mean: Floats, deviation: Floats) -> Promise:
        return kappa * deviation - mean, -np.ones_like(mean), np.full_like(mean, kappa)

    return acquisition
