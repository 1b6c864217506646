"""The search space: what is accepted, and the transform's promises over everything that is."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import (
    Dimension,
    FeasibleSpace,
    NumericDimension,
    Parameter,
    ParameterConfig,
    ParameterType,
    Scale,
    SearchSpace,
)

DOUBLE, INT, DISCRETE, CATEGORICAL = ParameterType
UNIT = st.floats(0, 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def config(
    type_: ParameterType | None,
    low: object = "",
    high: object = "",
    values: tuple[str, ...] = (),
    step: object = "",
    scale: Scale = Scale.LINEAR,
    name: str = "x",
) -> ParameterConfig:
    return ParameterConfig(name, type_, FeasibleSpace(str(low), str(high), values, str(step), scale))


def dimension(*args: object, **kwargs: object) -> Dimension:
    (only,) = SearchSpace.of([config(*args, **kwargs)])  # type: ignore[arg-type]
    return only


def checked(*args: object, **kwargs: object) -> Dimension:
    """The dimension, where the search space accepts it."""
    try:
        return dimension(*args, **kwargs)
    except InvalidArgumentError:
        reject()


@st.composite
def continua(draw: st.DrawFn) -> Dimension:
    scale = draw(st.sampled_from(Scale))
    ends = FINITE if scale is Scale.LINEAR else st.floats(min_value=5e-324, allow_infinity=False)
    low, high = sorted((draw(ends), draw(ends)))
    assume(low < high)
    return dimension(DOUBLE, repr(low), repr(high), scale=scale)


@st.composite
def stepped(draw: st.DrawFn) -> Dimension:
    scale = draw(st.sampled_from(Scale))
    if draw(st.booleans()):
        least = 1 if scale is Scale.LOG else -(10**12)
        low = draw(st.integers(least, 10**12))
        high = low + draw(st.one_of(st.integers(0, 300), st.integers(0, 10**12)))
        return checked(INT, low, high, step=draw(st.one_of(st.just(""), st.integers(1, 1000))), scale=scale)
    ends = FINITE if scale is Scale.LINEAR else st.floats(min_value=5e-324, allow_infinity=False)
    low, high = sorted((draw(ends), draw(ends)))
    assume(high - low < math.inf)
    step = (high - low) / draw(st.one_of(st.floats(1, 100), st.floats(1, 2.0**50)))
    assume(step > 0)
    return checked(DOUBLE, repr(low), repr(high), step=repr(step), scale=scale)


@st.composite
def lists(draw: st.DrawFn) -> Dimension:
    if draw(st.booleans()):
        numbers = draw(st.lists(FINITE, min_size=1, max_size=20, unique=True))
        return dimension(DISCRETE, values=tuple(map(repr, numbers)))
    texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=8)
    return dimension(CATEGORICAL, values=tuple(draw(st.lists(texts, min_size=1, max_size=20, unique=True))))


FINITE_DIMENSIONS = st.one_of(stepped(), lists())
DIMENSIONS = st.one_of(continua(), FINITE_DIMENSIONS)


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
        d = dimension(DOUBLE, "5e-324", "1e-320", scale=Scale.LOG)
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


class TestSpace:
    SPACE = SearchSpace.of(
        [
            config(INT, 1, 3, name="a"),
            config(CATEGORICAL, values=("x", "y"), name="b"),
            config(DOUBLE, 0, 1, step="0.5", name="c"),
        ]
    )

    def test_its_points_are_numbered_with_the_last_parameter_varying_fastest(self) -> None:
        points = [tuple(p.value for p in self.SPACE.at(i)) for i in range(18)]

        assert self.SPACE.cardinality == 18
        assert points[:4] == [("1", "x", "0.0"), ("1", "x", "0.5"), ("1", "x", "1.0"), ("1", "y", "0.0")]
        assert len(set(points)) == 18
        assert [self.SPACE.index_of(self.SPACE.at(i)) for i in range(18)] == list(range(18))

    @pytest.mark.parametrize("index", [-1, 18, 10**30])
    def test_there_is_no_point_beyond_the_last(self, index: int) -> None:
        with pytest.raises(IndexError):
            self.SPACE.at(index)

    def test_a_continuum_has_no_numbered_points(self) -> None:
        space = SearchSpace.of([config(INT, 1, 3, name="a"), config(DOUBLE, 0, 1, name="b")])

        assert space.cardinality is None
        with pytest.raises(IndexError):
            space.at(0)

    def test_parameters_are_found_by_name(self) -> None:
        a, b, c = self.SPACE.at(7)

        assert self.SPACE.to_unit([c, a, b]) == self.SPACE.to_unit([a, b, c])
        assert self.SPACE.index_of([b, c, a]) == 7

    def test_a_trial_without_one_of_the_parameters_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="expected also b, c"):
            self.SPACE.to_unit([Parameter("a", INT, "1")])

    @given(st.lists(DIMENSIONS, min_size=1, max_size=4), st.data())
    def test_points_and_parameters_go_forth_and_back(self, dimensions: list[Dimension], data: st.DataObject) -> None:
        for i, d in enumerate(dimensions):
            d.name = f"p{i}"
        space = SearchSpace(dimensions)
        point = data.draw(st.lists(UNIT, min_size=len(space), max_size=len(space)))

        parameters = space.from_unit(point)

        assert [p.name for p in parameters] == [d.name for d in space]
        again = space.from_unit(space.to_unit(parameters))
        for d, p, q in zip(space, parameters, again, strict=True):
            assert p.value == q.value or d.cardinality is None


BAD: list[tuple[ParameterConfig, str, str]] = [
    (config(None), "parameter_type", "double, int, discrete or categorical"),
    (config(DOUBLE, 0, 1, name=""), "name", "expected a name"),
    (config(DOUBLE, 0, 1, name="a b"), "name", "without spaces"),
    (config(DOUBLE, 0, 1, name="a=b"), "name", "without spaces and '='"),
    (config(DOUBLE, 0, 1, name="n" * 129), "name", "at most 128"),
    (config(DOUBLE, "", 1), "feasible.min", "a finite number"),
    (config(DOUBLE, 0, ""), "feasible.max", "a finite number"),
    (config(DOUBLE, "abc", 1), "feasible.min", "a finite number"),
    (config(DOUBLE, "nan", 1), "feasible.min", "a finite number"),
    (config(DOUBLE, 0, "inf"), "feasible.max", "a finite number"),
    (config(DOUBLE, 0, "1e999"), "feasible.max", "a finite number"),
    (config(DOUBLE, 0, "1_000"), "feasible.max", "a finite number"),
    (config(DOUBLE, 0, " 1"), "feasible.max", "a finite number"),
    (config(DOUBLE, 0, "１"), "feasible.max", "a finite number"),
    (config(DOUBLE, 0, "9" * 129), "feasible.max", "at most 128 characters"),
    (config(DOUBLE, 1, 0), "feasible.min", "at most max, which is 0"),
    (config(DOUBLE, 0, 1, values=("1",)), "feasible.list", "none for double"),
    (config(DOUBLE, 0, 1, scale=Scale.LOG), "feasible.min", "more than 0 on a log scale"),
    (config(DOUBLE, "1e-400", 1, scale=Scale.LOG), "feasible.min", "more than 0 on a log scale"),
    (config(DOUBLE, 0, 1, step=0), "feasible.step", "more than 0"),
    (config(DOUBLE, 0, 1, step="1e-400"), "feasible.step", "more than 0"),
    (config(DOUBLE, 0, 1, step="1e-999999999"), "feasible.step", "more than 0"),
    (config(DOUBLE, 0, 1, step="-0.1"), "feasible.step", "more than 0"),
    (config(DOUBLE, 0, 1, step="1e-17"), "feasible.step", "at most 2^50 steps"),
    (config(DOUBLE, "1e20", "1.0000000000000002e20", step=1), "feasible.step", "finer steps are lost"),
    (config(DOUBLE, "1e-3", 1, step="1e-13", scale=Scale.LOG), "feasible.step", "2^40 times the step"),
    (config(INT, "0.5", 1), "feasible.min", "a whole number"),
    (config(INT, 0, 2**53), "feasible.max", "between -2^53 and 2^53"),
    (config(INT, 0, 2**52), "feasible.max", "at most 2^50 steps"),
    (config(INT, 0, 10, step="0.5"), "feasible.step", "a whole number"),
    (config(INT, 1, 2**41, scale=Scale.LOG), "feasible.max", "2^40 times the step"),
    (config(DISCRETE), "feasible.list", "at least one value"),
    (config(DISCRETE, values=("1", "x")), "feasible.list[1]", "a finite number"),
    (config(DISCRETE, values=("1", "1.0")), "feasible.list[1]", "each value once"),
    (config(DISCRETE, 0, values=("1",)), "feasible.min", "it has a list"),
    (config(CATEGORICAL, high=1, values=("1",)), "feasible.max", "it has a list"),
    (config(CATEGORICAL, values=("a",), step=1), "feasible.step", "it has a list"),
    (config(CATEGORICAL, values=("a",), scale=Scale.LOG), "feasible.scale", "none for categorical"),
    (config(CATEGORICAL, values=("a", "b", "a")), "feasible.list[2]", "each value once"),
    (config(CATEGORICAL, values=("a\nb",)), "feasible.list[0]", "printable"),
    (config(CATEGORICAL, values=("v" * 1001,)), "feasible.list[0]", "at most 1000"),
    (config(CATEGORICAL, values=tuple(map(str, range(1001)))), "feasible.list", "at most 1000"),
]


class TestChecks:
    @pytest.mark.parametrize(("bad", "field", "expected"), BAD)
    def test_what_is_wrong_is_named_by_its_path(self, bad: ParameterConfig, field: str, expected: str) -> None:
        good = config(INT, 0, 1, name="good")

        with pytest.raises(InvalidArgumentError) as caught:
            SearchSpace.of([good, bad], "study_config.parameter_configs")

        (violation,) = caught.value.violations
        assert violation.field == f"study_config.parameter_configs.configs[1].{field}"
        assert expected in violation.expected

    def test_all_that_is_wrong_is_named_at_once(self) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            SearchSpace.of([config(DOUBLE, 1, 0), config(None), config(INT, "a", 3, name="y")])

        assert [v.field for v in caught.value.violations] == [
            "parameter_configs.configs[0].feasible.min",
            "parameter_configs.configs[1].name",
            "parameter_configs.configs[1].parameter_type",
            "parameter_configs.configs[2].feasible.min",
        ]

    def test_a_space_needs_a_parameter_and_has_a_bounded_number_of_them(self) -> None:
        with pytest.raises(InvalidArgumentError, match="at least one parameter"):
            SearchSpace.of([])
        with pytest.raises(InvalidArgumentError, match="at most 200"):
            SearchSpace.of([config(INT, 0, 1, name=f"p{i}") for i in range(201)])

    @pytest.mark.parametrize("text", ["10", "+10", "1e1", "10.0", "10.", "0.1e2"])
    def test_a_number_may_be_written_in_any_usual_form(self, text: str) -> None:
        assert dimension(INT, 0, text).at(10) == "10"
        assert dimension(DOUBLE, 0, text).from_unit(1.0) == "10.0"

    @example("0.1", "0.3", "0.1")
    @given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
    def test_whatever_text_comes_is_a_dimension_or_a_refusal(self, low: str, high: str, step: str) -> None:
        for type_ in (DOUBLE, INT):
            for scale in Scale:
                try:
                    d = dimension(type_, low, high, step=step, scale=scale)
                except InvalidArgumentError:
                    continue
                assert d.contains(d.from_unit(0.5))

    @given(*[st.from_regex(r"\A[-+]?[0-9]{1,3}(\.[0-9]{0,3})?(e[-+]?[0-9]{1,9})?\Z") for _ in range(3)])
    def test_whatever_number_comes_is_a_dimension_or_a_refusal(self, low: str, high: str, step: str) -> None:
        for type_ in (DOUBLE, INT):
            for scale in Scale:
                for fine in ("", step):
                    try:
                        d = dimension(type_, low, high, step=fine, scale=scale)
                    except InvalidArgumentError:
                        continue
                    assert all(d.contains(d.from_unit(u)) for u in (0.0, 0.3, 0.999999, 1.0))
                    assert all(d.contains(v) for v in d.spread(5))

    def test_a_single_point_is_a_space_of_one(self) -> None:
        for d in (dimension(DOUBLE, "0.1", "0.1"), dimension(INT, 5, 5), dimension(DOUBLE, 3, 3, scale=Scale.LOG)):
            assert d.cardinality == 1
            assert d.equal_shares
            assert d.to_unit(d.at(0)) == 0.5
            assert d.from_unit(0.0) == d.from_unit(1.0) == d.at(0)
