"""What a run has printed, as far as it has been read and not been taken."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from katib.worker.kubernetes.api import Stream
from katib.worker.kubernetes.loglines import LogCursor, LogLine, LogReader

# Of one run, held until it is asked for.
HELD_BYTES: Final = 256 * 1024
# What a line costs beyond its text.
_LINE_COST: Final = 300
# Of a log that is being followed, only a trouble that lasts is worth a word.
_SAID_AFTER_S: Final = 10.0
# A kubelet rotates a log that is larger than its containerLogMaxSize: 10 MiB unless it is told otherwise.
_TRUST_BYTES: Final = 256 * 1024


class Place(Enum):
    """Where a log is with the threads that read (`Outputs._want`, `Outputs._serve`)."""

    REST = "rest"
    QUEUED = "queued"  # for a thread
    READ = "read"  # by one, as long as its stream is open


@dataclass(slots=True, eq=False)
class RunLog:
    """All under `changed`, a condition with its lock. What becomes of it, and by which methods of Outputs:

    - there is nothing to read until its run has `started` or `ended`;
    - then it is queued, read, and at rest until it is wanted again, any number of times (`_want`, `_serve`);
    - it is `complete` when its run has ended and all of it has been read, or will never be (`_complete`). Whoever asks for what
      is not held any more has it read anew (`_go_to`);
    - it is `dropped`, for good, when nobody wants it any more (`drop`) or nobody has taken it for long (`_settle_untaken`).
    """

    study_id: str
    namespace: str
    name: str
    container: str
    # Grows with what has been read.
    version: int = 0
    # That has the log; as soon as that is known.
    node: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)

    # Its run: its program executes or has executed; it has ended, when, and whether well; there is no Pod any more; since when
    # it was wanted to end, and nobody waits for its values.
    started: bool = False
    ended: bool = False
    ended_at: float = 0.0
    well: bool = False
    gone: bool = False
    hurried_at: float | None = None

    # What has been read and not been taken; since when nobody takes it; and the places behind what has been taken, and behind
    # what has been read.
    lines: deque[LogLine] = field(default_factory=deque)
    held: int = 0
    untaken_since: float | None = None
    base: LogCursor = field(default_factory=LogCursor)
    head: LogCursor = field(default_factory=LogCursor)
    complete: bool = False
    dropped: bool = False
    # Some of it was lost, which has not been said yet; and why the rest of it is.
    truncated: bool = False
    lost: str = ""

    # Its reading. `generation` is raised when that begins anew somewhere else: what an older stream brings is dropped.
    place: Place = Place.REST
    generation: int = 0
    reader: LogReader | None = None
    stream: Stream | None = None
    opened_at: float = 0.0
    heard_at: float = 0.0
    # When its last stream came to its end, if that was the end of the log then.
    eof_at: float | None = None
    # Not to be read again before; how often in a row that has failed, since when, and why.
    not_before: float = 0.0
    failures: int = 0
    failing_since: float | None = None
    trouble: str = ""
    # Of which trouble it was said that it is there.
    told: str = ""

    @property
    def settled(self) -> bool:
        """The run may be shown as ended: its output is there to be taken without waiting, or will not be."""
        return self.complete or self.dropped or self.held >= HELD_BYTES

    @property
    def said(self) -> str:
        """Why there is nothing new of it, for people; empty: nothing is wrong, or has been for a moment only."""
        since = self.failing_since
        lasts = since is not None and time.monotonic() - since > _SAID_AFTER_S
        return self.trouble if lasts or (self.ended and self.failures > 1) else ""

    @property
    def trusted(self) -> bool:
        """Whether where its stream has ended the log does: no older file of it can have been taken for the last one."""
        read = None if self.reader is None else self.reader.whole_bytes
        return read is not None and read <= _TRUST_BYTES


def cost(line: LogLine) -> int:
    return len(line.line.text) + _LINE_COST
