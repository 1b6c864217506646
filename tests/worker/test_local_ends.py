"""How a run of the local worker ended, by what there is to tell it from."""

import pytest

from katib.worker.local.diagnosis import NEVER_BEGAN, VANISHED, end_of
from katib.worker.local.folder import REPLACED, Started, StartedBy, Verdict, read_started

WRAPPER = Started(StartedBy.WRAPPER, 7, "boot")
UNKNOWN = Started(StartedBy.UNKNOWN)
STRANGER = Started(StartedBy.STRANGER)


@pytest.mark.parametrize(
    ("recorded", "code", "started", "end"),
    [
        (Verdict(3), None, None, Verdict(3)),
        (Verdict(3), 137, None, Verdict(3)),
        (None, 137, WRAPPER, Verdict(137)),
        (REPLACED, 3, None, Verdict(3)),
        (REPLACED, None, None, REPLACED),
        (None, None, STRANGER, REPLACED),
        (None, None, UNKNOWN, NEVER_BEGAN),
        (None, None, None, NEVER_BEGAN),
        (None, None, WRAPPER, VANISHED),
    ],
)
def test_a_record_counts_before_an_exit_code_and_that_before_how_the_run_began(recorded, code, started, end):
    assert end_of(recorded, code, started) == end


@pytest.mark.parametrize(
    ("text", "started"),
    [
        ("7 boot\n", WRAPPER),
        ("fenced\n", Started(StartedBy.FENCE)),
        ("", UNKNOWN),
        ("7 bo", UNKNOWN),
        ("0 boot\n", UNKNOWN),
        ("something else\n", UNKNOWN),
    ],
)
def test_who_began_a_run_is_read_from_a_record_that_is_whole(tmp_path, text, started):
    (tmp_path / "started").write_text(text)
    assert read_started(str(tmp_path)) == started


def test_a_run_is_begun_by_nobody_without_a_record_and_by_a_stranger_where_something_else_stands(tmp_path):
    assert read_started(str(tmp_path)) is None
    (tmp_path / "started").mkdir()
    assert read_started(str(tmp_path)) == STRANGER
