"""Objectives measured and shaped without losing their order; inputs warped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import boxcox

from katib.suggestion.gp import transforms
from katib.suggestion.gp.encoding import Floats

FINITE = arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(allow_nan=False, allow_infinity=False))


class TestExcess:
    @given(FINITE)
    def test_whatever_the_objectives_are_it_is_moderate_and_in_their_order(self, y: Floats) -> None:
        z = transforms.excess(y)

        assert z.min() == 0
        assert z.max() < 1e6
        assert (np.diff(z[np.argsort(y, kind="stable")]) >= 0).all()

    @pytest.mark.parametrize("outlier", [1e9, 1e300, 1.7976931348623157e308])
    def test_one_that_diverged_does_not_flatten_the_others(self, outlier: float) -> None:
        y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])

        z = transforms.excess(np.append(y, outlier))

        assert z[:5] == pytest.approx(np.array([0, 1, 2, 3, 4]) / 2.5)
        assert transforms.FAR < z[5] < 1e6

    @pytest.mark.parametrize("y", [[3.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 5.0], [-5.0, 0.0, 0.0, 0.0]])
    def test_objectives_that_are_mostly_equal_keep_their_differences(self, y: list[float]) -> None:
        z = transforms.excess(np.array(y))

        assert len(set(z)) == len(set(y))
        assert z.max() <= 1

    def test_it_does_not_grow_when_trials_crowd_at_the_best(self) -> None:
        first = np.linspace(1.0, 2.0, transforms.FIRST)
        crowd = 0.9 + 1e-6 * np.random.default_rng(0).random(200)

        alone, crowded = transforms.excess(np.append(first, 0.9)), transforms.excess(np.append(first, crowd))

        assert crowded[: len(first)] == pytest.approx(alone[:-1], abs=1e-5)
        assert crowded[len(first) :].max() < 1e-4

    def test_unit_and_offset_of_the_objective_do_not_matter(self) -> None:
        y = np.random.default_rng(0).normal(size=40)

        assert transforms.excess(1e-7 * y + 3.0) == pytest.approx(transforms.excess(y), abs=1e-5)


class TestPower:
    @pytest.mark.parametrize("exponent", [*transforms.POWERS, 2.0])
    def test_it_is_box_and_coxs_of_the_shifted_excess(self, exponent: float) -> None:
        z = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 30)])

        assert transforms.power(z, exponent) == pytest.approx(boxcox(z + transforms.SHIFT, exponent))

    @pytest.mark.parametrize("exponent", transforms.POWERS)
    def test_its_slope_is_that_of_differences(self, exponent: float) -> None:
        z = np.linspace(0.01, 5, 30)
        step = 1e-6

        slope = (transforms.power(z + step, exponent) - transforms.power(z - step, exponent)) / (2 * step)

        expected = float(np.log(slope).sum())
        assert transforms.power_log_slope(z, exponent) == pytest.approx(expected, rel=1e-5, abs=1e-6)


class TestWarp:
    def test_without_shapes_nothing_changes(self) -> None:
        u = np.linspace(0.01, 0.99, 9)[:, None]

        assert transforms.warp(u, np.zeros(1), np.zeros(1)) == pytest.approx(u)

    @given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0.001, 0.999))
    def test_its_slopes_are_those_of_differences(self, a: float, b: float, u: float) -> None:
        def warped(v: float, log_a: float, log_b: float) -> float:
            return float(transforms.warp(np.array([[v]]), np.array([log_a]), np.array([log_b]))[0, 0])

        step = 1e-6
        value, *slopes = transforms.warp_slopes(np.array([[u]]), np.array([a]), np.array([b]))

        assert 0 <= value[0, 0] <= 1
        expected = [
            (warped(u + step, a, b) - warped(u - step, a, b)) / (2 * step),
            (warped(u, a + step, b) - warped(u, a - step, b)) / (2 * step),
            (warped(u, a, b + step) - warped(u, a, b - step)) / (2 * step),
        ]
        assert [float(s[0, 0]) for s in slopes] == pytest.approx(expected, rel=1e-3, abs=1e-6)
