"""Stationary kernels as functions of the squared distance, with their derivative by it; all are 1 at distance 0."""

from collections.abc import Callable
from typing import Final

import numpy as np

from katib.suggestion.gp.encoding import Floats

# (values, derivatives by the squared distance)
Kernel = Callable[[Floats], tuple[Floats, Floats]]

_ROOT3: Final = float(np.sqrt(3.0))
_ROOT5: Final = float(np.sqrt(5.0))


def rbf(squared: Floats) -> tuple[Floats, Floats]:
    value = np.exp(-0.5 * squared)
    return value, -0.5 * value


def matern12(squared: Floats) -> tuple[Floats, Floats]:
    distance = np.sqrt(squared)
    value = np.exp(-distance)
    # Its slope at 0 is infinite: kept finite, for a gradient method's sake.
    return value, -0.5 * value / np.maximum(distance, 1e-6)


def matern32(squared: Floats) -> tuple[Floats, Floats]:
    scaled = _ROOT3 * np.sqrt(squared)
    decay = np.exp(-scaled)
    return (1.0 + scaled) * decay, -1.5 * decay


def matern52(squared: Floats) -> tuple[Floats, Floats]:
    # In place where it can be: this is called some hundred times for a suggestion.
    scaled = np.sqrt(squared)
    scaled *= _ROOT5
    decay = np.negative(scaled)
    np.exp(decay, out=decay)
    scaled += 1.0
    slope = np.multiply(scaled, decay, out=scaled)
    value = (5.0 / 3.0) * squared
    value *= decay
    value += slope
    slope *= -5.0 / 6.0
    return value, slope


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Between the rows of `a` and those of `b`."""
    squared = a @ b.T
    squared *= -2.0
    squared += np.einsum("ij,ij->i", a, a)[:, None]
    squared += np.einsum("ij,ij->i", b, b)
    return np.maximum(squared, 0.0, out=squared)


def among(a: Floats) -> Floats:
    """Squared distances between the rows of `a`; exactly 0 from each to itself."""
    squared = squared_distances(a, a)
    np.fill_diagonal(squared, 0.0)
    return squared
