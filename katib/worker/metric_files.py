"""Reading the file, or the folder of event files, that a run writes its metrics to, while it writes.

A reader remembers how far it has come and is of one run of one process; one that begins anew gives everything again, under the
same keys. What it gives at a time is bounded.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

from katib.domain.collector import MetricsCollector, MetricsSource
from katib.domain.event_files import (
    FOOTER,
    HEADER,
    MAX_RECORD,
    DamagedError,
    check_data,
    parse_event,
    record_length,
)
from katib.domain.metric_lines import LineParser, parse_output
from katib.domain.metrics import Observation
from katib.worker.base import MetricFiles, MetricPiece
from katib.worker.local.output import read_output

_log: Final = logging.getLogger(__name__)

FILE_SOURCE: Final = "file"
EVENTS_SOURCE: Final = "tensorboard:"
_EVENT_FILE: Final = "tfevents"
# More is no folder of one run.
_MAX_FILES: Final = 1000
_MAX_SEEN: Final = 50


def open_metric_files(
    collector: MetricsCollector, path: str, parser: LineParser, names: Collection[str], attempt: int
) -> MetricFiles:
    if collector.source is MetricsSource.TENSORBOARD:
        return EventFolder(path, names, attempt)
    return LineFile(path, parser, attempt)


class LineFile:
    def __init__(self, path: str, parser: LineParser, attempt: int) -> None:
        self.seen: dict[str, None] = {}
        self.path: Final = path
        self._parser = parser
        self._attempt = attempt
        self._cursor = ""

    def read(self, max_bytes: int, *, ended: bool) -> MetricPiece:
        # Nothing else can stand there that could be read, or would not have to be waited at.
        if not os.path.isfile(self.path):
            return MetricPiece()
        output = read_output(self.path, self._cursor, max_bytes, ended=ended)
        moved, self._cursor = output.cursor != self._cursor, output.cursor
        found = parse_output(output.lines, self._parser, self._attempt, FILE_SOURCE)
        _note(self.seen, (o.name for o in found))
        return MetricPiece(found, end=output.end or not moved)


class EventFolder:
    """Every event file in the folder and below it. What stands in the folder itself is named by its tag, what is further down
    by `SUBFOLDER/TAG`, as TensorBoard shows it; spaces, which no metric's name has, are `_`."""

    def __init__(self, path: str, names: Collection[str], attempt: int) -> None:
        self.seen: dict[str, None] = {}
        self.path: Final = path
        self._names = frozenset(names)
        self._attempt = attempt
        self._files: dict[str, _EventFile] = {}

    def read(self, max_bytes: int, *, ended: bool) -> MetricPiece:
        self._look()
        piece = MetricPiece()
        left = max_bytes
        for file in self._files.values():
            if left <= 0:
                piece.end = False
                break
            size, more = file.read(left, self._take(piece, file), ended=ended)
            left -= size
            piece.end = piece.end and not more
        return piece

    def _look(self) -> None:
        for folder, folders, files in os.walk(self.path):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                if _EVENT_FILE in name and path not in self._files and len(self._files) < _MAX_FILES:
                    self._files[path] = _EventFile(path, os.path.relpath(path, self.path))

    def _take(self, piece: MetricPiece, file: "_EventFile") -> "_Taker":
        def take(offset: int, data: bytes) -> None:
            event = parse_event(data)
            for ordinal, scalar in enumerate(event.scalars):
                name = "_".join((file.prefix + scalar.tag).split())
                _note(self.seen, (name,))
                if name in self._names:
                    piece.observations.append(
                        Observation(
                            name,
                            scalar.value,
                            _time(event.wall_time),
                            self._attempt,
                            file.source,
                            offset,
                            ordinal,
                            event.step,
                        )
                    )

        return take


class _Taker(Protocol):
    def __call__(self, offset: int, data: bytes, /) -> None: ...


class _EventFile:
    def __init__(self, path: str, relative: str) -> None:
        folder = os.path.dirname(relative)
        self.prefix: Final = f"{folder}/" if folder else ""
        # A file's name may be longer than a source.
        self.source: Final = EVENTS_SOURCE + hashlib.sha256(os.fsencode(relative)).hexdigest()[:16]
        self._path = path
        self._offset = 0
        self._damaged = False

    def read(self, max_bytes: int, take: _Taker, *, ended: bool) -> tuple[int, bool]:
        """Gives each whole record to `take`; how much was read, and whether there is more now."""
        if self._damaged:
            return 0, False
        try:
            # Not to wait at what somebody has put in its place.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return 0, False
        begin = self._offset
        try:
            status = os.fstat(descriptor)
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            if size < self._offset:
                # Written anew from its beginning: what follows would have the keys of what was there before.
                raise DamagedError("it is shorter than it was")
            while self._offset - begin < max_bytes:
                if not self._record(descriptor, size, take):
                    return self._offset - begin, False
        except DamagedError as error:
            # While it is being written, what stands there may not all be to be seen yet.
            if ended:
                _log.warning("%s is passed over from byte %d on: %s", self._path, self._offset, error)
                self._damaged = True
            return self._offset - begin, False
        finally:
            os.close(descriptor)
        return self._offset - begin, True

    def _record(self, descriptor: int, size: int, take: _Taker) -> bool:
        """Whether there was a whole one."""
        if self._offset + HEADER > size:
            return False
        header = os.pread(descriptor, HEADER, self._offset)
        if len(header) < HEADER:
            return False
        length = record_length(header)
        end = self._offset + HEADER + length + FOOTER
        if end > size:
            return False
        if length <= MAX_RECORD:
            data = os.pread(descriptor, length + FOOTER, self._offset + HEADER)
            if len(data) < length + FOOTER:
                return False
            check_data(data[:length], data[length:])
            take(self._offset, data[:length])
        self._offset = end
        return True


def _note(seen: dict[str, None], names: Iterable[str]) -> None:
    for name in names:
        if len(seen) < _MAX_SEEN:
            seen[name] = None


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
