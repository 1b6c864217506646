"""Reading the file, or the folder of event files, that a run writes its metrics to, while it writes.

A reader remembers how far it has come and is of one run of one process; one that begins anew gives everything again, under the
same keys. What it gives at a time is bounded.
"""

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Final

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
from katib.worker.local.output import offset_of, read_descriptor
from katib.worker.metric_place import Place

FILE_SOURCE: Final = "file"
EVENTS_SOURCE: Final = "tensorboard:"
_EVENT_FILE: Final = "tfevents"
# More is no folder of one run.
_MAX_FILES: Final = 1000
# How often a folder is looked through for new files.
_LOOK_S: Final = 2.0
_MAX_SEEN: Final = 50
# By how much of its beginning a file of lines is known again.
_HEAD: Final = 1024


def open_metric_files(
    collector: MetricsCollector, path: str, parser: LineParser, names: Collection[str], attempt: int, root: str = ""
) -> MetricFiles:
    """`root`: the folder above `path` that is another's to write to; below it no symbolic link is followed."""
    place = Place(path, root)
    if collector.source is MetricsSource.TENSORBOARD:
        return EventFolder(place, names, attempt)
    return LineFile(place, parser, attempt)


class LineFile:
    def __init__(self, place: Place, parser: LineParser, attempt: int) -> None:
        self.seen: dict[str, None] = {}
        self.path: Final = place.path
        self._place = place
        self._parser = parser
        self._attempt = attempt
        self._cursor = ""
        self._head = b""

    def read(self, max_bytes: int, *, ended: bool) -> MetricPiece:
        try:
            descriptor = self._place.open()
        except FileNotFoundError:
            return MetricPiece(absent=self._place.shared)
        except OSError as error:
            return MetricPiece(trouble=_say(self.path, error))
        try:
            anew = self._is_another(descriptor)
            output = read_descriptor(descriptor, self._cursor, max_bytes, ended=ended, anew=anew)
            self._head = os.pread(descriptor, min(_HEAD, offset_of(output.cursor)), 0)
        except OSError as error:
            return MetricPiece(trouble=_say(self.path, error))
        finally:
            os.close(descriptor)
        moved, self._cursor = output.cursor != self._cursor, output.cursor
        found = parse_output(output.lines, self._parser, self._attempt, FILE_SOURCE)
        _note(self.seen, (o.name for o in found))
        note = (
            f"{self.path} was written anew, not appended to: values may be missing, or be there twice" if anew else ""
        )
        return MetricPiece(found, end=output.end or not moved, note=note)

    def _is_another(self, descriptor: int) -> bool:
        """Whether what has been read does not stand there any more."""
        if os.fstat(descriptor).st_size < offset_of(self._cursor):
            return True
        return os.pread(descriptor, len(self._head), 0) != self._head


class EventFolder:
    """Every event file in the folder and below it. What stands in the folder itself is named by its tag, what is further down
    by `SUBFOLDER/TAG`, as TensorBoard shows it; spaces, which no metric's name has, are `_`."""

    def __init__(self, place: Place, names: Collection[str], attempt: int) -> None:
        self.seen: dict[str, None] = {}
        self.path: Final = place.path
        self._place = place
        self._names = frozenset(names)
        self._attempt = attempt
        self._files: dict[str, _EventFile] = {}
        self._look_at = 0.0
        self._looked_at_end = False

    def read(self, max_bytes: int, *, ended: bool) -> MetricPiece:
        trouble = self._look(ended=ended)
        piece = MetricPiece(trouble=trouble, absent=self._place.shared and not self._files and not trouble)
        left = max_bytes
        for file in self._files.values():
            if left <= 0:
                piece.end = False
                break
            before, more = file.offset, False
            try:
                more = file.read(left, self._take(piece, file), ended=ended)
                piece.note = piece.note or file.damage
            except OSError as error:
                # What it and the others gave is not to be had again.
                piece.trouble = piece.trouble or _say(file.path, error)
            left -= file.offset - before
            piece.end = piece.end and not more
        return piece

    def _look(self, *, ended: bool) -> str:
        """Looks for files; why it could not."""
        now = time.monotonic()
        if now < self._look_at and (self._looked_at_end or not ended):
            return ""
        try:
            for relative in self._place.walk():
                if (
                    _EVENT_FILE in os.path.basename(relative)
                    and relative not in self._files
                    and len(self._files) < _MAX_FILES
                ):
                    self._files[relative] = _EventFile(self._place, relative)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return _say(self.path, error)
        self._look_at, self._looked_at_end = now + _LOOK_S, ended
        return ""

    def _take(self, piece: MetricPiece, file: "_EventFile") -> "_Take":
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


# Is given each record with the offset at which it begins.
_Take = Callable[[int, bytes], None]


class _EventFile:
    def __init__(self, place: Place, relative: str) -> None:
        folder = os.path.dirname(relative)
        self.prefix: Final = f"{folder}/" if folder else ""
        # A file's name may be longer than a source.
        self.source: Final = EVENTS_SOURCE + hashlib.sha256(os.fsencode(relative)).hexdigest()[:16]
        self.path: Final = os.path.join(place.path, relative)
        self.offset = 0
        self._place = place
        self._relative = relative
        self.damage = ""

    def read(self, max_bytes: int, take: _Take, *, ended: bool) -> bool:
        """Gives each whole record to `take`; whether there is more now."""
        if self.damage:
            return False
        try:
            descriptor = self._place.open(self._relative)
        except FileNotFoundError:
            return False
        begin = self.offset
        try:
            size = os.fstat(descriptor).st_size
            if size < self.offset:
                # Written anew from its beginning: what follows would have the keys of what was there before.
                raise DamagedError("it is shorter than it was")
            while self.offset - begin < max_bytes:
                if not self._record(descriptor, size, take):
                    return False
        except DamagedError as error:
            # While it is being written, what stands there may not all be to be seen yet.
            if ended:
                self.damage = f"{self.path} is passed over from byte {self.offset} on: {error}"
            return False
        finally:
            os.close(descriptor)
        return True

    def _record(self, descriptor: int, size: int, take: _Take) -> bool:
        """Whether there was a whole one."""
        if self.offset + HEADER > size:
            return False
        header = os.pread(descriptor, HEADER, self.offset)
        if len(header) < HEADER:
            return False
        length = record_length(header)
        end = self.offset + HEADER + length + FOOTER
        if end > size:
            return False
        if length <= MAX_RECORD:
            data = os.pread(descriptor, length + FOOTER, self.offset + HEADER)
            if len(data) < length + FOOTER:
                return False
            check_data(data[:length], data[length:])
            take(self.offset, data[:length])
        self.offset = end
        return True


def _say(path: str, error: OSError) -> str:
    return f"{path} cannot be read: {error.strerror}" if error.strerror else str(error)


def _note(seen: dict[str, None], names: Iterable[str]) -> None:
    for name in names:
        if len(seen) < _MAX_SEEN:
            seen[name] = None


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
