"""The pairs of a number of points, each once: what is the same for both orders is computed for half of a matrix."""

from typing import Final

import numpy as np
from scipy.linalg import lapack

from katib.suggestion.gp.encoding import Floats


class Pairs:
    """Of `count` points; arrays of pairs have count * (count - 1) / 2 entries, in one order."""

    def __init__(self, count: int) -> None:
        self._count: Final = count
        self._rows, self._columns = np.tril_indices(count, -1)
        # Where they are in a matrix whose entries are in one line: faster to take from than by two indices.
        self._below = self._rows * count + self._columns
        self._above = self._columns * count + self._rows

    def of(self, matrix: Floats) -> Floats:
        """Of a symmetric matrix, or what is below the diagonal of another."""
        return matrix.ravel().take(self._below)

    def matrix(self, pairs: Floats) -> Floats:
        """The symmetric matrix with zeros on its diagonal."""
        matrix = np.zeros((self._count, self._count))
        line = matrix.reshape(-1)
        line[self._below] = pairs
        line[self._above] = pairs
        return matrix

    def distances(self, points: Floats) -> Floats:
        """The squared ones, between the rows of `points`."""
        squared = self.of(points @ points.T)
        squared *= -2.0
        norms = np.einsum("ij,ij->i", points, points)
        squared += norms.take(self._rows)
        squared += norms.take(self._columns)
        return np.maximum(squared, 0.0, out=squared)

    def factor(self, pairs: Floats, diagonal: float) -> Floats | None:
        """The Cholesky factor of the symmetric matrix: its lower triangle, for `inverse` alone; None: it is singular."""
        matrix = np.zeros((self._count, self._count))
        line = matrix.reshape(-1)
        line[self._below] = pairs
        line[:: self._count + 1] = diagonal
        # LAPACK has the columns one after the other: to it this is the upper triangle, and nothing is copied.
        _, info = lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=1)
        return None if info else matrix

    def inverse(self, factor: Floats) -> Floats:
        """Of the matrix that has this factor, in whose place it comes."""
        lapack.dpotri(factor.T, lower=0, overwrite_c=1)
        self._mirror(factor)
        return factor

    def _mirror(self, matrix: Floats) -> None:
        line = matrix.reshape(-1)
        line[self._above] = line.take(self._below)
