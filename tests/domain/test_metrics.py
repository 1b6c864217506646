"""Printed words become numbers, or nothing; and the objective's value is what the study's strategy says."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from katib.domain.metrics import (
    MAX_LINE,
    OUTPUT_SOURCE,
    MetricStrategy,
    Observation,
    OutputLine,
    fold_objective,
    format_value,
    parse_line,
    parse_output,
    parse_value,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAN = math.nan
INF = math.inf


def same(a: float | None, b: float | None) -> bool:
    """Equal, NaN included."""
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def read(text: str, *names: str) -> list[tuple[str, float]]:
    return list(parse_line(text, names or ("acc", "loss")))


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


class TestLine:
    def test_a_word_that_names_a_metric_counts(self) -> None:
        assert read("acc=0.9") == [("acc", 0.9)]

    def test_several_stand_on_one_line_in_their_order(self) -> None:
        assert read("loss=0.1 acc=0.9 acc=0.8") == [("loss", 0.1), ("acc", 0.9), ("acc", 0.8)]

    def test_words_may_stand_anywhere_among_others(self) -> None:
        line = "2026-11-24 INFO:root:Epoch[3] Validation-accuracy=0.976863 time=3.2"
        assert read(line, "Validation-accuracy") == [("Validation-accuracy", 0.976863)]

    @pytest.mark.parametrize("white", [" ", "\t", "   ", "\r", "\x0b", "\x0c", "\u00a0", "\u2003", "\u3000"])
    def test_any_white_space_separates(self, white: str) -> None:
        assert read(f"{white}acc=0.9{white}loss=0.1{white}") == [("acc", 0.9), ("loss", 0.1)]

    def test_a_progress_bar_gives_each_of_its_states(self) -> None:
        assert read("10% acc=0.1\r20% acc=0.2\r") == [("acc", 0.1), ("acc", 0.2)]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "acc",
            "acc=",
            "acc = 0.9",
            "acc= 0.9",
            "acc: 0.9",
            "acc:0.9",
            "acc=0.9,",
            "acc==0.9",
            "acc=0.9=1",
            "acc=high",
            "Acc=0.9",
            "acc2=0.9",
            "my-acc=0.9",
            '"acc=0.9"',
            "{acc=0.9}",
            "=0.9",
            "other=0.9",
            "\x1b[32macc=0.9\x1b[0m",
        ],
    )
    def test_nothing_else_counts(self, text: str) -> None:
        assert read(text) == []

    def test_a_word_without_a_number_does_not_hide_the_others(self) -> None:
        assert read("acc=oops loss=0.1 acc=0.9") == [("loss", 0.1), ("acc", 0.9)]

    def test_names_may_be_of_any_language(self) -> None:
        assert read("genauigkeit_größe=1 精度=0.9 точность=.5", "精度", "точность") == [
            ("精度", 0.9),
            ("точность", 0.5),
        ]

    def test_names_are_compared_character_by_character(self) -> None:
        composed, decomposed = "pr\u00e9cision", "pre\u0301cision"
        assert read(f"{decomposed}=1", composed) == []

    def test_the_beginning_of_a_huge_line_counts(self) -> None:
        assert read("acc=0.9 " + "x" * 10_000_000) == [("acc", 0.9)]

    def test_what_stands_behind_the_limit_is_passed_over(self) -> None:
        assert read("x" * MAX_LINE + " acc=0.9") == []

    def test_a_number_that_the_limit_cuts_is_not_taken_for_a_shorter_one(self) -> None:
        start = "x" * (MAX_LINE - len(" acc=12")) + " "
        assert read(f"{start}acc=12") == [("acc", 12.0)]
        assert read(f"{start}acc=1234") == []

    def test_a_huge_line_of_white_space_holds_nothing(self) -> None:
        assert read(" " * (MAX_LINE + 10) + "acc=0.9") == []

    @given(st.text())
    def test_any_line_can_be_read(self, text: str) -> None:
        for name, value in read(text, "a", "b", "0"):
            assert name in ("a", "b", "0")
            assert isinstance(value, float)

    @given(st.lists(st.tuples(st.sampled_from(["acc", "loss", "other"]), st.floats())))
    def test_what_is_printed_is_read(self, printed: list[tuple[str, float]]) -> None:
        found = read(" ".join(f"{name}={value!r}" for name, value in printed))
        wanted = [(name, value) for name, value in printed if name != "other"]
        assert [name for name, _ in found] == [name for name, _ in wanted]
        assert all(same(a, b) for (_, a), (_, b) in zip(found, wanted, strict=True))


class TestOutput:
    def test_an_observation_says_where_it_stood(self) -> None:
        later = NOW.replace(minute=5)
        lines = [OutputLine("acc=1 loss=2", 0, NOW), OutputLine("nothing", 13, NOW), OutputLine("acc=3", 21, later)]
        assert parse_output(lines, ("acc", "loss"), attempt=2) == [
            Observation("acc", 1.0, NOW, 2, OUTPUT_SOURCE, 0, 0),
            Observation("loss", 2.0, NOW, 2, OUTPUT_SOURCE, 0, 1),
            Observation("acc", 3.0, later, 2, OUTPUT_SOURCE, 21, 0),
        ]

    @given(
        st.lists(st.lists(st.sampled_from(["acc=1", "acc=nan", "loss=2", "acc=x", "text"])).map(" ".join)),
        st.integers(0, 20),
    )
    def test_reading_in_pieces_gives_the_same_and_no_key_twice(self, texts: list[str], cut: int) -> None:
        lines = [OutputLine(text, position, NOW) for position, text in enumerate(texts)]
        whole = parse_output(lines, ("acc", "loss"), 1)
        pieces = parse_output(lines[:cut], ("acc", "loss"), 1) + parse_output(lines[cut:], ("acc", "loss"), 1)
        assert [repr(o) for o in pieces] == [repr(o) for o in whole]
        keys = {(o.attempt, o.source, o.position, o.ordinal) for o in whole}
        assert len(keys) == len(whole)


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
