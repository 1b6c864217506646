"""The hyperparameters of a Gaussian process, what is known of them before the first trial, and the covariance that they make.

Kernel amplitude * k(r^2) + ripple * k(r^2 / shrink^2) + noise, where r is a distance in units of each parameter's length. The
second term is shorter in every parameter alike: ripples on what the first one sees. Without it they count as noise, and what is
beside the best trial is expected to be no better than all around; or the lengths shrink to theirs, and the bowl in which they
lie is lost. The likelihood tells how much there is of them.

Priors (normal in the logarithms) carry what is known before the first trial:

- lengths grow with the square root of the number of parameters, as points of a cube are that much farther apart (Hvarfner et
  al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024);
- objectives are standardised, so the amplitude is about 1, and training runs are repeatable to within a few per cent.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from katib.suggestion.gp import transforms
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.kernels import Kernel

# log length - log(d)/2: mean and deviation of the prior. A longer or wider one is sooner sure of a smooth objective and finds
# bowls in fewer trials, and is caught in the first good basin of what has several.
LENGTH: Final = (-1.2, 0.6)
AMPLITUDE: Final = (0.0, 1.0)
NOISE: Final = (-8.0, 2.0)
# As likely to be loud as noise is, and less where the trials do not tell: what might be anywhere keeps a search from the bottom
# of a smooth bowl.
RIPPLE: Final = (-11.0, 3.0)
# Of the lengths; a seventh is likely.
SHRINK: Final = (-2.0, 0.5)
WARP: Final = 0.5
# The logarithm of a ripple that is none.
STILL: Final = -20.0
_BOUND: Final = {
    "length": (-5.0, 6.0),
    "amplitude": (-4.0, 5.0),
    "noise": (-14.0, 1.0),
    "ripple": (-16.0, 3.0),
    "shrink": (-4.0, -0.7),
    "warp": (-1.5, 1.5),
}
# Hyperparameters between the lengths and the warping.
_MIDDLE: Final = 4

# (values, derivatives by the squared distance in lengths)
Part = tuple[Floats, Floats]


@dataclass(frozen=True)
class Fixed:
    """Hyperparameters that are given; None: the most likely one. Where the length is given the kernel has that one alone."""

    length: float | None = None
    noise: float | None = None
    ripples: bool = True


@dataclass(frozen=True)
class Hyper:
    """In logarithms; `warp` has the two shapes of each numeric column, empty: not warped."""

    lengths: Floats
    amplitude: float
    noise: float
    ripple: float
    shrink: float
    warp: Floats

    def vector(self) -> Floats:
        return np.concatenate([self.lengths, [self.amplitude, self.noise, self.ripple, self.shrink], self.warp])

    @classmethod
    def of(cls, vector: Floats, columns: int) -> "Hyper":
        amplitude, noise, ripple, shrink = map(float, vector[columns : columns + _MIDDLE])
        return cls(vector[:columns], amplitude, noise, ripple, shrink, vector[columns + _MIDDLE :])

    @classmethod
    def prior(cls, encoding: Encoding, warped: bool) -> "Hyper":
        columns = len(encoding)
        lengths = np.full(columns, LENGTH[0] + 0.5 * np.log(columns))
        warp = np.zeros(2 * len(encoding.numeric) if warped else 0)
        return cls(lengths, AMPLITUDE[0], NOISE[0], RIPPLE[0], SHRINK[0], warp)

    def scale(self, encoding: Encoding, x: Floats) -> Floats:
        """The features of rows, warped, in units of their lengths."""
        features, owners = encoding.features(x)
        numbers = len(encoding.numeric)
        if len(self.warp):
            features[:, :numbers] = transforms.warp(features[:, :numbers], self.warp[:numbers], self.warp[numbers:])
        features *= np.exp(-self.lengths[owners])
        return features

    @property
    def variance(self) -> float:
        """Of the objective at a point of which nothing is known, without the noise."""
        return float(np.exp(self.amplitude)) + (float(np.exp(self.ripple)) if self.ripple > STILL else 0.0)

    def parts(self, kernel: Kernel, squared: Floats) -> tuple[Part, Part | None]:
        """The covariance at squared distances, and of it the ripples; None: there are none."""
        value, slope = kernel(squared)
        amplitude = np.exp(self.amplitude)
        value *= amplitude
        slope *= amplitude
        if self.ripple <= STILL:
            return (value, slope), None
        nearer = np.exp(-2.0 * self.shrink)
        short, short_slope = kernel(squared * nearer)
        ripple = np.exp(self.ripple)
        short *= ripple
        short_slope *= ripple * nearer
        value += short
        slope += short_slope
        return (value, slope), (short, short_slope)

    def covariance(self, kernel: Kernel, squared: Floats) -> Part:
        return self.parts(kernel, squared)[0]


def prior(encoding: Encoding, size: int) -> tuple[Floats, Floats]:
    """Centres and deviations of a vector of hyperparameters."""
    columns = len(encoding)
    centres, deviations = np.zeros(size), np.full(size, WARP)
    centres[:columns], deviations[:columns] = LENGTH[0] + 0.5 * np.log(columns), LENGTH[1]
    for i, (centre, deviation) in enumerate((AMPLITUDE, NOISE, RIPPLE, SHRINK), start=columns):
        centres[i], deviations[i] = centre, deviation
    return centres, deviations


def bounds(encoding: Encoding, fixed: Fixed, size: int) -> list[tuple[float, float]]:
    lengths, noise, ripple = _BOUND["length"], _BOUND["noise"], _BOUND["ripple"]
    if fixed.length is not None:
        lengths = (float(np.log(fixed.length)),) * 2
    if fixed.noise is not None:
        noise = (float(np.log(fixed.noise)),) * 2
    shrink = _BOUND["shrink"]
    if fixed.length is not None or not fixed.ripples:
        ripple, shrink = (STILL, STILL), (SHRINK[0], SHRINK[0])
    head = [lengths] * len(encoding) + [_BOUND["amplitude"], noise, ripple, shrink]
    return head + [_BOUND["warp"]] * (size - len(head))
