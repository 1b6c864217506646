"""Periods and numbers as a user writes them."""

import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.study_file_values import format_period, parse_number, parse_period, parse_whole


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1d2h3m4.5s", 93784.5),
        ("90", 90),
        ("1.5", 1.5),
        (".5h", 1800),
        ("1H", 3600),
        (" 5 ", 5),
        ("0", 0),
        ("0.0000004", 0),
    ],
)
def test_a_period_is_read(text: str, seconds: float) -> None:
    assert parse_period(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "-5", "5 m", "30m1h", "1h1h", "1w", "ms", "h", "1e3", "inf", "nan", "٣s", "1" * 41]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a period such as 90s"):
        parse_period(text)


def test_a_period_beyond_all_bounds_is_the_longest_there_is() -> None:
    assert parse_period("9" * 39 + "d") == timedelta.max


@given(st.timedeltas(min_value=timedelta(0)))
def test_a_period_that_is_written_reads_back_the_same(period: timedelta) -> None:
    assert parse_period(format_period(period)) == period


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (3600, "1h"), (0.25, "0.25s"), (86400.5, "1d0.5s")]
)
def test_a_period_is_written_short(seconds: float, text: str) -> None:
    assert format_period(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("text", ["", "1.0", "1_0", "0x1", "ten", "1" * 41, "٣"])
def test_what_is_no_whole_number_is_none(text: str) -> None:
    assert parse_whole(text) is None


@pytest.mark.parametrize(
    ("text", "number"), [("0.030", 0.03), ("1e-5", 1e-5), ("-.inf", float("-inf")), (".Inf", float("inf")), ("x", None)]
)
def test_a_number_is_read(text: str, number: float | None) -> None:
    assert parse_number(text) == number


def test_study_files_need_no_numerics() -> None:
    code = (
        "import sys, katib.domain.study_file, katib.domain.study_file_writer as w;"
        "print(sorted({'numpy', 'grpc', 'click', 'rich', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
