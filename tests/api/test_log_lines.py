"""A log line is one line, whatever was said in it."""

import json
import logging
import re

import pytest

from katib.api.logs import set_up_logging

HOSTILE = "a\n2026-01-01 [info] forged\x1b[2J\x9b1m\u202e\r\udcff"


@pytest.fixture(autouse=True)
def _restored():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize("format_", ["text", "json"])
def test_nothing_that_is_logged_begins_a_line_or_is_obeyed_by_a_terminal(capsys, format_):
    set_up_logging("INFO", format_)
    logging.getLogger("x").warning("said: %s", HOSTILE, extra={"study": HOSTILE})
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.rstrip("\n").isprintable()
    if format_ == "json":
        assert json.loads(shown)["study"] == HOSTILE


def test_an_exceptions_text_stays_on_its_line(capsys):
    set_up_logging("INFO", "text")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("failed")
    shown = capsys.readouterr().err
    first, *more = shown.rstrip("\n").split("\n")
    assert "failed" in first
    assert more
    assert all(line.startswith("  ") and line.isprintable() for line in more)


def test_an_exception_in_json_is_its_text_without_the_values_of_variables(capsys):
    set_up_logging("INFO", "json")
    secret = "hunter2"
    try:
        raise ValueError(len(secret))
    except ValueError:
        logging.getLogger("x").exception("failed")
    shown = json.loads(capsys.readouterr().err)
    assert shown["exception"].endswith("ValueError: 7")
    assert shown["level"] == "error"
    assert shown["message"] == "failed"
    assert "hunter2" not in str(shown)


def test_a_line_has_the_time_the_level_the_message_and_what_it_is_about(capsys):
    set_up_logging("INFO", "text")
    logging.getLogger("x").info("trial %s ended", 3, extra={"study_id": "s1", "told": "a b", "empty": "", "n": 3.5})
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[info    \] trial 3 ended empty='' n=3\.5 study_id=s1 told='a b'",
        line,
    )


def test_what_json_has_no_word_for_is_logged_all_the_same(capsys):
    set_up_logging("INFO", "json")
    logging.getLogger("x").info("seen", extra={"what": {1}})
    assert json.loads(capsys.readouterr().err)["what"] == "{1}"
