"""Printed lines become observations, in each format, and no line does harm."""

import json
import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from katib.domain.collector import MAX_PATTERN, MetricsCollector, MetricsFormat, check_collector
from katib.domain.errors import InvalidArgumentError
from katib.domain.metric_lines import Reading, TextLines, line_parser, parse_output, parse_step
from katib.domain.metrics import MAX_LINE, OUTPUT_SOURCE, Observation, OutputLine
from katib.manager.patterns import compile_pattern

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAN = math.nan
INF = math.inf
PARSER = TextLines(("acc", "loss"))
JSON = MetricsCollector(MetricsFormat.JSON)


def same(a: float | None, b: float | None) -> bool:
    """Equal, NaN included."""
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def read(text: str, *names: str) -> list[tuple[str, float]]:
    return [(name, value) for name, value, _ in TextLines(names or ("acc", "loss"))(text)]


def read_as(collector: MetricsCollector, text: str) -> list[Reading]:
    return list(line_parser(collector, "acc", ("acc", "loss"), compile_pattern)(text))


def pattern(text: str) -> MetricsCollector:
    return MetricsCollector(MetricsFormat.PATTERN, text)


class TestText:
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
        assert parse_output(lines, PARSER, attempt=2) == [
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
        whole = parse_output(lines, PARSER, 1)
        pieces = parse_output(lines[:cut], PARSER, 1) + parse_output(lines[cut:], PARSER, 1)
        assert [repr(o) for o in pieces] == [repr(o) for o in whole]
        keys = {(o.attempt, o.source, o.position, o.ordinal) for o in whole}
        assert len(keys) == len(whole)


class TestStep:
    @pytest.mark.parametrize(
        ("line", "step"),
        [
            ("acc=0.9", None),
            ("step=3 acc=0.9", 3),
            ("acc=0.9 epoch=4", 4),
            ("epoch=4 step=300 acc=0.9", 300),
            ("epoch=4 step=x acc=0.9", 4),
            ("step=-1 acc=0.9", -1),
            ("step=2.0 acc=0.9", 2),
            ("step=2.5 acc=0.9", None),
            ("step=nan acc=0.9", None),
            ("step=inf acc=0.9", None),
            ("step=9223372036854775808 acc=0.9", None),
            ("step=1e300 acc=0.9", None),
            ("iteration=7 acc=0.9", None),
        ],
    )
    def test_a_line_may_name_the_step_of_its_values(self, line: str, step: int | None) -> None:
        assert PARSER(line) == [Reading("acc", 0.9, step)]

    def test_all_values_of_a_line_have_it(self) -> None:
        assert PARSER("acc=1 epoch=2 loss=3") == [Reading("acc", 1.0, 2), Reading("loss", 3.0, 2)]

    def test_a_study_may_name_another_key_for_it(self) -> None:
        collector = MetricsCollector(step="iteration")
        assert read_as(collector, "iteration=7 epoch=1 acc=0.9") == [Reading("acc", 0.9, 7)]
        assert read_as(collector, "epoch=1 acc=0.9") == [Reading("acc", 0.9)]

    def test_it_may_be_a_metric_too(self) -> None:
        assert TextLines(("epoch",))("epoch=3") == [Reading("epoch", 3.0, 3)]

    @given(st.integers(-(2**53), 2**53))
    def test_any_whole_number_is_one(self, step: int) -> None:
        assert parse_step(str(step)) == step

    @given(st.floats())
    def test_a_number_is_a_step_or_none_that_a_database_holds(self, value: float) -> None:
        step = parse_step(repr(value))
        assert step is None or (step == value and -(2**63) <= step < 2**63)


class TestJson:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ('{"epoch": 3, "loss": 0.2}', [Reading("loss", 0.2, 3)]),
            ('  {"acc": 1, "loss": -2.5e-3}  ', [Reading("acc", 1.0), Reading("loss", -0.0025)]),
            ('{"step": "12", "acc": "0.5"}', [Reading("acc", 0.5, 12)]),
            ('{"acc": Infinity, "loss": -Infinity}', [Reading("acc", INF), Reading("loss", -INF)]),
            ('{"acc": 1, "acc": 2}', [Reading("acc", 2.0)]),
            ('{"acc": 1e999}', [Reading("acc", INF)]),
            ('{"acc": %s}' % ("9" * 5000), [Reading("acc", INF)]),
            ('{"acc": true, "loss": null}', []),
            ('{"acc": [1], "loss": {"acc": 2}}', []),
            ('{"acc": "high"}', []),
            ('{"Acc": 1}', []),
            ('{"acc": 1', []),
            ('{"acc": 1},', []),
            ('[{"acc": 1}]', []),
            ("{}", []),
            ("acc=1", []),
            ("", []),
            ('INFO {"acc": 1}', []),
        ],
    )
    def test_an_object_to_a_line_is_read(self, line: str, found: list[Reading]) -> None:
        assert read_as(JSON, line) == found

    @pytest.mark.parametrize("text", ["NaN", '"nan"'])
    def test_nan_is_a_value(self, text: str) -> None:
        (reading,) = read_as(JSON, f'{{"acc": {text}}}')
        assert math.isnan(reading.value)

    def test_what_is_nested_too_deep_is_no_object(self) -> None:
        assert read_as(JSON, '{"acc": ' + "[" * MAX_LINE) == []
        assert read_as(JSON, '{"acc":' * 9000 + "1" + "}" * 9000) == []

    @given(st.text() | st.text('{}[]":,0123456789.eE+-aclosN ', max_size=60))
    def test_any_line_can_be_read(self, text: str) -> None:
        assert all(isinstance(reading.value, float) for reading in read_as(JSON, text))

    @given(st.dictionaries(st.sampled_from(["acc", "loss", "other"]), st.floats()), st.integers(-(2**53), 2**53))
    def test_what_json_prints_is_read(self, values: dict[str, float], step: int) -> None:
        found = read_as(JSON, json.dumps({**values, "step": step}))
        wanted = [(name, value) for name, value in values.items() if name != "other"]
        assert [(r.name, r.step) for r in found] == [(name, step) for name, _ in wanted]
        assert all(same(r.value, value) for r, (_, value) in zip(found, wanted, strict=True))


class TestPattern:
    def test_each_match_is_a_value(self) -> None:
        collector = pattern(r"(?P<name>\w+): (?P<value>[-+.\w]+)")
        line = "epoch 3 - acc: 0.9 - loss: 1e-3 - other: 1 - acc: high"
        assert read_as(collector, line) == [Reading("acc", 0.9), Reading("loss", 0.001)]

    def test_without_a_name_it_gives_the_objective(self) -> None:
        collector = pattern(r"^Epoch (?P<step>\d+): (?P<value>\S+)")
        assert read_as(collector, "Epoch 3: 0.25") == [Reading("acc", 0.25, 3)]

    def test_groups_that_take_no_part_are_passed_over(self) -> None:
        collector = pattern(r"(?:step (?P<step>\d+) )?acc (?P<value>\d+)?")
        assert read_as(collector, "acc 5") == [Reading("acc", 5.0)]
        assert read_as(collector, "acc ") == []

    def test_one_that_would_take_for_ever_elsewhere_takes_no_time(self) -> None:
        assert read_as(pattern("(?P<value>(a+)+)$"), "a" * (MAX_LINE - 1) + "b") == []

    @pytest.mark.parametrize("text", [r"(?P<value>a)(?=b)", r"(?P<value>a)(?P=value)", r"(?P<value>(x{1000}){1000})"])
    def test_what_cannot_be_fast_is_refused_with_the_reason(self, text: str) -> None:
        assert check_collector(pattern(text), "c") == []
        with pytest.raises(InvalidArgumentError, match=r"metrics_collector\.pattern.*as RE2 has them: \w"):
            compile_pattern(text)

    @pytest.mark.parametrize("text", ["(", "(" * MAX_PATTERN, "a{2,1}", "(?P<value>"])
    def test_what_is_no_expression_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidArgumentError, match="expected a regular expression as RE2 has them"):
            compile_pattern(text)

    @pytest.mark.parametrize("text", ["(.*)", "(?P<value>a)(?P<metric>b)", "[[a]"])
    def test_what_has_not_the_groups_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidArgumentError, match=r"with a group \(\?P<value>"):
            compile_pattern(text)

    @given(st.text())
    def test_any_line_can_be_read(self, text: str) -> None:
        collector = pattern(r"(?P<name>\S+)\s*[:=]\s*(?P<value>\S+)")
        assert all(isinstance(reading.value, float) for reading in read_as(collector, text))


class TestCheck:
    @pytest.mark.parametrize(
        "collector",
        [
            MetricsCollector(),
            JSON,
            MetricsCollector(step="iteration"),
            MetricsCollector(MetricsFormat.JSON, step="global_step"),
            pattern("(?P<value>.*)"),
        ],
    )
    def test_what_says_how_to_read_lines_is_taken(self, collector: MetricsCollector) -> None:
        assert check_collector(collector, "c") == []

    @pytest.mark.parametrize(
        ("collector", "said"),
        [
            (MetricsCollector(step="a b"), r"c\.step: 'a b'"),
            (MetricsCollector(pattern="x"), r"c\.pattern: 'x': expected none, or the format pattern"),
            (pattern(""), r"c\.pattern: expected a regular expression with a group"),
            (pattern("x" * (MAX_PATTERN + 1)), r"c\.pattern: .*expected at most 1000 characters, got 1001"),
            (MetricsCollector(MetricsFormat.PATTERN, "(?P<value>a)", "epoch"), r"c\.step: 'epoch': expected none"),
        ],
    )
    def test_what_does_not_is_refused(self, collector: MetricsCollector, said: str) -> None:
        assert any(re.match(said, str(violation)) for violation in check_collector(collector, "c"))

    @given(st.text(max_size=40))
    @example("(?P<value>\\")
    def test_any_text_is_a_pattern_or_is_refused(self, text: str) -> None:
        if not check_collector(pattern(text), "c"):
            try:
                compile_pattern(text)
            except InvalidArgumentError:
                pass
