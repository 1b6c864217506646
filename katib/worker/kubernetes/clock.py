"""The time of day by which Pods are judged: the API server's, which wrote when they were created and deleted.

This machine's clock may be set wrongly, and so may a node's. An hour's difference would make every wait an hour longer, or end
it at once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import Diagnosis

_log: Final = logging.getLogger(__name__)

# An answer says its time in whole seconds, and may have been on its way for a while: a smaller difference is none.
_TOLERANCE: Final = timedelta(seconds=5)
# Of clocks that differ by more somebody is told, who may set them.
_TOLD: Final = timedelta(minutes=1)
_SAY_S: Final = 3600.0
_WAITED: Final = "waited"
_STARTED: Final = "started"


class Clock:
    """Any number of threads may use one. The API server's answers alone set it; in between it goes by the monotonic clock."""

    def __init__(
        self, wall: Callable[[], datetime] = lambda: datetime.now(UTC), steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall: Final = wall
        self._steady: Final = steady
        self._lock: Final = threading.Lock()
        # A moment by the API server's clock, and by the monotonic one; as long as it says none, this machine's counts.
        self._known: tuple[datetime, float] | None = None
        self._say_at = steady()

    def heard(self, date: str | None) -> None:
        """`date`: the head of an answer that says when it was given."""
        try:
            said = parsedate_to_datetime(date or "")
        except (ValueError, TypeError):
            return
        if said.tzinfo is None:
            said = said.replace(tzinfo=UTC)
        with self._lock:
            now = self._now()
            if abs(said - now) <= _TOLERANCE:
                self._known = self._known or (now, self._steady())
                return
            self._known = said, self._steady()
            ahead = said - self._wall()
            if abs(ahead) <= _TOLD or self._steady() < self._say_at:
                return
            self._say_at = self._steady() + _SAY_S
        way = "ahead of" if ahead > timedelta() else "behind"
        _log.warning(
            "the clock of the Kubernetes API server is %.0f s %s this machine's: Pods are judged by its; set the clocks by NTP",
            abs(ahead.total_seconds()),
            way,
        )

    def now(self) -> datetime:
        with self._lock:
            return self._now()

    @property
    def ahead(self) -> timedelta:
        """Of this machine's clock, by whole seconds; less than is worth mention is nothing."""
        ahead = self.now() - self._wall()
        return timedelta() if abs(ahead) <= _TOLERANCE else timedelta(seconds=round(ahead.total_seconds()))

    def _now(self) -> datetime:
        if self._known is None:
            return self._wall()
        at, steady = self._known
        return at + timedelta(seconds=self._steady() - steady)


def reckoned(found: Diagnosis, now: datetime, seen: dict[str, datetime], sent: datetime | None = None) -> Diagnosis:
    """With times that can be: a program whose node's clock is wrong did not start before its Pod was last seen to wait, nor
    after it was first seen to run, and went on for as long as that clock says. `seen`: what is remembered of this Pod; `sent`:
    when it was sent to its node, which is known to those who have not seen it wait too."""
    if found.phase is RunPhase.WAITING:
        seen[_WAITED] = now
        return found
    told, started, ended = found.started_at, found.started_at, found.ended_at
    if told is not None:
        first = max((at for at in (seen.get(_WAITED), sent) if at is not None and at <= now), default=None)
        started = seen.setdefault(_STARTED, _between(first, told, now))
        if ended is not None and started != told:
            # By the same clock.
            ended = min(ended + (started - told), now)
    if ended is not None:
        ended = _between(started, ended, now)
    return replace(found, started_at=started, ended_at=ended)


def _between(first: datetime | None, at: datetime, last: datetime) -> datetime:
    if at > last + _TOLERANCE:
        return last
    return first if first is not None and at < first - _TOLERANCE else at
