"""A log line is one line, whatever was said in it."""

import json
import logging

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
