"""One parameter: its values, where they lie between 0 and 1, and how evenly they can be spread."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import (
    Dimension,
    NumericDimension,
    Scale,
)
from tests.domain.dimensions import (
    CATEGORICAL,
    DIMENSIONS,
    DISCRETE,
    DOUBLE,
    FINITE_DIMENSIONS,
    INT,
    UNIT,
    continua,
    dimension,
)


class TestTransform:
    @given(DIMENSIONS, UNIT)
    def test_every_point_of_the_interval_is_a_value_that_the_study_allows(self, d: Dimension, u: float) -> None:
        value = d.from_unit(u)

        assert d.contains(value)
        if isinstance(d, NumericDimension):
            assert float(d.low) <= float(value) <= float(d.high)

    @given(FINITE_DIMENSIONS, UNIT)
    def test_a_value_of_finitely_many_comes_back_from_its_coordinate(self, d: Dimension, u: float) -> None:
        value = d.from_unit(u)

        assert d.from_unit(d.to_unit(value)) == value

    @given(continua(), UNIT)
    def test_a_value_of_a_continuum_comes_back_to_within_rounding(self, d: Dimension, u: float) -> None:
        value = d.from_unit(u)

        again = d.to_unit(d.from_unit(d.to_unit(value)))

        assert 0.0 <= again <= 1.0
        assert math.isclose(again, d.to_unit(value), abs_tol=1e-12)

    @given(DIMENSIONS)
    def test_the_ends_of_the_interval_are_the_ends_of_the_range(self, d: Dimension) -> None:
        if isinstance(d, NumericDimension):
            assert float(d.from_unit(0.0)) == float(d.low)
            last = d.high if d.cardinality is None else d.at(d.cardinality - 1)
            assert float(d.from_unit(1.0)) == float(last)
        else:
            assert d.from_unit(0.0) != d.from_unit(1.0) or d.cardinality == 1

    @given(DIMENSIONS, UNIT, UNIT)
    def test_the_order_of_numbers_is_the_order_of_their_coordinates(self, d: Dimension, u: float, v: float) -> None:
        assume(d.type is not CATEGORICAL)
        u, v = sorted((u, v))

        assert float(d.from_unit(u)) <= float(d.from_unit(v))

    @given(FINITE_DIMENSIONS, st.integers(0, 2**60))
    def test_a_value_and_its_number_determine_each_other(self, d: Dimension, number: int) -> None:
        assert d.cardinality is not None
        index = number % d.cardinality

        assert d.index_of(d.at(index)) == index
        assert 0.0 < d.to_unit(d.at(index)) < 1.0
        assert d.from_unit(d.to_unit(d.at(index))) == d.at(index)

    def test_values_of_a_linear_range_have_equal_shares(self) -> None:
        d = dimension(INT, 1, 4)

        counts = [sum(d.from_unit(i / 1000) == str(v) for i in range(1000)) for v in range(1, 5)]

        assert counts == [250, 250, 250, 250]

    def test_whole_numbers_on_a_log_scale_have_the_share_of_their_cell(self) -> None:
        d = dimension(INT, 1, 100, scale=Scale.LOG)
        whole = math.log(100.5) - math.log(0.5)

        for value in (1, 2, 10, 100):
            share = sum(d.from_unit(i / 20000) == str(value) for i in range(20000)) / 20000
            assert share == pytest.approx((math.log(value + 0.5) - math.log(value - 0.5)) / whole, abs=2e-4)

    def test_a_log_scale_is_uniform_in_the_exponent(self) -> None:
        d = dimension(DOUBLE, "1e-6", "1", scale=Scale.LOG)

        assert float(d.from_unit(0.5)) == pytest.approx(1e-3)
        assert d.to_unit("0.01") == pytest.approx(4 / 6)

    def test_steps_are_exact_decimals(self) -> None:
        d = dimension(DOUBLE, "0", "1", step="0.1")

        assert [d.at(i) for i in range(11)] == [repr(i / 10) for i in range(11)]

    def test_the_largest_double_is_reached_and_not_passed(self) -> None:
        d = dimension(DOUBLE, "-1.7976931348623157e308", "1.7976931348623157e308")

        assert d.from_unit(0.0) == "-1.7976931348623157e+308"
        assert d.from_unit(1.0) == "1.7976931348623157e+308"
        assert abs(float(d.from_unit(0.5))) < 1e293
        assert d.to_unit("0") == 0.5

    def test_the_smallest_double_has_a_logarithm(self) -> None:
        d = dimension(DOUBLE, "5e-324", "1e-300", scale=Scale.LOG)
        steps = dimension(DOUBLE, "5e-324", "1", step="0.7", scale=Scale.LOG)

        assert d.from_unit(0.0) == "5e-324"
        assert steps.from_unit(0.0) == "5e-324"
        assert steps.from_unit(1.0) == "0.7"

    def test_numbers_outside_the_bounds_are_clipped(self) -> None:
        assert dimension(DOUBLE, 0, 1).to_unit("7") == 1.0
        assert dimension(INT, 1, 4).to_unit("-3") == 0.125
        assert dimension(DOUBLE, 0, 1).from_unit(-0.1) == "0.0"
        assert dimension(CATEGORICAL, values=("a", "b")).from_unit(1.5) == "b"

    def test_a_discrete_value_is_known_by_its_number_and_given_by_its_text(self) -> None:
        d = dimension(DISCRETE, values=("16", "1e1", "0.50"))

        assert d.from_unit(d.to_unit("10")) == "1e1"
        assert [d.from_unit(u) for u in (0.1, 0.5, 0.9)] == ["0.50", "1e1", "16"]
        assert [d.at(i) for i in range(3)] == ["16", "1e1", "0.50"]
        assert d.index_of("0.5") == 2

    @pytest.mark.parametrize("value", ["", "abc", "nan", "inf"])
    def test_what_is_no_number_has_no_coordinate(self, value: str) -> None:
        for d in (dimension(DOUBLE, 0, 1), dimension(INT, 0, 3), dimension(DISCRETE, values=("1", "2"))):
            with pytest.raises(InvalidArgumentError):
                d.to_unit(value)
            assert not d.contains(value)

    def test_a_value_that_is_not_in_the_list_has_no_coordinate(self) -> None:
        with pytest.raises(InvalidArgumentError, match="one of the parameter's list"):
            dimension(CATEGORICAL, values=("a", "b")).to_unit("c")

    def test_a_value_between_two_steps_is_not_contained(self) -> None:
        d = dimension(DOUBLE, 0, 1, step="0.1")

        assert d.contains("0.3")
        assert not d.contains("0.35")
        assert not d.contains("1.1")

    def test_a_continuum_contains_its_smallest_values(self) -> None:
        d = dimension(DOUBLE, -1, 1)

        assert d.contains("1e-12")
        assert not d.contains("1.0000000000000002")


class TestSpread:
    @given(DIMENSIONS, st.integers(1, 200))
    def test_it_gives_as_many_different_values_as_there_are(self, d: Dimension, points: int) -> None:
        values = list(d.spread(points))

        if d.cardinality is None:
            assert len(values) == points
        else:
            assert len(set(values)) == len(values) == min(points, d.cardinality)
        assert all(d.contains(v) for v in values)

    @given(FINITE_DIMENSIONS, st.integers(2, 100))
    def test_it_keeps_the_order_and_both_ends(self, d: Dimension, points: int) -> None:
        assert d.cardinality is not None
        indices = [d.index_of(v) for v in d.spread(points)]

        assert all(a < b for a, b in pairwise(indices))
        assert indices[0] == 0
        assert indices[-1] == d.cardinality - 1 or d.cardinality == 1

    @pytest.mark.long
    @given(continua(), st.integers(2, 100))
    def test_a_continuum_is_spread_evenly_on_its_scale(self, d: Dimension, points: int) -> None:
        assert isinstance(d, NumericDimension)
        values = list(d.spread(points))

        assert float(values[0]) == float(d.low)
        assert float(values[-1]) == float(d.high)
        assert all(float(a) <= float(b) for a, b in pairwise(values))

    def test_points_are_the_numbers_that_a_person_would_write(self) -> None:
        assert list(dimension(DOUBLE, "0.01", "0.05").spread(5)) == ["0.01", "0.02", "0.03", "0.04", "0.05"]
        assert list(dimension(DOUBLE, "1e-4", "1", scale=Scale.LOG).spread(5)) == [
            "0.0001",
            "0.001",
            "0.01",
            "0.1",
            "1.0",
        ]
        assert list(dimension(INT, 1, 9).spread(3)) == ["1", "5", "9"]
        assert list(dimension(INT, 1, 1024, scale=Scale.LOG).spread(3)) == ["1", "32", "1024"]

    def test_on_a_log_scale_narrow_whole_numbers_are_taken_one_by_one(self) -> None:
        assert list(dimension(INT, 1, 100, scale=Scale.LOG).spread(8)) == ["1", "2", "4", "7", "14", "27", "52", "100"]
        assert list(dimension(INT, 1, 10, scale=Scale.LOG).spread(9)) == ["1", "2", "3", "4", "5", "6", "7", "8", "10"]

    def test_one_point_is_the_minimum_or_the_first(self) -> None:
        assert list(dimension(DOUBLE, 2, 3).spread(1)) == ["2.0"]
        assert list(dimension(INT, 2, 3, scale=Scale.LOG).spread(1)) == ["2"]
        assert list(dimension(CATEGORICAL, values=("b", "a")).spread(1)) == ["b"]

    def test_a_list_is_spread_over_its_length(self) -> None:
        assert list(dimension(CATEGORICAL, values=tuple("abcde")).spread(3)) == ["a", "c", "e"]
        assert list(dimension(DISCRETE, values=("3", "1", "2")).spread(2)) == ["3", "2"]

    def test_a_million_million_points_cost_nothing_until_they_are_asked_for(self) -> None:
        spread = dimension(DOUBLE, 0, 1).spread(10**12 + 1)

        assert len(spread) == 10**12 + 1
        assert spread[10**11] == "0.1"
        with pytest.raises(IndexError):
            spread[10**12 + 1]
