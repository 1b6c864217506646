"""A run's output file, read line by line from a cursor on, in bounded memory whatever the command prints.

A cursor is `<offset>`, with `@<base>` behind it when the file was once truncated (what had been read before counts on, so that
positions never come twice) and with `+` when it stands in the middle of a line that was too long, whose rest is passed over.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.metrics import MAX_LINE, OutputLine
from katib.domain.views import LogChunk
from katib.worker.base import Output
from katib.worker.lines import line_text

MAX_READ: Final = 4 * 1024 * 1024
# What of its output is still read of a run that was asked to end, when it has: about as much as is read in a second.
STOPPED_BYTES: Final = 16 * 1024 * 1024

# Not to wait at a pipe that the program has put in its output's place.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK
# A socket; a link to itself; the run's folder itself replaced.
_NO_FILE: Final = frozenset({errno.ENXIO, errno.ELOOP, errno.ENOTDIR})
# What this process has run out of; anything else that keeps a file from being read is that file's own.
_OURS: Final = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE})
_CURSOR: Final = re.compile(r"([0-9]{1,18})(?:@([0-9]{1,18}))?(\+)?")


@dataclass(slots=True)
class _Cursor:
    offset: int
    base: int = 0
    skipping: bool = False

    @classmethod
    def parse(cls, text: str) -> "_Cursor":
        if not text:
            return cls(0)
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidArgumentError.of("cursor", text, "expected a cursor that an earlier answer gave")
        return cls(int(match[1]), int(match[2] or 0), match[3] is not None)

    def __str__(self) -> str:
        base = f"@{self.base}" if self.base else ""
        return f"{self.offset}{base}{'+' if self.skipping else ''}"


def read_output(path: str, cursor: str, max_bytes: int, *, ended: bool, stopped: bool = False) -> Output:
    """`ended` is true only when nothing will be written any more. A file that is not there is an empty one; what is no regular
    file, as a folder that the program has made in its place, is one that lost all that was in it. Raises OSError for what is
    no trouble of this file. Of a run that has ended because it was `stopped` only the last STOPPED_BYTES are read: nobody waits
    longer for it.

    A line's time is the last time that the file was written when the line was read.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return read_descriptor(None, cursor, max_bytes, ended=ended)
    except OSError as error:
        if error.errno in _NO_FILE:
            return _lost(cursor, max_bytes, ended=ended)
        return _trouble(error, cursor)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _lost(cursor, max_bytes, ended=ended)
        at = _Cursor.parse(cursor)
        if ended and stopped and status.st_size - at.offset > STOPPED_BYTES:
            at.offset, at.skipping = status.st_size - STOPPED_BYTES, True
            return replace(read_descriptor(descriptor, str(at), max_bytes, ended=ended), truncated=True)
        return read_descriptor(descriptor, cursor, max_bytes, ended=ended)
    except OSError as error:
        return _trouble(error, cursor)
    finally:
        os.close(descriptor)


def _trouble(error: OSError, cursor: str) -> Output:
    if error.errno in _OURS:
        raise error
    return Output([], cursor, end=False, trouble=f"its output cannot be read: {error.strerror}")


def _lost(cursor: str, max_bytes: int, *, ended: bool) -> Output:
    return replace(read_descriptor(None, cursor, max_bytes, ended=ended), truncated=True)


def offset_of(cursor: str) -> int:
    """How many bytes of the file, as it stands, are behind the cursor."""
    return _Cursor.parse(cursor).offset


def read_descriptor(descriptor: int | None, cursor: str, max_bytes: int, *, ended: bool, anew: bool = False) -> Output:
    """The same of a file that is open already; None is an empty one. `anew`: it is another than the cursor was given for, and
    is read as one that was truncated is."""
    at = _Cursor.parse(cursor)
    wanted = min(max(max_bytes, 1), MAX_READ)
    if descriptor is None:
        size, data, written = 0, b"", 0.0
        truncated = _rewind(at, size)
    else:
        status = os.fstat(descriptor)
        size, written = status.st_size, status.st_mtime
        truncated = _rewind(at, -1 if anew else size)
        # One byte more than the longest line shows that a line is too long.
        data = os.pread(descriptor, max(wanted, MAX_LINE + 1), at.offset) if size > at.offset else b""
    if descriptor is not None and len(data) > MAX_LINE and data.count(0) == len(data):
        # One line, and too long. Of a file that has a size beyond all disks hardly anything was ever written.
        at.offset, at.skipping = _next_written(descriptor, at.offset + len(data), size), True
        data = b""
    last = ended and at.offset + len(data) >= size
    lines = _take(at, data, wanted, datetime.fromtimestamp(written, UTC), last=last) if data else []
    return Output(lines, str(at), ended and at.offset >= size, truncated)


def _next_written(descriptor: int, offset: int, size: int) -> int:
    try:
        return min(os.lseek(descriptor, offset, os.SEEK_DATA), size)
    except OSError as error:
        # Nothing behind it, or a file system that does not say.
        return size if error.errno == errno.ENXIO else offset


def read_log(path: str, offset: int, max_bytes: int, *, ended: bool) -> LogChunk:
    """Raw bytes from `offset` on; a negative one counts from the end, one beyond it stands for it. A file that is not there, or
    no regular one, is an empty one. Raises NotFoundError for one that cannot be read, and OSError for what is no trouble of
    this file."""
    wanted = min(max(max_bytes, 1), MAX_READ)
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return LogChunk(b"", 0, ended)
            size = status.st_size
            start = max(0, size + offset) if offset < 0 else min(offset, size)
            data = os.pread(descriptor, wanted, start)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in _NO_FILE:
            return LogChunk(b"", 0, ended)
        if error.errno in _OURS:
            raise
        raise NotFoundError(f"the output cannot be read: {error.strerror}") from error
    return LogChunk(data, start + len(data), ended and start + len(data) >= size)


def _rewind(at: _Cursor, size: int) -> bool:
    """Goes back to the start of a file that is shorter than it was."""
    if size >= at.offset:
        return False
    at.base, at.offset, at.skipping = at.base + at.offset, 0, False
    return True


def _take(at: _Cursor, data: bytes, wanted: int, time: datetime, *, last: bool) -> list[OutputLine]:
    """The lines that begin within the first `wanted` bytes of `data`, which stands at the cursor; moves the cursor behind them.

    `last`: nothing follows the data, so what has no line end is a line.
    """
    text = data.replace(b"\r", b"\n")
    start = at.offset
    begin = 0
    if at.skipping:
        begin = text.find(b"\n") + 1
        if not begin:
            at.offset += len(data)
            return []
        at.skipping = False
    lines: list[OutputLine] = []

    def add(line: bytes) -> None:
        if line and (clean := line_text(line)):
            lines.append(OutputLine(clean, at.base + start + begin, time))

    complete = text.rfind(b"\n") + 1
    if begin < complete:
        for line in text[begin : complete - 1].split(b"\n"):
            if begin >= wanted:
                break
            add(line)
            begin += len(line) + 1
    if begin >= complete and begin < wanted:
        rest = text[begin:]
        if len(rest) > MAX_LINE:
            add(rest)
            begin = len(text)
            at.skipping = True
        elif rest and last:
            add(rest)
            begin = len(text)
    at.offset = start + begin
    return lines
