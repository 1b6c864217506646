"""What a user is told when a trial has no value of its objective: what was seen instead, and what to do."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.collector import MetricsCollector, MetricsFormat
from katib.domain.metrics_missing import explain_missing, names_seen
from katib.manager.patterns import compile_pattern

MANUAL = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
TEXT = MetricsCollector()
JSON = MetricsCollector(MetricsFormat.JSON)
PATTERN = MetricsCollector(MetricsFormat.PATTERN, r"(?P<name>\w+) is (?P<value>\S+)")


def explain(collector: MetricsCollector, *lines: str, objective: str = "accuracy") -> str:
    return explain_missing(objective, collector, lines, names_seen(lines, collector, compile_pattern))


def test_the_manual_shows_what_is_said() -> None:
    shown = re.search(r"^```\n(it ended well .*?)\n```$", MANUAL, re.MULTILINE | re.DOTALL)
    assert shown
    said, _, line = shown[1].replace("\n", " ").partition("; its last lines: ")
    assert said == explain(TEXT, line)


@pytest.mark.parametrize(
    ("collector", "line", "names"),
    [
        (TEXT, "loss=1 acc=nan word=x =3 a=b=1", ["loss", "acc"]),
        (JSON, '{"loss": 1, "text": "a", "acc": "0.5", "on": true}', ["loss", "acc"]),
        (PATTERN, "loss is 3, acc is 0.5 and word is x", ["acc"]),
        (MetricsCollector(MetricsFormat.PATTERN, r"(?P<value>\d+)"), "3", []),
    ],
)
def test_names_are_seen_in_each_format(collector: MetricsCollector, line: str, names: list[str]) -> None:
    assert names_seen([line, line], collector, compile_pattern) == names


@pytest.mark.parametrize(
    ("collector", "line", "said"),
    [
        (TEXT, "hello", "reported no value of accuracy, nor of anything else; print accuracy=NUMBER"),
        (
            TEXT,
            "loss=1 Accuracy=0.5",
            "there are values of loss, Accuracy; if Accuracy is meant, name it so in the study",
        ),
        (TEXT, "loss=1", "there are values of loss"),
        (TEXT, "epoch 3: accuracy: 0.93", "it printed 'accuracy: 0.93', which is not read; print accuracy=NUMBER"),
        (TEXT, "accuracy = 0.93", "it printed 'accuracy = 0.93', which is not read"),
        (TEXT, "accuracy=0.93, loss=1", "it printed 'accuracy=0.93,', which is not read"),
        (TEXT, '{"accuracy": 0.93}', "it printed JSON, which a study reads with metrics_collector: {format: json}"),
        (JSON, "accuracy=0.93", """'accuracy=0.93', which is not read; print lines such as {"accuracy": 0.5}"""),
        (PATTERN, "accuracy=0.93", "which is not read; no line matches the study's pattern"),
        (PATTERN, "", "nor of anything else; no line matches the study's pattern"),
    ],
)
def test_a_user_is_told_what_to_do(collector: MetricsCollector, line: str, said: str) -> None:
    assert said in explain(collector, line)


def test_a_longer_name_that_ends_in_the_objective_s_is_another_one() -> None:
    said = explain(TEXT, "val_accuracy=0.5")
    assert "there are values of val_accuracy; if val_accuracy is meant" in said


def test_a_value_that_stands_in_a_line_that_is_too_long_is_said_to() -> None:
    long = ["x" * 70_000 + " accuracy=0.5"]
    for lines in ((), ("x",), ("accuracy: 1",), ("loss=1",)):
        said = explain_missing("accuracy", TEXT, lines, [], long)
        assert said.endswith(
            ": it printed 'accuracy=0.5' in a line of more than 64 KiB, of which only the beginning is read; "
            "print it on a line of its own"
        )


@pytest.mark.parametrize("line", ["hello", "accuracy: 0.93", "loss=1"])
def test_a_line_that_is_too_long_is_mentioned_when_it_does_not_have_the_objective(line: str) -> None:
    said = explain_missing("accuracy", TEXT, [line], names_seen([line], TEXT, compile_pattern), ["x" * 70_000])
    assert said == explain(TEXT, line) + "; it printed a line of more than 64 KiB, of which only the beginning is read"


def test_many_names_are_counted() -> None:
    said = explain(TEXT, " ".join(f"m{i}=1" for i in range(13)))
    assert "m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 3 more" in said


@given(st.text(), st.text(min_size=1), st.sampled_from([TEXT, JSON, PATTERN]))
def test_whatever_was_printed_there_is_a_sentence(line: str, objective: str, collector: MetricsCollector) -> None:
    assert explain(collector, line, objective=objective).startswith("it ended well but reported no value of ")
