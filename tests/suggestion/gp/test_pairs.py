"""Half a matrix says what the whole one does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.suggestion.gp.kernels import matern52, squared_distances
from katib.suggestion.gp.pairs import Pairs

COUNTS = st.integers(1, 30)
SEEDS = st.integers(0, 2**32 - 1)


@given(COUNTS, SEEDS)
def test_distances_are_those_of_the_whole_matrix(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    pairs = Pairs(count)
    whole = squared_distances(points, points)
    assert pairs.distances(points) == pytest.approx(pairs.of(whole), abs=1e-12)
    assert pairs.matrix(pairs.of(whole)) == pytest.approx(whole, abs=1e-12)


@given(COUNTS, SEEDS)
def test_factor_and_inverse_are_those_of_the_whole_matrix(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    pairs = Pairs(count)
    covariance = matern52(squared_distances(points, points))[0]
    np.fill_diagonal(covariance, 1.1)
    factor = pairs.factor(pairs.of(covariance), 1.1)
    assert factor is not None
    assert factor @ factor.T == pytest.approx(covariance)
    assert pairs.inverse(factor) == pytest.approx(np.linalg.inv(covariance), rel=1e-6, abs=1e-9)


def test_a_matrix_that_is_not_positive_has_no_factor() -> None:
    assert Pairs(2).factor(np.array([2.0]), 1.0) is None
