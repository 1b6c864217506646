"""The lines in which it is looked why a trial has no value of its objective: whole ones, and those that are too long."""

import pytest

from katib.domain.metrics import MAX_LINE
from katib.domain.views import LogChunk
from katib.manager.controller.output import lines_looked_at


class Printed:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def log(self, _study_id: str, _name: str, offset: int, max_bytes: int) -> LogChunk:
        start = max(0, len(self.data) + offset)
        return LogChunk(self.data[start : start + max_bytes], len(self.data), finished=True)


def looked_at(data: bytes) -> tuple[list[str], list[str]]:
    return lines_looked_at(Printed(data), "study", "run")  # type: ignore[arg-type]


def test_lines_of_the_usual_length_are_whole() -> None:
    assert looked_at(b"") == ([], [])
    assert looked_at(b"a\rb\n\nc") == (["a", "b", "c"], [])
    longest = b"x" * (MAX_LINE - 2) + b" y"
    assert looked_at(longest + b"\nz\n") == ([longest.decode(), "z"], [])


def test_what_is_read_of_a_line_that_is_too_long_and_all_of_it() -> None:
    line = b"a " + b"x" * 70_000 + b" acc=0.5"
    assert looked_at(line + b"\nz\n") == (["a", "z"], [line.decode()])


@pytest.mark.parametrize("size", [70_000, 140_000, 3_000_000])
@pytest.mark.parametrize("before", [b"", b"b\n" * 10, b"y" * 100_000 + b"\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\nz\n"])
def test_the_end_of_a_line_that_is_too_long_is_never_taken_for_a_line(size: int, before: bytes, after: bytes) -> None:
    lines, long = looked_at(before + b"x" * size + b" acc=0.5" + after)
    assert not any("acc" in line for line in lines)
    assert any(line.endswith(" acc=0.5") for line in long)


def test_of_a_line_that_ends_further_back_nothing_is_said() -> None:
    assert looked_at(b"x" * 70_000 + b" acc=0.5\n" + b"z\n" * MAX_LINE)[1] == []
    lines, long = looked_at(b"x" * 70_000 + b" acc=0.5\n" + b"z\n" * (MAX_LINE - 1000))
    assert (set(lines), long) == ({"z"}, [])
