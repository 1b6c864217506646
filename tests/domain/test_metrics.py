"""Texts are numbers, or nothing; and the objective's value is what the study's strategy says."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from katib.domain.metrics import MetricStrategy, fold_objective, format_value, parse_value

NAN = math.nan
INF = math.inf


def same(a: float | None, b: float | None) -> bool:
    """Equal, NaN included."""
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


class TestValue:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0.9", 0.9),
            ("-0.9", -0.9),
            ("+1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("0.030", 0.03),
            ("1e-5", 1e-5),
            ("1E+5", 1e5),
            ("-.5e3", -500.0),
            ("0009", 9.0),
            ("inf", INF),
            ("+Infinity", INF),
            ("-INF", -INF),
            ("1e999", INF),
            ("4e-999", 0.0),
        ],
    )
    def test_a_number_is_read(self, text: str, value: float) -> None:
        assert parse_value(text) == value

    @pytest.mark.parametrize("text", ["nan", "NaN", "NAN", "-nan", "+nan"])
    def test_nan_is_a_value(self, text: str) -> None:
        value = parse_value(text)
        assert value is not None
        assert math.isnan(value)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0.9,",
            "0.9%",
            "0,9",
            "0.9;loss",
            "1_000",
            "1 ",
            " 1",
            "1\n",
            "0x10",
            "1e",
            "e5",
            ".",
            "+",
            "--1",
            "1.2.3",
            "None",
            "true",
            "infinit",
            "nano",
            "[0.9]",
            "tensor(0.9)",
            "1.0f",
            "=1",
            "ınf",
            "İnf",
            "ＮＡＮ",
            "٣",
            "１",
            "½",
            "\x001",
            "1" * 65,
        ],
    )
    def test_what_is_not_wholly_a_number_is_none(self, text: str) -> None:
        assert parse_value(text) is None

    @given(st.floats())
    def test_a_formatted_value_is_read_back_exactly(self, value: float) -> None:
        assert same(parse_value(format_value(value)), value)

    @pytest.mark.parametrize(
        ("value", "text"), [(NAN, "nan"), (INF, "inf"), (-INF, "-inf"), (0.1 + 0.2, "0.30000000000000004")]
    )
    def test_values_have_one_spelling(self, value: float, text: str) -> None:
        assert format_value(value) == text

    def test_a_value_of_numpy_is_formatted_as_the_number_it_is(self) -> None:
        numpy = pytest.importorskip("numpy")
        assert format_value(numpy.float64(0.1)) == "0.1"
        assert format_value(numpy.float32(0.5)) == "0.5"

    @given(st.text(max_size=70))
    @example("ınf")
    def test_any_text_is_a_number_or_none(self, text: str) -> None:
        value = parse_value(text)
        assert value is None or same(value, float(text))


class TestObjective:
    @pytest.mark.parametrize(
        ("strategy", "values", "result"),
        [
            (MetricStrategy.LATEST, [1.0, 3.0, 2.0], 2.0),
            (MetricStrategy.MIN, [2.0, 1.0, 3.0], 1.0),
            (MetricStrategy.MAX, [2.0, 3.0, 1.0], 3.0),
            (MetricStrategy.LATEST, [1.0, NAN], NAN),
            (MetricStrategy.LATEST, [NAN, 1.0], 1.0),
            (MetricStrategy.MIN, [2.0, NAN, 3.0], 2.0),
            (MetricStrategy.MAX, [NAN, 2.0, NAN], 2.0),
            (MetricStrategy.MIN, [NAN, NAN], NAN),
            (MetricStrategy.MIN, [1.0, -INF, 2.0], -INF),
            (MetricStrategy.MAX, [1.0, -INF], 1.0),
            (MetricStrategy.MAX, [NAN, -INF], -INF),
            (MetricStrategy.MAX, [INF, 1.0], INF),
        ],
    )
    def test_the_strategy_chooses_among_the_values(
        self, strategy: MetricStrategy, values: list[float], result: float
    ) -> None:
        assert same(fold_objective(None, values, strategy), result)

    @pytest.mark.parametrize("strategy", MetricStrategy)
    def test_without_values_it_stays_what_it_was(self, strategy: MetricStrategy) -> None:
        assert fold_objective(None, [], strategy) is None
        assert fold_objective(0.0, [], strategy) == 0.0

    @pytest.mark.parametrize("strategy", MetricStrategy)
    def test_zero_is_a_value(self, strategy: MetricStrategy) -> None:
        assert fold_objective(None, [0.0], strategy) == 0.0

    @given(st.sampled_from(MetricStrategy), st.lists(st.floats()), st.integers(0, 20))
    def test_taking_values_in_by_pieces_changes_nothing(
        self, strategy: MetricStrategy, values: list[float], cut: int
    ) -> None:
        in_two = fold_objective(fold_objective(None, values[:cut], strategy), values[cut:], strategy)
        assert same(in_two, fold_objective(None, values, strategy))

    @given(st.lists(st.floats(), min_size=1))
    def test_it_is_the_extreme_of_the_numbers_or_the_last_of_all(self, values: list[float]) -> None:
        numbers = [v for v in values if not math.isnan(v)]
        assert same(fold_objective(None, values, MetricStrategy.LATEST), values[-1])
        assert same(fold_objective(None, values, MetricStrategy.MIN), min(numbers, default=NAN))
        assert same(fold_objective(None, values, MetricStrategy.MAX), max(numbers, default=NAN))
