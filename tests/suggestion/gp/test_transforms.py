"""Objectives drawn in and shaped without losing their order; inputs warped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.preprocessing import power_transform

from katib.suggestion.gp import transforms
from katib.suggestion.gp.encoding import Floats

FINITE = arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(allow_nan=False, allow_infinity=False))


class TestDrawIn:
    @given(FINITE)
    def test_whatever_the_objectives_are_they_come_out_moderate_and_in_order(self, y: Floats) -> None:
        z = transforms.draw_in(y)

        assert np.isfinite(z).all()
        assert np.abs(z).max() < 2000
        assert (np.diff(z[np.argsort(y, kind="stable")]) >= 0).all()

    @pytest.mark.parametrize("outlier", [1e9, 1e300, 1.7976931348623157e308])
    def test_one_that_diverged_does_not_flatten_the_others(self, outlier: float) -> None:
        y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])

        z = transforms.draw_in(np.append(y, outlier))

        assert z[:5].std() > 0.5
        assert z[5] > z[4]

    @pytest.mark.parametrize("y", [[3.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 5.0], [-5.0, 0.0, 0.0, 0.0]])
    def test_objectives_that_are_mostly_equal_keep_their_differences(self, y: list[float]) -> None:
        z = transforms.draw_in(np.array(y))

        assert len(set(z)) == len(set(y))
        assert np.isfinite(z).all()

    def test_the_unit_of_the_objective_does_not_matter(self) -> None:
        y = np.random.default_rng(0).normal(size=40)

        assert transforms.draw_in(1e-7 * y + 3.0) == pytest.approx(transforms.draw_in(y), abs=1e-5)


class TestPower:
    @pytest.mark.parametrize("exponent", [*transforms.POWERS, 2.0])
    def test_it_is_yeo_and_johnsons(self, exponent: float) -> None:
        z = np.linspace(-4, 3, 41)

        ours = transforms.power(z, exponent)

        assert ours == pytest.approx(_reference(z, exponent))
        step = 1e-6
        slope = (transforms.power(z + step, exponent) - transforms.power(z - step, exponent)) / (2 * step)
        away = np.abs(z) > step
        assert transforms.power_log_slope(z[away], exponent) == pytest.approx(
            float(np.log(slope[away]).sum()), rel=1e-5, abs=1e-6
        )

    def test_scikit_learns_choice_is_the_same_transform(self) -> None:
        y = np.random.default_rng(0).lognormal(size=(50, 1))

        theirs = power_transform(y, method="yeo-johnson")[:, 0]

        best = min(
            np.abs(transforms.standardised(transforms.power(y[:, 0], e)) - theirs).max()
            for e in np.linspace(-2, 2, 401)
        )
        assert best < 0.05


def _reference(z: Floats, exponent: float) -> Floats:
    from sklearn.preprocessing import PowerTransformer

    transformer = PowerTransformer(standardize=False).fit(np.arange(5.0)[:, None])
    transformer.lambdas_ = np.array([exponent])
    return np.asarray(transformer.transform(z[:, None])[:, 0], dtype=np.float64)


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
