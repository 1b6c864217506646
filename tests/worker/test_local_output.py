"""A run's output, read line by line from a cursor on."""

import errno
import os
import re
import socket
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.metrics import MAX_LINE
from katib.worker.base import Output
from katib.worker.local import output as reading
from katib.worker.local.output import MAX_READ, read_log, read_output


@pytest.fixture
def path(tmp_path):
    return tmp_path / "output"


def read(path, *, ended=True, cursor="", max_bytes=65536):
    """All lines that there are now as (text, position), the cursor, whether it ended."""
    lines, end = [], False
    for _ in range(100_000):
        output = read_output(str(path), cursor, max_bytes, ended=ended)
        lines += [(line.text, line.position) for line in output.lines]
        moved, cursor, end = output.cursor != cursor, output.cursor, output.end
        if end or not moved:
            return lines, cursor, end
    raise AssertionError("it goes on for ever")


def texts(path, **options):
    return [text for text, _ in read(path, **options)[0]]


def test_a_position_is_the_offset_of_the_line_s_first_byte(path):
    path.write_bytes("é=1\nb=2\n\nc=3\n".encode())
    assert read(path) == ([("é=1", 0), ("b=2", 5), ("c=3", 10)], "14", True)


def test_a_line_s_time_is_when_the_file_was_last_written(path):
    path.write_bytes(b"a\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (line,) = read_output(str(path), "", 100, ended=True).lines
    assert line.time == datetime.fromtimestamp(1_700_000_000, UTC)


def test_an_unterminated_line_waits_for_the_end_of_the_run(path):
    path.write_bytes(b"a\nloss=0.")
    lines, cursor, end = read(path, ended=False)
    assert (lines, cursor, end) == ([("a", 0)], "2", False)
    path.write_bytes(b"a\nloss=0.5")
    assert read(path, ended=False, cursor=cursor) == ([], "2", False)
    assert read(path, ended=True, cursor=cursor) == ([("loss=0.5", 2)], "10", True)


def test_a_file_that_is_not_there_is_empty(path):
    assert read(path, ended=False) == ([], "0", False)
    assert read(path, ended=True) == ([], "0", True)


def test_a_progress_bar_is_many_lines(path):
    path.write_bytes(b"10%\r50% loss=2\r\n100% loss=1\r\ndone\n")
    assert texts(path) == ["10%", "50% loss=2", "100% loss=1", "done"]


def test_the_last_state_of_a_progress_bar_is_given_once_something_follows(path):
    path.write_bytes(b"10%\r50%\r90%")
    assert texts(path, ended=False) == ["10%", "50%"]


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (b"\x1b[1;32mloss=0.5\x1b[0m", "loss=0.5"),
        (b"\x1b[2K\x1b[1Gloss=0.5", "loss=0.5"),
        (b"\x1b[38;2;10;20;30mloss=\x1b[m0.5", "loss=0.5"),
        (b"\x1b]0;a title\x07loss=0.5", "loss=0.5"),
        (b"\x1b]8;;http://x\x1b\\loss=0.5\x1b]8;;\x1b\\", "loss=0.5"),
        (b"\x1b(Bloss=0.5\x1b7\x1b=", "loss=0.5"),
        (b"\x1b[?25lloss=0.5\x1b[?25h", "loss=0.5"),
        (b"a\tb", "a b"),
        (b"\0\0loss=0.5\0", "  loss=0.5 "),
        (b"\xff\xfeloss=0.5 \xc3", "��loss=0.5 �"),
        ("Größe=1 \N{NO-BREAK SPACE}🚀 e\u0301".encode(), "Größe=1 \N{NO-BREAK SPACE}🚀 e\u0301"),
        ("a\u2028b\x85c".encode(), "a\u2028b c"),
        (b"spin|\b/\b-\bloss=0.5", "spin| / - loss=0.5"),
    ],
)
def test_what_is_not_text_is_taken_out_or_replaced(path, printed, text):
    path.write_bytes(printed + b"\nnext\n")
    expected = text.replace("a b", "a\tb") if printed == b"a\tb" else text
    assert texts(path) == [expected, "next"]


def test_a_line_of_colour_codes_only_is_empty(path):
    path.write_bytes(b"\x1b[0m\nx\n")
    assert texts(path) == ["x"]


def test_of_a_line_that_is_too_long_the_beginning_is_given_and_the_rest_passed_over(path):
    long = b"loss=1 " + b"x" * (3 * 1024 * 1024)
    path.write_bytes(b"before\n" + long + b"\nafter=2\n")
    for max_bytes in (1, 1000, 70_000, MAX_READ):
        lines, cursor, end = read(path, max_bytes=max_bytes)
        assert [(text[:7], len(text), position) for text, position in lines] == [
            ("before", 6, 0),
            ("loss=1", 6, 7),
            ("after=2", 7, len(long) + 8),
        ]
        assert (cursor, end) == (str(path.stat().st_size), True)


def test_a_number_at_the_end_of_what_is_given_of_a_long_line_is_never_a_part_of_one(path):
    begin = b"loss=1 ".ljust(MAX_LINE - 9) + b"acc=0.12"
    path.write_bytes(begin + b"345 more\n")
    assert "acc" not in texts(path)[0]


def test_a_line_that_is_too_long_is_given_before_it_ends(path):
    path.write_bytes(b"x" * (MAX_LINE + 10))
    lines, cursor, end = read(path, ended=False)
    assert (len(lines), len(lines[0][0]), end) == (1, MAX_LINE, False)
    with path.open("ab") as file:
        file.write(b"y" * MAX_LINE)
    lines, cursor, end = read(path, ended=False, cursor=cursor)
    assert (lines, end) == ([], False)
    with path.open("ab") as file:
        file.write(b"\nnext\n")
    assert [text for text, _ in read(path, ended=False, cursor=cursor)[0]] == ["next"]


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\nx\n"])
def test_a_line_of_about_the_longest_length_is_given_once(path, length, ending):
    path.write_bytes(b"a" * length + ending)
    expected = [("a" * min(length, MAX_LINE), 0), *([("x", length + 1)] if b"x" in ending else [])]
    lines, cursor, end = read(path)
    assert (lines, cursor.rstrip("+"), end) == (expected, str(length + len(ending)), True)


@pytest.mark.long
def test_one_answer_is_bounded_whatever_is_asked_for(path):
    path.write_bytes(b"1234567\n" * (2 * MAX_READ // 8))
    output = read_output(str(path), "", 10**12, ended=True)
    assert len(output.lines) == MAX_READ // 8
    assert not output.end


def test_a_file_that_was_truncated_is_read_from_its_start_and_positions_go_on(path):
    path.write_bytes(b"one\ntwo\nthr")
    lines, cursor, _ = read(path, ended=False)
    assert lines == [("one", 0), ("two", 4)]
    path.write_bytes(b"new\n")
    output = read_output(str(path), cursor, 100, ended=False)
    assert output.truncated
    assert [(line.text, line.position) for line in output.lines] == [("new", 8)]
    path.write_bytes(b"new\nmore\n")
    assert read(path, cursor=output.cursor) == ([("more", 12)], "9@8", True)
    path.write_bytes(b"")
    output = read_output(str(path), "9@8", 100, ended=True)
    assert (list(output.lines), output.cursor, output.end, output.truncated) == ([], "0@17", True, True)


def listen(path):
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "made",
    [
        os.mkdir,
        os.mkfifo,
        listen,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(__file__ + "/none"),
    ],
    ids=["folder", "pipe", "socket", "link to itself", "device", "below a file"],
)
def test_what_is_no_file_has_lost_all_that_was_in_it_and_is_waited_at_by_nobody(path, made):
    made(path)
    for cursor, after in (("", "0"), ("9", "0@9")):
        assert read_output(str(path), cursor, 100, ended=True) == Output([], after, end=True, truncated=True)
        assert not read_output(str(path), cursor, 100, ended=False).end
    assert read_log(str(path), 0, 100, ended=True).data == b""


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_what_cannot_be_read_is_trouble_of_that_file_alone(path, monkeypatch, number):
    path.write_bytes(b"acc=1\n")
    monkeypatch.setattr(os, "pread", failing(number))
    output = read_output(str(path), "3", 100, ended=True)
    assert output == Output([], "3", end=False, trouble=f"its output cannot be read: {os.strerror(number)}")
    with pytest.raises(NotFoundError, match=f"the output cannot be read: {os.strerror(number)}"):
        read_log(str(path), 0, 100, ended=True)


def test_that_this_process_has_no_descriptor_left_is_no_trouble_of_the_file(path, monkeypatch):
    path.write_bytes(b"acc=1\n")
    monkeypatch.setattr(os, "open", failing(errno.EMFILE))
    for reader, where in ((read_output, ""), (read_log, 0)):
        with pytest.raises(OSError, match="Too many open files"):
            reader(str(path), where, 100, ended=True)


def failing(number):
    def fail(*_arguments):
        raise OSError(number, os.strerror(number))

    return fail


def test_what_was_never_written_of_a_file_is_passed_over_as_one_line_that_is_too_long(path):
    path.write_bytes(b"first\n")
    with path.open("r+b") as file:
        file.seek(2**40)
        file.write(b"of the long line\nlast\n")
        file.truncate(2**41)
    lines, cursor, end = read(path)
    assert lines == [("first", 0), ("last", 2**40 + 17)]
    assert (cursor, end) == (f"{2**41}+", True)


def test_zeros_that_were_written_are_one_line_that_is_too_long_whatever_the_file_system_says_of_them(path, monkeypatch):
    path.write_bytes(b"first\n" + bytes(5 * MAX_LINE) + b" end\nlast\n")
    expected = read(path)
    monkeypatch.setattr(os, "lseek", failing(errno.EINVAL))
    assert read(path) == expected == ([("first", 0), ("last", 5 * MAX_LINE + 11)], str(5 * MAX_LINE + 16), True)


def test_of_a_run_that_was_stopped_the_end_of_a_long_output_is_read_and_the_rest_said_to_be_lost(path, monkeypatch):
    monkeypatch.setattr(reading, "STOPPED_BYTES", 20)
    path.write_bytes(b"first\n" + b"x" * 100 + b"\nacc=1\nacc=2\n")
    for ended in (False, True):
        output = read_output(str(path), "6", 1000, ended=ended, stopped=True)
        assert output.truncated is ended
        assert [line.text for line in output.lines] == ["x" * 100] * (not ended) + ["acc=1", "acc=2"]
    assert [line.position for line in output.lines] == [107, 113]
    assert not read_output(str(path), "106", 1000, ended=True, stopped=True).truncated


@pytest.mark.parametrize("cursor", ["x", "-1", "1.0", "1@", "@1", "++", "1+@2", " 1", "1\n", "9" * 30, "٣"])
def test_a_cursor_that_was_never_given_is_refused(path, cursor):
    with pytest.raises(InvalidArgumentError, match="cursor"):
        read_output(str(path), cursor, 100, ended=True)


def reference(data: bytes) -> list[tuple[int, int]]:
    """Begin and length of each line that is not empty."""
    return [(m.start(), len(m[0])) for m in re.finditer(rb"[^\r\n]+", data)]


@pytest.mark.long
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"\n", b"\r", b"\r\n", b"x=1", b"\x1b[1m", b"\x1b]", "é".encode()[:1], b"z" * (MAX_LINE + 3)]
            ),
        ),
        max_size=12,
    ),
    max_bytes=st.sampled_from([1, 2, 7, 100, MAX_LINE, 10**9]),
)
def test_however_it_is_written_and_read_each_line_comes_once(tmp_path_factory, pieces, max_bytes):
    path = tmp_path_factory.mktemp("output") / "output"
    path.touch()
    lines, cursor = [], ""
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        new, cursor, end = read(path, ended=False, cursor=cursor, max_bytes=max_bytes)
        lines += new
        assert not end
    new, cursor, end = read(path, ended=True, cursor=cursor, max_bytes=max_bytes)
    lines += new
    data = b"".join(pieces)
    assert end
    assert cursor.rstrip("+") == str(len(data))
    whole = read(path)[0]
    assert lines == whole
    begins = [begin for begin, _ in reference(data)]
    positions = [position for _, position in lines]
    assert positions == sorted(set(positions))
    assert set(positions) <= set(begins)
    # A line that is missing held nothing but codes that were taken out.
    for begin, length in reference(data):
        if begin not in positions:
            assert b"\x1b" in data[begin : begin + length]


@given(st.binary(max_size=200), st.integers(-250, 250), st.integers(1, 300))
def test_a_log_is_given_byte_by_byte(tmp_path_factory, data, offset, size):
    path = tmp_path_factory.mktemp("log") / "output"
    path.write_bytes(data)
    chunk = read_log(str(path), offset, size, ended=True)
    begin = max(0, len(data) + offset) if offset < 0 else min(offset, len(data))
    assert chunk.data == data[begin : begin + size]
    assert chunk.next_offset == begin + len(chunk.data)
    assert chunk.finished == (chunk.next_offset == len(data))


def test_a_log_that_is_not_there_is_empty(path):
    assert read_log(str(path), 5, 10, ended=False).finished is False
    assert read_log(str(path), 0, 10, ended=True).finished is True


def test_a_pipe_in_its_place_is_not_waited_at(path):
    os.mkfifo(path)
    assert read(path, ended=False)[0] == []
    assert read_log(str(path), -100, 100, ended=False).data == b""
