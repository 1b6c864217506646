"""What reaches a terminal: nothing that it obeys, and columns that stand under each other."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.cli.logs import Sanitiser
from katib.cli.terminal import clean, clean_lines, cut, fields, show_number, show_period, table, width_of
from katib.cli.trials import describe_trial, show_parameter, trials_table
from katib.domain.metrics import Observation
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import Tag, TrialAttempt, TrialState
from katib.domain.views import TrialDetail
from tests.cli.scripted import NOW, trial

EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\x00\r\n"


def test_control_characters_are_shown_and_not_sent() -> None:
    assert clean("\x1b[31mred\x9b\u202e\x00\U000e0001\n") == r"\x1b[31mred\x9b\u202e\x00\U000e0001\n"
    assert clean("plain é 日本") == "plain é 日本"
    assert clean_lines("a\r\nb\rc\x1b\td") == "a\nb\nc\\x1b      d"


@given(st.text())
def test_clean_text_is_printable(text: str) -> None:
    assert clean(text).isprintable()
    assert clean_lines(text).replace("\n", "").isprintable()


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_log_bytes_become_harmless_text_however_they_are_cut(pieces: list[bytes]) -> None:
    sanitise = Sanitiser()
    cut_up = "".join(sanitise(piece) for piece in pieces)
    assert all(c.isprintable() or c in "\n\t" for c in cut_up)
    whole = Sanitiser()(b"".join(pieces))
    assert cut_up == whole


def test_a_progress_bar_in_a_log_becomes_lines() -> None:
    sanitise = Sanitiser()
    assert sanitise(b"10%\r20%\r") + sanitise(b"\n\xc3") + sanitise(b"\xa9\tok\x1b[0m\n") == (
        "10%\n20%\né\tok\\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0.0s"),
        (0.52, "0.5s"),
        (10.9, "10s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (7500, "2h5m"),
        (349_200, "4d1h"),
        (86_400, "1d"),
    ],
)
def test_a_period_is_shown_by_its_largest_units(seconds: float, shown: str) -> None:
    assert show_period(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.1234567, "0.123457"), (float("nan"), "nan"), (float("-inf"), "-inf"), (3.0, "3")],
)
def test_a_number_is_shown_short(value: float | None, shown: str) -> None:
    assert show_number(value) == shown


def test_wide_and_combining_characters_are_counted_in_columns() -> None:
    assert [width_of(text) for text in ("abc", "日本", "e\u0301", "")] == [3, 4, 1, 0]
    assert cut("abcdef", 4) == "abc…"
    assert cut("日本語", 4) == "日…"
    assert cut("abc", 3) == "abc"


def test_columns_stand_under_each_other() -> None:
    assert table(("ID", "NAME", "N"), [("a1", "日本", "1"), ("b22", "", "22")], None).splitlines() == [
        "ID   NAME  N",
        "a1   日本  1",
        "b22  -     22",
    ]


def test_a_row_fits_the_terminal() -> None:
    text = table(("ID", "MESSAGE"), [("x" * 100, "y" * 100)], 80)
    assert [width_of(line) for line in text.splitlines()][1] == 80
    assert "x" * 59 + "…  yyy" in text


def test_cells_cannot_break_out_of_their_row() -> None:
    assert len(table(("A", "B"), [(EVIL, EVIL)], None).splitlines()) == 2
    assert "\x1b" not in fields((EVIL, EVIL))


def test_fields_keep_the_lines_of_a_value() -> None:
    assert fields(("A", "1\n2"), ("Long", "x"), ("Empty", "")) == "A:    1\n      2\nLong: x"


def test_trials_of_one_study_have_a_column_for_each_parameter() -> None:
    trials = [
        trial(1, state=TrialState.COMPLETED, objective=0.93, ended_at=NOW + timedelta(seconds=61)),
        trial(2, state=TrialState.ERROR, attempt=3, reason="ExitCode", message="it ended with 1: read its log"),
        trial(3, state=TrialState.PENDING, started_at=None, reason="WaitingForSlot"),
    ]
    lines = trials_table(trials, None, with_study=False).splitlines()
    assert lines[0].split() == [
        "TRIAL",
        "ID",
        "STATE",
        "OBJECTIVE",
        "--lr",
        "--layers",
        "--opt",
        "TRIES",
        "TOOK",
        "MESSAGE",
    ]
    assert lines[1].split() == ["1", trials[0].id, "COMPLETED", "0.93", "0.0123457", "3", "sgd", "1", "1m", "-"]
    assert lines[2].endswith("ExitCode: it ended with 1: read its log")
    assert lines[3].split()[-2:] == ["-", "WaitingForSlot"]


def test_trials_of_all_studies_have_their_parameters_together() -> None:
    lines = trials_table([trial(1), trial(2, "c" * 16)], None, with_study=True).splitlines()
    assert lines[0].split()[:3] == ["STUDY", "TRIAL", "ID"]
    assert "--lr=0.0123457 --layers=3 --opt=sgd" in lines[1]


def test_a_parameter_that_is_no_number_is_shown_as_it_is() -> None:
    assert show_parameter(Parameter("x", ParameterType.DOUBLE, "abc")) == "abc"


def test_a_trial_is_described_whole() -> None:
    t = trial(4, objective=0.1, tags=(Tag("rung", "2"),), message="line 1\nline 2\x1b", reason="MetricsUnavailable")
    observation = Observation("accuracy", float("nan"), datetime(2026, 5, 4, tzinfo=UTC), 1, "output", 0, step=3)
    text = describe_trial(TrialDetail(t, [observation], truncated=True))
    assert "0.012345678901234567" in text
    assert "tag rung:" in text
    assert "MetricsUnavailable: line 1\\nline 2\\x1b" in text
    assert "accuracy  nan    3     2026-05-04 00:00:00  output" in text
    assert text.endswith("(older ones are left out: katib-cli export has all of them)")
    assert "EARLIER" not in text
    failed = TrialAttempt(1, "run-1", "Signal", "it was killed by SIGKILL", 0.25, t.started_at, t.ended_at)
    text = describe_trial(TrialDetail(t, [observation], truncated=False, earlier=[failed]))
    assert "EARLIER ATTEMPT  RUN    OBJECTIVE" in text
    assert "Signal: it was killed by SIGKILL" in text
    assert describe_trial(TrialDetail(t, [], truncated=False)).endswith("No metrics were taken in from this attempt.")
