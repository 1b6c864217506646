"""Log expected improvement against high-precision values; slopes against differences."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest

from katib.suggestion.gp.acquisition import (
    Acquisition,
    log_expected_improvement,
    log_h,
    log_probability_of_improvement,
    lower_confidence_bound,
)


def exact_log_h(z: float) -> float:
    """log(phi(z) + z Phi(z)) in 60 digits: below 0 by the continued fraction of Mills' ratio, else by the series of erf."""
    getcontext().prec = 60
    x = Decimal(z)
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    phi = (-x * x / 2).exp() / (2 * pi).sqrt()
    if z < -2:
        # phi + z Phi = phi (1 - |z| M(|z|)), M = 1/(t + 1/(t + 2/(t + 3/(t + ...))))
        t = -x
        tail = t
        for k in range(2000 if z > -100 else 60, 0, -1):
            tail = t + Decimal(k) / tail
        return float((-x * x / 2) - (2 * pi).sqrt().ln() + (1 - t / tail).ln())
    term = total = x
    for k in range(1, 3000):
        term = term * x * x / (2 * k + 1)
        total += term
    cumulative = Decimal("0.5") + phi * total
    return float((phi + x * cumulative).ln())


class TestLogExpectedImprovement:
    @pytest.mark.parametrize(
        "z", [30.0, 5.0, 1.0, 0.0, -0.5, -0.999, -1.001, -2.5, -6.0, -20.0, -99.0, -999.0, -1001.0, -1e4, -1e6]
    )
    def test_it_is_exact_to_ten_digits(self, z: float) -> None:
        assert float(log_h(np.array([z]))[0]) == pytest.approx(exact_log_h(z), rel=1e-10, abs=1e-9)

    def test_where_improvement_itself_is_zero_the_better_point_still_shows(self) -> None:
        value, by_mean, _ = log_expected_improvement(0.0)(np.array([100.0, 101.0, 1e8]), np.ones(3))

        assert np.isfinite(value).all()
        assert value[0] > value[1] > value[2]
        assert (by_mean < 0).all()

    def test_it_is_what_sampling_says(self) -> None:
        draws = 0.3 + 0.7 * np.random.default_rng(0).normal(size=1_000_000)

        value, _, _ = log_expected_improvement(0.1)(np.array([0.3]), np.array([0.7]))

        assert math.exp(value[0]) == pytest.approx(np.maximum(0.1 - draws, 0).mean(), rel=0.01)


@pytest.mark.parametrize(
    "acquisition",
    [log_expected_improvement(0.2), log_probability_of_improvement(0.2), lower_confidence_bound(1.5)],
    ids=["ei", "pi", "lcb"],
)
class TestSlopes:
    def test_they_are_those_of_differences(self, acquisition: Acquisition) -> None:
        mean = np.array([-1.0, 0.1, 0.3, 2.0, 5.0, 30.0])
        deviation = np.array([0.5, 0.01, 2.0, 0.3, 0.2, 1.0])
        step = 1e-6

        _, by_mean, by_deviation = acquisition(mean, deviation)

        above, below = acquisition(mean + step, deviation)[0], acquisition(mean - step, deviation)[0]
        assert by_mean == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-6)
        above, below = acquisition(mean, deviation + step)[0], acquisition(mean, deviation - step)[0]
        assert by_deviation == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-6)

    def test_less_is_better_and_more_doubt_is_no_worse_where_the_mean_is_not_good(
        self, acquisition: Acquisition
    ) -> None:
        better, worse = acquisition(np.array([0.5, 0.6]), np.array([1.0, 1.0]))[0]
        sure, unsure = acquisition(np.array([0.5, 0.5]), np.array([0.1, 1.0]))[0]

        assert better > worse
        assert unsure > sure
