"""A Pod's log becomes lines: each once, with the same positions however it is cut, read again, or resumed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MAX_LINE
from katib.worker.kubernetes.loglines import LogCursor, LogReader
from tests.examples import examples

SECOND = 1_000_000_000
START = 1_800_000_000


def stamp(ns: int) -> bytes:
    return f"{datetime.fromtimestamp(ns // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{ns % SECOND:09d}Z".encode()


class Log:
    """A log as a kubelet keeps it, and gives it again from a whole second on."""

    def __init__(self, *lines: tuple[int, bytes]) -> None:
        self.lines = list(lines)

    def since(self, cursor: LogCursor) -> bytes:
        since = cursor.since
        first = 0 if since is None else int(since.timestamp()) * SECOND
        return b"".join(stamp(ns) + b" " + text + b"\n" for ns, text in self.lines if ns >= first)


def read(data: bytes, cursor: LogCursor | None = None, piece: int = 1 << 30):
    reader = LogReader(cursor or LogCursor())
    lines = []
    for i in range(0, len(data), piece):
        lines += reader.feed(data[i : i + piece])
    return lines + reader.finish(), reader


def texts(lines) -> list[str]:
    return [line.line.text for line in lines]


def test_a_line_has_its_text_its_time_and_its_time_as_its_position():
    lines, _ = read(Log((START * SECOND + 123_456_789, b"loss=0.5")).since(LogCursor()))
    assert texts(lines) == ["loss=0.5"]
    assert lines[0].line.position == START * SECOND + 123_456_789
    assert lines[0].line.time == datetime.fromtimestamp(START, UTC).replace(microsecond=123_456)


def test_lines_that_share_a_time_or_go_back_have_growing_positions():
    at = START * SECOND
    lines, _ = read(Log((at + 5, b"a"), (at + 5, b"b"), (at + 3, b"c"), (at + 9, b"d")).since(LogCursor()))
    assert [line.line.position - at for line in lines] == [5, 6, 7, 9]


def test_carriage_returns_part_lines_and_empty_ones_are_left_out():
    lines, _ = read(
        Log((START * SECOND, b"10%\r20%\r\r30%"), (START * SECOND, b""), (START * SECOND, b"end\r")).since(LogCursor())
    )
    assert texts(lines) == ["10%", "20%", "30%", "end"]


def test_colours_are_taken_out_and_what_is_no_text_is_replaced():
    lines, _ = read(Log((START * SECOND, b"\x1b[31mloss=1\x1b[0m \xff")).since(LogCursor()))
    assert texts(lines) == ["loss=1 \ufffd"]


def test_of_an_overlong_line_the_beginning_is_given_and_the_rest_is_passed_over():
    log = Log((START * SECOND, b"x" * (3 * MAX_LINE)), (START * SECOND + 1, b"next"))
    for piece in (1 << 30, 1000, 16 * 1024):
        lines, reader = read(log.since(LogCursor()), piece=piece)
        assert [len(text) for text in texts(lines)] == [MAX_LINE, 4]
        assert reader.cursor == lines[-1].cursor


def test_a_progress_bar_without_line_ends_is_given_while_it_grows_and_not_held_whole():
    reader = LogReader(LogCursor())
    bar = b"".join(b"%05d %s\r" % (i, b"#" * 500) for i in range(1000))
    data = stamp(START * SECOND) + b" " + bar
    given, most = [], 0
    for i in range(0, len(data), 8192):
        given += reader.feed(data[i : i + 8192])
        most = max(most, len(reader._rest))
    assert len(given) > 800
    assert most < 2 * MAX_LINE
    given += reader.feed(b"99999 end\n")
    assert [int(text[:5]) for text in texts(given)] == [*range(1000), 99999]


def test_a_line_that_has_not_ended_is_held_back_until_the_log_has():
    reader = LogReader(LogCursor())
    assert reader.feed(stamp(START * SECOND) + b" half") == []
    assert texts(reader.finish()) == ["half"]


def test_a_time_in_the_zone_of_the_node_is_understood():
    lines, _ = read(b"2027-01-15T09:00:00.5+01:00 a\n")
    assert lines[0].line.position == int(datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp()) * SECOND + SECOND // 2


def test_what_a_kubelet_says_in_the_place_of_a_log_is_no_line():
    lines, reader = read(b"unable to retrieve container logs for containerd://0123")
    assert lines == []
    assert reader.remark == "unable to retrieve container logs for containerd://0123"


def test_a_log_that_was_rotated_goes_on_behind_what_was_read_and_says_that_something_is_missing():
    at = START * SECOND
    log = Log(*((at + i, b"line %d" % i) for i in range(10)))
    lines, _ = read(log.since(LogCursor()))
    cursor = lines[3].cursor
    log.lines = log.lines[2:]  # the first of the second are gone, but none that had not been read
    rest, reader = read(log.since(cursor), cursor)
    assert texts(rest) == [f"line {i}" for i in range(4, 10)]
    assert [line.line.position for line in rest] == [at + i for i in range(4, 10)]
    assert reader.truncated
    again, reader = read(log.since(rest[1].cursor), rest[1].cursor)
    assert texts(again) == [f"line {i}" for i in range(6, 10)]
    assert not reader.truncated


def test_a_log_rotated_beyond_the_cursor_begins_with_what_there_is():
    at = START * SECOND
    log = Log((at, b"old"), (at + SECOND, b"old too"))
    lines, _ = read(log.since(LogCursor()))
    log.lines = [(at + SECOND + 5, b"new"), (at + 7 * SECOND, b"newer")]
    rest, reader = read(log.since(lines[-1].cursor), lines[-1].cursor)
    assert texts(rest) == ["new", "newer"]
    assert reader.truncated


@pytest.mark.parametrize("text", ["nonsense", "1.2.3", "1.2.3.4.", "-1.2.3.4", "1.2.3.4+5", "1.2.3.4 ", "9" * 70])
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidArgumentError):
        LogCursor.parse(text)


words = st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"."))
gaps = st.one_of(st.integers(0, 3), st.integers(0, 3 * SECOND), st.integers(-3, 0))


@pytest.mark.long
@given(st.lists(st.tuples(gaps, words), max_size=25), st.integers(1, 40), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_reading_in_any_pieces_and_resuming_at_any_line_gives_the_same(steps, piece, data):
    at, lines = START * SECOND + SECOND // 2, []
    for gap, text in steps:
        # A clock that goes back over the border of a second would make two kubelets disagree; within one it may.
        back = at + gap
        at = back if back // SECOND >= at // SECOND else at
        lines.append((at, text))
    log = Log(*lines)
    whole, reader = read(log.since(LogCursor()))
    positions = [line.line.position for line in whole]
    assert positions == sorted(set(positions))
    pieces, other = read(log.since(LogCursor()), piece=piece)
    assert pieces == whole
    assert other.cursor == reader.cursor
    for line in whole:
        text = str(line.cursor)
        assert len(text) <= 64
        assert LogCursor.parse(text) == line.cursor
    if whole:
        i = data.draw(st.integers(0, len(whole) - 1))
        rest, resumed = read(log.since(whole[i].cursor), whole[i].cursor, piece)
        assert rest == whole[i + 1 :]
        assert not resumed.truncated
        assert resumed.cursor == reader.cursor
