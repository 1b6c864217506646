"""A space of several parameters, and what is refused in one."""

import re
from copy import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import (
    Dimension,
    Parameter,
    ParameterConfig,
    Scale,
    SearchSpace,
    check_widths,
)
from tests.domain.dimensions import CATEGORICAL, DIMENSIONS, DISCRETE, DOUBLE, INT, UNIT, config, dimension


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

    def test_one_that_was_checked_a_moment_ago_is_not_checked_again(self) -> None:
        """Each question to a service brings it anew, and lists of a thousand numbers are many."""
        first, second = (
            SearchSpace.of([config(DISCRETE, values=tuple(map(str, range(1000))), name="a")]) for _ in range(2)
        )
        assert first is second

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
        # One that is drawn twice is the same object.
        dimensions = [copy(d) for d in dimensions]
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
    (config(INT, 0, 2**53), "feasible.max", "less than 2^53"),
    (config(INT, -(2**53), 0), "feasible.min", "more than -2^53"),
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

    @pytest.mark.parametrize(
        ("low", "high", "scale"),
        [
            ("1e16", "10000000000000004", Scale.LINEAR),
            (0, "5e-323", Scale.LINEAR),
            (1, "1.000000001", Scale.LINEAR),
            (1, "1.0000000000000004", Scale.LOG),
            ("8.669753777537962e-266", "8.669753777537983e-266", Scale.LOG),
            # Neighbours, whose logarithms are the same.
            ("4.372265392771909e+237", "4.37226539277191e+237", Scale.LOG),
        ],
    )
    def test_a_continuum_of_few_numbers_is_refused_to_new_studies_and_does_in_old_ones(
        self, low: object, high: object, scale: Scale
    ) -> None:
        configs = [config(INT, 0, 1, name="good"), config(DOUBLE, low, high, scale=scale)]
        space = SearchSpace.of(configs)

        with pytest.raises(
            InvalidArgumentError, match=rf"p.configs\[1\].feasible.max: '{re.escape(str(high))}': .* too few"
        ):
            check_widths(space, configs, "p")
        assert 0.0 <= space.to_unit(space.from_unit([0.5, 0.5]))[1] <= 1.0

    @pytest.mark.parametrize(
        ("low", "high", "scale"),
        [
            (0, 1, Scale.LINEAR),
            (1, "1.00000001", Scale.LINEAR),
            ("1e-300", "1e300", Scale.LOG),
            ("-1e308", "1e308", Scale.LINEAR),
        ],
    )
    def test_any_other_is_not(self, low: object, high: object, scale: Scale) -> None:
        configs = [config(DOUBLE, low, high, scale=scale)]
        check_widths(SearchSpace.of(configs), configs, "p")

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
