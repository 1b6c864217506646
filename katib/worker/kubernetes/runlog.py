"""What a run has printed, as far as it has been read and not been taken."""

import threading
import time
from collections import deque
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


class RunLog:
    """All under `changed`, a condition with its lock."""

    def __init__(self, study_id: str, namespace: str, name: str, container: str, version: int = 0) -> None:
        self.study_id: Final = study_id
        self.namespace: Final = namespace
        self.name: Final = name
        self.container: Final = container
        # That has the log; as soon as that is known.
        self.node = ""
        self.changed: Final = threading.Condition()
        self.lines: deque[LogLine] = deque()
        self.held = 0
        # Behind what has been taken, and behind what has been read.
        self.base = LogCursor()
        self.head = LogCursor()
        self.reader: LogReader | None = None
        # Raised when reading begins anew somewhere else: what an older stream brings is dropped.
        self.generation = 0
        self.stream: Stream | None = None
        self.serving = False
        self.queued = False
        # The container executes or has executed; its Pod has ended; everything has been read; nobody wants it any more.
        self.started = False
        self.ended = False
        self.complete = False
        self.dropped = False
        self.truncated = False
        # It has ended well; there is no Pod any more; since when its run was wanted to end, and nobody waits for its values.
        self.well = False
        self.gone = False
        self.hurried_at: float | None = None
        self.ended_at = 0.0
        self.eof_at: float | None = None
        self.opened_at = 0.0
        self.heard_at = 0.0
        self.untaken_since: float | None = None
        self.not_before = 0.0
        self.failures = 0
        self.failing_since: float | None = None
        self.trouble = ""
        # Of which trouble it was said that it is there.
        self.told = ""
        # Why the rest of it is lost.
        self.lost = ""
        # Grows with what has been read.
        self.version = version

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
