"""A Pod's log, line by line from a cursor on, whatever the pieces in which it comes. Pure: no requests here.

The API server gives each line of a log the time at which it was printed, to the nanosecond, and gives a log again only from
the beginning of a whole second on. So a cursor names the second of the newest line taken in, how many lines from that second on
have been taken in, and the time of the first of them: when a log that is read again from that second does not begin with that
one, the file has been rotated away in between, and the lines after the last position follow.

A line's position is its time in nanoseconds, or one more than the position before it where times are equal or go back: unique,
growing, and the same each time the log is read.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MAX_LINE, OutputLine
from katib.worker.lines import line_text

_SECOND: Final = 1_000_000_000
_CURSOR: Final = re.compile(r"([0-9]{1,11})\.([0-9]{1,9})\.([0-9]{1,12})\.([0-9]{1,12})(?:\.([0-9]{1,10}))?(\+)?")
# 2026-01-31T23:59:59.123456789Z; the node's own zone may stand at the end.
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_STAMP_MOST: Final = 40
_SHOWN: Final = 300


class LogCursor(NamedTuple):
    """`lines` lines of the log have been taken in from `second` on, the first of them `first` nanoseconds after it; `position`
    is that of the last line given. `into` bytes of the line that follows have been taken in; `skipping`: the rest of it up to
    its end or a carriage return is to be passed over."""

    second: int = 0
    first: int = 0
    lines: int = 0
    position: int = 0
    into: int = 0
    skipping: bool = False

    @classmethod
    def parse(cls, text: str) -> "LogCursor":
        if not text:
            return cls()
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidArgumentError.of("cursor", text, "expected a cursor that an earlier answer gave")
        second, first, lines, position = (int(match[i]) for i in range(1, 5))
        return cls(second, first, lines, second * _SECOND + position - 1, int(match[5] or 0), match[6] is not None)

    def __str__(self) -> str:
        if self == LogCursor():
            return ""
        into = f".{self.into}" if self.into else ""
        after = self.position - self.second * _SECOND + 1
        return f"{self.second}.{self.first}.{self.lines}.{after}{into}{'+' if self.skipping else ''}"

    @property
    def since(self) -> datetime | None:
        """From when on the log is to be read again; None: from its beginning."""
        return datetime.fromtimestamp(self.second, UTC) if self.lines or self.into else None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line and the cursor behind it."""

    line: OutputLine
    cursor: LogCursor


class LogReader:
    """Reads one stream of a log with timestamps, that was asked for from `cursor.since` on."""

    def __init__(self, cursor: LogCursor) -> None:
        # How far everything has been taken in; what `feed` has not given yet is read again from here.
        self.cursor = cursor
        # Output was lost between the cursor at the beginning and the first line given.
        self.truncated = False
        # What has come of a log that is being read from its beginning; None: from somewhere else on.
        self.whole_bytes = 0 if cursor.since is None else None
        self._again = cursor.lines
        self._into = cursor.into
        self._until = -1
        self._checked = cursor.since is None
        self._rest = b""
        # Of the line that `_rest` is the continuation of; None: its beginning has not been read.
        self._time: int | None = None

    def feed(self, data: bytes) -> list[LogLine]:
        """The lines that are complete with this piece."""
        if self.whole_bytes is not None:
            self.whole_bytes += len(data)
        given: list[LogLine] = []
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line, given)
        if len(self._rest) > MAX_LINE + _STAMP_MOST:
            self._overlong(given)
        return given

    @property
    def remark(self) -> str:
        """What the kubelet says in the place of the rest of a log, where that cannot be read: it stands at the end, without a
        time and a line's end."""
        if self._time is not None or not self._rest or self._rest.startswith(b"\x00"):
            return ""
        stamp, space, _ = self._rest[:_STAMP_MOST].partition(b" ")
        return "" if space and _nanoseconds(stamp) is not None else line_text(self._rest[:_SHOWN])

    def finish(self) -> list[LogLine]:
        """The log has ended for good: what stands at its end without a line end is a line."""
        given: list[LogLine] = []
        if self._rest and not self.remark:
            rest, self._rest = self._rest, b""
            self._line(rest, given)
        return given

    def _line(self, line: bytes, given: list[LogLine]) -> None:
        """The rest of a line of the log, up to its end."""
        if self._time is None:
            line = self._begin(line)
        time, self._time = self._time, None
        if time is None:
            return
        at = self.cursor
        if self._again:
            self._again -= time // _SECOND >= at.second
            return
        if self._into:
            line, self._into = line[self._into :], 0
        self._segments(line, time, given)
        counted = time // _SECOND >= at.second
        self.cursor = self.cursor._replace(lines=self.cursor.lines + counted, into=0, skipping=False)
        if given and given[-1].cursor.into and given[-1].line.position == self.cursor.position:
            given[-1] = LogLine(given[-1].line, self.cursor)

    def _overlong(self, given: list[LogLine]) -> None:
        """What has come of a line whose end is far away: given as far as it can be, so that no more is held than one line."""
        if self._time is None:
            self._rest = self._begin(self._rest)
            if self._time is None:
                # No line of a log at all; its end will be met.
                self._rest = b"\x00"
                return
        if self._again or self._into >= len(self._rest):
            # Being read again: of a line that counts, its end does.
            if not self._again:
                self._into -= len(self._rest)
            self._rest = b""
            return
        if self._into:
            self._rest, self._into = self._rest[self._into :], 0
        *whole, rest = self._rest.split(b"\r")
        if whole:
            self._segments(b"\r".join(whole), self._time, given, more=True)
        if len(rest) > MAX_LINE:
            self._give(rest, len(rest), self._time, given, skipping=True)
            rest = b""
        self._rest = rest

    def _begin(self, line: bytes) -> bytes:
        """Takes the time off a line of the log and moves the window; returns what follows."""
        stamp, space, text = line[:_STAMP_MOST].partition(b" ")
        time = _nanoseconds(stamp) if space else None
        if time is None:
            return line
        self._time = time
        text = line[len(stamp) + 1 :]
        second = time // _SECOND
        if not self._checked:
            if second < self.cursor.second:
                # Asked for in whole seconds, some answer with a little more.
                self._time = None
                return text
            self._checked = True
            if time != self.cursor.second * _SECOND + self.cursor.first:
                # Rotated away: go on behind the last position.
                self.truncated = True
                self._again, self._into, self._until = 0, 0, self.cursor.position
                self.cursor = LogCursor(position=self.cursor.position)
        if second > self.cursor.second and not self._again:
            # The least that can be written down; lines of this second come behind it.
            position = max(self.cursor.position, second * _SECOND - 1)
            self.cursor = LogCursor(second, time - second * _SECOND, 0, position)
        return text

    def _segments(self, text: bytes, time: int, given: list[LogLine], *, more: bool = False) -> None:
        """The lines that a line of the log is, parted by carriage returns; `more`: one stands at the end too."""
        if b"\r" not in text and not more:
            self._give(text, len(text), time, given)
            return
        for segment in text.split(b"\r"):
            self._give(segment, len(segment) + 1, time, given)

    def _give(self, text: bytes, size: int, time: int, given: list[LogLine], *, skipping: bool = False) -> None:
        passed, self.cursor = (
            self.cursor.skipping,
            self.cursor._replace(into=self.cursor.into + size, skipping=skipping),
        )
        if passed:
            return
        shown = line_text(text) if text else ""
        if not shown or time <= self._until:
            return
        position = max(self.cursor.position + 1, time)
        self.cursor = self.cursor._replace(position=position)
        micro = datetime.fromtimestamp(time // _SECOND, UTC).replace(microsecond=time % _SECOND // 1000)
        given.append(LogLine(OutputLine(shown, position, micro), self.cursor))


def _nanoseconds(stamp: bytes) -> int | None:
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    second = _seconds(match[1], match[3])
    return None if second is None else second * _SECOND + int((match[2] or b"0").ljust(9, b"0"))


@lru_cache(maxsize=256)
def _seconds(text: bytes, zone: bytes) -> int | None:
    """Since the epoch. Many lines share a second."""
    try:
        return int(datetime.fromisoformat((text + zone).decode()).timestamp())
    except ValueError:
        return None
