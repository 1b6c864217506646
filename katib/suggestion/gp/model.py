"""A Gaussian process: its likelihood with analytic gradients, its most likely hyperparameters, its predictions.

Kernel amplitude * k(|s(x) - s(x')|^2) + noise, where s scales each feature by its parameter's length and, if asked for, warps
numbers before; the mean is a constant. Priors (normal in the logarithms) carry what is known before the first trial:

- lengths grow with the square root of the number of parameters, as points of a cube are that much farther apart (Hvarfner et
  al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024);
- objectives are standardised, so the amplitude is about 1, and training runs are repeatable to within a few per cent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import lapack, solve_triangular
from scipy.optimize import minimize

from katib.suggestion.gp import transforms
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.kernels import Kernel, among, squared_distances

JITTER: Final = 1e-8
# log length - log(d)/2: mean and deviation of the prior.
LENGTH: Final = (-0.7, 1.0)
AMPLITUDE: Final = (0.0, 1.0)
NOISE: Final = (-8.0, 2.0)
WARP: Final = 0.5
NOISY: Final = -2.0
_BOUND: Final = {"length": (-5.0, 6.0), "amplitude": (-4.0, 5.0), "noise": (-14.0, 1.0), "warp": (-1.5, 1.5)}


@dataclass(frozen=True)
class Hyper:
    """In logarithms; `warp` has the two shapes of each numeric column, empty: not warped."""

    lengths: Floats
    amplitude: float
    noise: float
    warp: Floats

    def vector(self) -> Floats:
        return np.concatenate([self.lengths, [self.amplitude, self.noise], self.warp])

    def scale(self, encoding: Encoding, x: Floats) -> Floats:
        """The features of rows, warped, in units of their lengths."""
        features, owners = encoding.features(x)
        numbers = len(encoding.numeric)
        if len(self.warp):
            features[:, :numbers] = transforms.warp(features[:, :numbers], self.warp[:numbers], self.warp[numbers:])
        features *= np.exp(-self.lengths[owners])
        return features

    @classmethod
    def of(cls, vector: Floats, columns: int) -> "Hyper":
        return cls(vector[:columns], float(vector[columns]), float(vector[columns + 1]), vector[columns + 2 :])

    @classmethod
    def prior(cls, encoding: Encoding, warped: bool) -> "Hyper":
        columns = len(encoding)
        lengths = np.full(columns, LENGTH[0] + 0.5 * np.log(columns))
        return cls(lengths, AMPLITUDE[0], NOISE[0], np.zeros(2 * len(encoding.numeric) if warped else 0))


@dataclass(frozen=True)
class Fixed:
    """Hyperparameters that the study's settings give; None: the most likely one."""

    length: float | None = None
    noise: float | None = None


class Likelihood:
    """The negative logarithm of likelihood times prior as a function of the hyperparameters, for the objectives `y`."""

    def __init__(self, encoding: Encoding, kernel: Kernel, x: Floats, y: Floats, fixed: Fixed) -> None:
        self.encoding = encoding
        self.kernel = kernel
        self.x = x
        self.y = y
        self._features, self._owners = encoding.features(x)
        self._numbers = len(encoding.numeric)
        self._fixed = fixed

    def __call__(self, vector: Floats) -> tuple[float, Floats]:
        columns = len(self.encoding)
        hyper = Hyper.of(vector, columns)
        features = self._features
        slopes = None
        if len(hyper.warp):
            log_a, log_b = hyper.warp[: self._numbers], hyper.warp[self._numbers :]
            warped, _, by_a, by_b = transforms.warp_slopes(features[:, : self._numbers], log_a, log_b)
            features = np.concatenate([warped, features[:, self._numbers :]], axis=1)
            slopes = by_a, by_b
        inverse_lengths = np.exp(-hyper.lengths[self._owners])
        scaled = features * inverse_lengths
        value, slope = self.kernel(among(scaled))
        amplitude, noise = np.exp(hyper.amplitude), np.exp(hyper.noise)
        covariance = amplitude * value
        covariance.flat[:: len(covariance) + 1] += noise + JITTER
        factor = _factor(covariance)
        if factor is None:
            return 1e10, np.zeros_like(vector)
        inverse = _inverse(factor)
        mean, rest = centre(inverse, self.y)
        alpha = inverse @ rest
        negative = 0.5 * float(rest @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * mean * mean

        # Derivatives by the covariance's entries, then by the squared distances, then by the scaled features.
        by_covariance = 0.5 * (inverse - alpha[:, None] * alpha)
        by_squared = by_covariance * slope
        by_squared *= amplitude
        pulled = by_squared.sum(axis=1)[:, None] * scaled - by_squared @ scaled
        gradient = np.zeros_like(vector)
        np.add.at(gradient, self._owners, -4.0 * np.einsum("ij,ij->j", pulled, scaled))
        gradient[columns] = amplitude * float(np.sum(by_covariance * value))
        gradient[columns + 1] = noise * float(np.trace(by_covariance))
        if slopes is not None:
            by_feature = 4.0 * pulled[:, : self._numbers] * inverse_lengths[: self._numbers]
            gradient[columns + 2 : columns + 2 + self._numbers] = np.einsum("ij,ij->j", by_feature, slopes[0])
            gradient[columns + 2 + self._numbers :] = np.einsum("ij,ij->j", by_feature, slopes[1])

        centres, deviations = self._prior(len(vector))
        off = (vector - centres) / deviations
        return negative + 0.5 * float(off @ off), gradient + off / deviations

    def _prior(self, size: int) -> tuple[Floats, Floats]:
        columns = len(self.encoding)
        centres = np.zeros(size)
        deviations = np.full(size, WARP)
        centres[:columns] = LENGTH[0] + 0.5 * np.log(columns)
        deviations[:columns] = LENGTH[1]
        centres[columns], deviations[columns] = AMPLITUDE
        centres[columns + 1], deviations[columns + 1] = NOISE
        return centres, deviations

    def bounds(self, size: int) -> list[tuple[float, float]]:
        columns = len(self.encoding)
        length, noise = self._fixed.length, self._fixed.noise
        lengths = _BOUND["length"] if length is None else (np.log(length), np.log(length))
        noises = _BOUND["noise"] if noise is None else (np.log(noise), np.log(noise))
        head = [lengths] * columns + [_BOUND["amplitude"], noises]
        return head + [_BOUND["warp"]] * (size - len(head))

    def fit(self, starts: list[Hyper], steps: int) -> tuple[Hyper, float]:
        """The most likely hyperparameters that are found from `starts`, and their negative log posterior."""
        best: tuple[float, Floats] | None = None
        for start in starts:
            vector = start.vector()
            bounds = self.bounds(len(vector))
            vector = np.clip(vector, [b[0] for b in bounds], [b[1] for b in bounds])
            found = minimize(
                self,
                vector,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": steps, "maxcor": 20, "ftol": 1e-5},
            )
            if best is None or found.fun < best[0]:
                best = float(found.fun), np.asarray(found.x, dtype=np.float64)
        assert best is not None
        return Hyper.of(best[1], len(self.encoding)), best[0]


def centre(inverse: Floats, y: Floats) -> tuple[float, Floats]:
    """The most likely constant mean, under a standard normal prior, and what it leaves of `y`."""
    weights = inverse.sum(axis=1)
    mean = float(weights @ y) / (float(weights.sum()) + 1.0)
    return mean, y - mean


class Posterior:
    """What the process says of any point, given the trials; `with_pending` adds points whose outcome is not known yet."""

    def __init__(self, encoding: Encoding, kernel: Kernel, hyper: Hyper, x: Floats, y: Floats) -> None:
        self.encoding = encoding
        self.hyper = hyper
        self._kernel = kernel
        self._numbers = len(encoding.numeric)
        self._amplitude = float(np.exp(hyper.amplitude))
        self._noise = float(np.exp(hyper.noise)) + JITTER
        self._inverse_lengths = np.exp(-hyper.lengths[encoding.numeric])
        self._scaled = hyper.scale(encoding, x)
        covariance = self._amplitude * kernel(among(self._scaled))[0]
        covariance.flat[:: len(covariance) + 1] += self._noise
        factor = _factor(covariance)
        while factor is None:  # numerically singular: points on top of each other
            self._noise *= 10.0
            covariance.flat[:: len(covariance) + 1] += self._noise
            factor = _factor(covariance)
        self._root = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
        inverse = self._root.T @ self._root
        self._mean, rest = centre(inverse, y)
        self._alpha = inverse @ rest
        self._observed = len(x)

    def with_pending(self, x: Floats) -> "Posterior":
        """With the row `x` observed just where the mean expects it: the mean stays, the deviation near it falls."""
        other = object.__new__(Posterior)
        other.__dict__.update(self.__dict__)
        scaled = self.hyper.scale(self.encoding, x[None, :])
        covariance = self._amplitude * self._kernel(squared_distances(self._scaled, scaled))[0][:, 0]
        row = self._root @ covariance
        last = np.sqrt(max(self._amplitude + self._noise - float(row @ row), self._noise * 0.5))
        size = len(self._root)
        root = np.zeros((size + 1, size + 1))
        root[:size, :size] = self._root
        root[size, :size] = -(row @ self._root) / last
        root[size, size] = 1.0 / last
        other._root = root
        other._scaled = np.concatenate([self._scaled, scaled])
        return other

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without the noise, at each row."""
        covariance = (
            self._amplitude * self._kernel(squared_distances(self.hyper.scale(self.encoding, x), self._scaled))[0]
        )
        mean = self._mean + covariance[:, : self._observed] @ self._alpha
        root = covariance @ self._root.T
        return mean, self._deviation(np.einsum("ij,ij->i", root, root))

    def slopes(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean and deviation, and their derivatives by the numeric columns: (n, numbers) each."""
        scaled = self.hyper.scale(self.encoding, x)
        value, slope = self._kernel(squared_distances(scaled, self._scaled))
        value *= self._amplitude
        mean = self._mean + value[:, : self._observed] @ self._alpha
        root = value @ self._root.T
        deviation = self._deviation(np.einsum("ij,ij->i", root, root))
        slope *= 2.0 * self._amplitude
        numbers = scaled[:, : self._numbers]
        weights = np.zeros_like(slope)
        weights[:, : self._observed] = slope[:, : self._observed] * self._alpha
        by_mean = self._pull(weights, numbers)
        weights = slope * (root @ self._root)
        by_deviation = -self._pull(weights, numbers) / deviation[:, None]
        chain = self._inverse_lengths
        if len(self.hyper.warp):
            log_a, log_b = self.hyper.warp[: self._numbers], self.hyper.warp[self._numbers :]
            chain = chain * transforms.warp_slopes(x[:, self.encoding.numeric], log_a, log_b)[1]
        return mean, deviation, by_mean * chain, by_deviation * chain

    def _pull(self, weights: Floats, numbers: Floats) -> Floats:
        """Sum over j of weights[i, j] (numbers[i] - scaled[j])."""
        pulled: Floats = weights.sum(axis=1)[:, None] * numbers - weights @ self._scaled[:, : self._numbers]
        return pulled

    def _deviation(self, explained: Floats) -> Floats:
        return np.sqrt(np.maximum(self._amplitude - explained, 1e-10 * self._amplitude))


@dataclass(frozen=True)
class Fit:
    hyper: Hyper
    exponent: float
    y: Floats  # transformed and standardised, for the rows that were fitted


def fit(
    encoding: Encoding,
    kernel: Kernel,
    x: Floats,
    z: Floats,
    fixed: Fixed,
    warped: bool,
    rng: np.random.Generator,
) -> Fit:
    """Hyperparameters and the shape of the objective together: for given hyperparameters the likelihood of every shape costs
    one product, so they take turns."""
    start = Hyper.prior(encoding, warped)
    exponent = _likeliest_alone(z)
    # What is noise and what is signal of short length is told apart by their likelihoods: a start for each.
    other = start.lengths + rng.normal(0.0, LENGTH[1], len(start.lengths))
    starts = [start, replace(start, lengths=other, noise=NOISY)]
    hyper = start
    y = transforms.standardised(transforms.power(z, exponent))
    for _ in range(3):
        likelihood = Likelihood(encoding, kernel, x, y, fixed)
        hyper, _ = likelihood.fit(starts, 50)
        chosen = _likeliest_shape(encoding, kernel, hyper, x, z)
        starts = [hyper]
        if chosen == exponent:
            break
        exponent = chosen
        y = transforms.standardised(transforms.power(z, exponent))
    return Fit(hyper, exponent, y)


# A shape far from linear must earn it: the deviation of the prior on the exponent.
_EXPONENT: Final = 0.75


def _likeliest_alone(z: Floats) -> float:
    """As if the objectives were independent of where the trials are."""
    return _likeliest(z, lambda y: len(y) * float(np.var(y)))


def _likeliest_shape(encoding: Encoding, kernel: Kernel, hyper: Hyper, x: Floats, z: Floats) -> float:
    root = Posterior(encoding, kernel, hyper, x, np.zeros(len(x)))._root
    weights = root @ np.ones(len(x))
    total = float(weights @ weights)

    def squares(y: Floats) -> float:
        rooted = root @ y
        return max(float(rooted @ rooted) - float(weights @ rooted) ** 2 / total, 0.0)

    return _likeliest(z, squares)


def _likeliest(z: Floats, squares: Callable[[Floats], float]) -> float:
    def score(exponent: float) -> float:
        y = transforms.power(z, exponent)
        spread = max(squares(y), 1e-12)
        prior = 0.5 * ((exponent - 1.0) / _EXPONENT) ** 2
        return -0.5 * len(z) * float(np.log(spread)) + transforms.power_log_slope(z, exponent) - prior

    return max(transforms.POWERS, key=score)


def _factor(covariance: Floats) -> Floats | None:
    factor, info = lapack.dpotrf(covariance, lower=1, clean=1)
    return None if info else factor


def _inverse(factor: Floats) -> Floats:
    inverse, _ = lapack.dpotri(factor, lower=1)
    lower: Floats = np.tril(inverse, -1)
    lower += lower.T
    lower.flat[:: len(lower) + 1] = np.diag(inverse)
    return lower
