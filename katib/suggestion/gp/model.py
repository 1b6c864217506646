"""A Gaussian process: its likelihood with analytic gradients, its most likely hyperparameters, its predictions.

The covariance is that of `hyper`, the mean a constant.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import lapack, solve_triangular
from scipy.optimize import minimize

from katib.suggestion.gp import transforms
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.hyper import LENGTH, Fixed, Hyper, bounds, prior
from katib.suggestion.gp.kernels import Kernel, among, squared_distances
from katib.suggestion.gp.pairs import Pairs

JITTER: Final = 1e-8
# Noise, or ripples, where a search for the hyperparameters begins with much of them.
LOUD: Final = -2.0
# A step that raises the logarithm of the likelihood by a smaller share of it is the last one: what is nearer to the top
# predicts no better, in 420 pairs of searches.
CLOSE: Final = 1e-3
# Of the Monte Carlo chain, in deviations of the prior: trajectories between samples, leaps of each, their length.
_THIN: Final = 2
_LEAPS: Final = 5
_STEP: Final = 0.25


class Likelihood:
    """The negative logarithm of likelihood times prior as a function of the hyperparameters, for the objectives `y`."""

    def __init__(self, encoding: Encoding, kernel: Kernel, x: Floats, y: Floats, fixed: Fixed) -> None:
        self.encoding = encoding
        self.kernel = kernel
        self.x = x
        self.y = y
        self._features, self._owners = encoding.features(x)
        self._numbers = len(encoding.numeric)
        self._pairs = Pairs(len(x))
        self._fixed = fixed
        self._priors: dict[int, tuple[Floats, Floats]] = {}

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
        pairs = self._pairs
        squared = pairs.distances(scaled)
        (value, slope), short = hyper.parts(self.kernel, squared)
        noise, variance = float(np.exp(hyper.noise)), hyper.variance
        factor = pairs.factor(value, variance + noise + JITTER)
        if factor is None:
            return 1e10, np.zeros_like(vector)
        logarithm = float(np.log(factor.diagonal()).sum())
        inverse = pairs.inverse(factor)
        mean, rest = centre(inverse, self.y)
        alpha = inverse @ rest
        negative = 0.5 * float(rest @ alpha) + logarithm + 0.5 * mean * mean

        # Derivatives by the covariance's entries (each pair stands for two of them), then by the squared distances, then by the
        # scaled features.
        by_covariance = pairs.of(inverse)
        by_covariance -= pairs.of(alpha[:, None] * alpha)
        by_variances = 0.5 * float(np.trace(inverse) - alpha @ alpha)
        by_squared = pairs.matrix(np.multiply(by_covariance, slope, out=slope))
        pulled = by_squared.sum(axis=1)[:, None] * scaled - by_squared @ scaled
        gradient = np.zeros_like(vector)
        gradient[:columns] = np.bincount(self._owners, -2.0 * np.einsum("ij,ij->j", pulled, scaled), columns)
        gradient[columns + 1] = noise * by_variances
        gradient[columns] = float(by_covariance @ value) + variance * by_variances
        if short is not None:
            ripple = float(np.exp(hyper.ripple))
            gradient[columns + 2] = float(by_covariance @ short[0]) + ripple * by_variances
            gradient[columns] -= gradient[columns + 2]
            squared *= short[1]
            gradient[columns + 3] = -2.0 * float(by_covariance @ squared)
        if slopes is not None:
            by_feature = 2.0 * pulled[:, : self._numbers] * inverse_lengths[: self._numbers]
            by_warp = [np.einsum("ij,ij->j", by_feature, slope) for slope in slopes]
            gradient[len(gradient) - len(hyper.warp) :] = np.concatenate(by_warp)

        centres, deviations = self._prior(len(vector))
        off = (vector - centres) / deviations
        return negative + 0.5 * float(off @ off), gradient + off / deviations

    def _prior(self, size: int) -> tuple[Floats, Floats]:
        if size not in self._priors:
            self._priors[size] = prior(self.encoding, size)
        return self._priors[size]

    def bounds(self, size: int) -> list[tuple[float, float]]:
        return bounds(self.encoding, self._fixed, size)

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
                options={"maxiter": steps, "maxcor": 20, "ftol": CLOSE},
            )
            if best is None or found.fun < best[0]:
                best = float(found.fun), np.asarray(found.x, dtype=np.float64)
        assert best is not None
        return Hyper.of(best[1], len(self.encoding)), best[0]

    def left_out(self, hyper: Hyper) -> float:
        """The log probability of each objective given all others, summed: leave-one-out cross-validation in closed form."""
        root = Posterior(self.encoding, self.kernel, hyper, self.x, self.y).root
        inverse = root.T @ root
        precision = np.diag(inverse)
        off = inverse @ centre(inverse, self.y)[1]
        return float(0.5 * np.sum(np.log(precision) - off * off / precision))

    def sample(self, start: Hyper, count: int, rng: np.random.Generator) -> list[Hyper]:
        """Hyperparameters as likely as the data leave them, by Hamiltonian Monte Carlo from the most likely ones.

        Few and correlated: enough to be in doubt where one value would be sure for no good reason.
        """
        at = start.vector()
        low, high = np.array(self.bounds(len(at))).T
        free = high > low
        width = np.where(free, self._prior(len(at))[1], 0.0)
        value, gradient = self(at)
        samples = []
        for i in range(count * _THIN):
            momentum = np.zeros(len(at))
            momentum[free] = rng.normal(size=int(free.sum()))
            new, new_value, new_gradient = at, value, gradient
            moving = momentum
            step = _STEP * rng.uniform(0.7, 1.3)
            for _ in range(_LEAPS):
                moving = moving - 0.5 * step * width * new_gradient
                new = new + step * width * moving
                new_value, new_gradient = self(np.clip(new, low, high))
                moving = moving - 0.5 * step * width * new_gradient
            energy = value + 0.5 * float(momentum @ momentum)
            new_energy = new_value + 0.5 * float(moving @ moving)
            inside = bool(np.all((new >= low - 1e-9) & (new <= high + 1e-9)))
            if rng.random() < np.exp(min(0.0, energy - new_energy)) and inside:
                at, value, gradient = new, new_value, new_gradient
            if i % _THIN == _THIN - 1:
                samples.append(Hyper.of(at, len(self.encoding)))
        return samples


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
        self._variance = hyper.variance
        self._noise = float(np.exp(hyper.noise)) + JITTER
        self._inverse_lengths = np.exp(-hyper.lengths[encoding.numeric])
        self._scaled = hyper.scale(encoding, x)
        covariance = hyper.covariance(kernel, among(self._scaled))[0]
        covariance.flat[:: len(covariance) + 1] += self._noise
        factor = _factor(covariance)
        while factor is None:  # numerically singular: points on top of each other
            self._noise *= 10.0
            covariance.flat[:: len(covariance) + 1] += self._noise
            factor = _factor(covariance)
        self.root = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
        inverse = self.root.T @ self.root
        self._mean, rest = centre(inverse, y)
        self._alpha = inverse @ rest
        self._observed = len(x)

    def with_pending(self, x: Floats) -> "Posterior":
        """With the row `x` observed just where the mean expects it: the mean stays, the deviation near it falls."""
        other = object.__new__(Posterior)
        other.__dict__.update(self.__dict__)
        scaled = self.hyper.scale(self.encoding, x[None, :])
        covariance = self.hyper.covariance(self._kernel, squared_distances(self._scaled, scaled))[0][:, 0]
        row = self.root @ covariance
        last = np.sqrt(max(self._variance + self._noise - float(row @ row), self._noise * 0.5))
        size = len(self.root)
        root = np.zeros((size + 1, size + 1))
        root[:size, :size] = self.root
        root[size, :size] = -(row @ self.root) / last
        root[size, size] = 1.0 / last
        other.root = root
        other._scaled = np.concatenate([self._scaled, scaled])
        return other

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without the noise, at each row."""
        squared = squared_distances(self.hyper.scale(self.encoding, x), self._scaled)
        covariance = self.hyper.covariance(self._kernel, squared)[0]
        mean = self._mean + covariance[:, : self._observed] @ self._alpha
        root = covariance @ self.root.T
        return mean, self._deviation(np.einsum("ij,ij->i", root, root))

    def slopes(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean and deviation, and their derivatives by the numeric columns: (n, numbers) each."""
        scaled = self.hyper.scale(self.encoding, x)
        value, slope = self.hyper.covariance(self._kernel, squared_distances(scaled, self._scaled))
        mean = self._mean + value[:, : self._observed] @ self._alpha
        root = value @ self.root.T
        deviation = self._deviation(np.einsum("ij,ij->i", root, root))
        slope *= 2.0
        numbers = scaled[:, : self._numbers]
        weights = np.zeros_like(slope)
        weights[:, : self._observed] = slope[:, : self._observed] * self._alpha
        by_mean = self._pull(weights, numbers)
        weights = slope * (root @ self.root)
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
        return np.sqrt(np.maximum(self._variance - explained, 1e-10 * self._variance))


@dataclass(frozen=True)
class Fit:
    """The most likely hyperparameters first, then samples of them; and the shape of the objective."""

    hypers: list[Hyper]
    exponent: float


def fit(
    encoding: Encoding,
    kernel: Kernel,
    x: Floats,
    excesses: Floats,
    fixed: Fixed,
    warped: bool,
    rng: np.random.Generator,
    samples: int = 0,
) -> Fit:
    """The most likely hyperparameters for each shape of the objective, and of these the shape whose model best predicts each
    trial from the others: the likelihood itself would rather have many good trials alike than predict them."""
    start = Hyper.prior(encoding, warped)
    # What is noise, what is ripples and what is signal of short length is told apart by their likelihoods: a start for each.
    other = start.lengths + rng.normal(0.0, LENGTH[1], len(start.lengths))
    starts = [replace(start, ripple=LOUD) if fixed.ripples else start, replace(start, lengths=other, noise=LOUD)]
    best: tuple[float, Likelihood, Hyper, float] | None = None
    for exponent in transforms.POWERS:
        shaped = transforms.power(excesses, exponent)
        likelihood = Likelihood(encoding, kernel, x, transforms.standardised(shaped), fixed)
        hyper, _ = likelihood.fit(starts, 50)
        starts = [hyper]
        stretched = transforms.power_log_slope(excesses, exponent) - len(x) * float(np.log(max(shaped.std(), 1e-300)))
        score = likelihood.left_out(hyper) + stretched - 0.5 * ((exponent - 1.0) / _EXPONENT) ** 2
        if best is None or score > best[0]:
            best = score, likelihood, hyper, exponent
        elif score < best[0] - _LOST:
            break
    assert best is not None
    _, likelihood, hyper, exponent = best
    return Fit([hyper, *likelihood.sample(hyper, samples, rng)], exponent)


# A shape far from linear must earn it: the deviation of the prior on the exponent.
_EXPONENT: Final = 0.75
# Shapes beyond one that is so much less likely are not looked at.
_LOST: Final = 4.0


def _factor(covariance: Floats) -> Floats | None:
    factor, info = lapack.dpotrf(covariance, lower=1, clean=1)
    return None if info else factor
