"""What runs print, read while they run and to its end afterwards, with few requests.

A run whose output somebody asks for is followed: one request that stays open, in a thread of its own, whose lines are held
until they are asked for, in bounded memory: what is not asked for is not read on. When more runs go than may be followed at
once, silent ones give up their place in turn.

When a run has ended, its log is complete once a stream that was opened after the end has been read to its end. Following
usually spares that request: the kubelet ends a stream after the container has ended and everything was given. It would also
seem to end properly if the kubelet were stopped; but no kubelet that has just been started says within END_TRUST_S how a
container ended. And it ends at the end of an older file, with the last one unread, when the log was rotated before the stream
had caught up with it and the container has ended since: so a stream is trusted only where it has given the log from its
beginning and too little to have been rotated.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from katib.domain.backoff import backoff
from katib.domain.errors import KatibError, UnavailableError
from katib.worker.base import Output
from katib.worker.kubernetes.api import ApiError
from katib.worker.kubernetes.loglines import LogCursor, LogLine, LogReader
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.runlog import HELD_BYTES, Place, RunLog, cost
from katib.worker.kubernetes.threads import Threads

_log: Final = logging.getLogger(__name__)

# Logs followed at once: a thread and a connection each.
STREAMS: Final = 200
# Logs of ended runs are read beside that: an end must not wait until others are silent.
FINISHERS: Final = 32
# From one node: each request to one that is dead takes half a minute, and the ends on others must not wait for that.
_FINISHERS_OF_A_NODE: Final = 8
END_TRUST_S: Final = 2.0
# A stream that is still open so long after its container has ended is not what it seems.
END_WAIT_S: Final = 5.0
# With others waiting, a stream that has been silent so long gives up its place, and has it again after a rest.
_TURN_S: Final = 0.5
_REST_S: Final = 15.0
_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 15.0
# The log of an ended run whose node does not give it: after that it is lost. Of one that has failed it only explains why, and
# of one that was wanted to end nobody waits for it.
PATIENCE_S: Final = 120.0
FAILED_PATIENCE_S: Final = 30.0
HURRIED_PATIENCE_S: Final = 15.0
# How long a caller is kept waiting for more of an ended run's log.
_TAKE_S: Final = 5.0
# Output that nobody takes: another manager looks after the study now.
_UNTAKEN_S: Final = 60.0
_SILENCE_S: Final = 30.0


class _BrokenOffError(UnavailableError):
    """The kubelet has put words of its own in the place of the rest of a log."""


class Outputs:
    """Any number of threads may call; `settled` and `printed` are called from its own, and must return at once."""

    def __init__(
        self,
        api: PodApi,
        settled: Callable[[RunLog], None],
        printed: Callable[[RunLog], None],
        *,
        streams: int = STREAMS,
    ) -> None:
        self._api: Final = api
        self._settled: Final = settled
        self._printed: Final = printed
        self._patience_s = PATIENCE_S
        self._followers: Final = Threads("log", streams, self._serve)
        self._finishers: Final = Threads("log-end", FINISHERS, self._serve, lambda log: log.node, _FINISHERS_OF_A_NODE)
        self._lock: Final = threading.Lock()
        self._logs: Final[set[RunLog]] = set()
        # Nodes that gave no log when they were asked last, and since when.
        self._failing: Final[dict[str, float]] = {}
        self._closed = False

    def started(self, log: RunLog) -> None:
        """The run's program executes: there is something to follow."""
        with log.changed:
            if log.started or log.dropped:
                return
            log.started = True
            self._want(log)

    def ended(self, log: RunLog, *, started: bool, well: bool) -> None:
        """The run has ended, `well` or not; `started`: its program was executed, so there may be output."""
        with log.changed:
            if log.ended or log.dropped:
                return
            log.ended, log.ended_at, log.well = True, time.monotonic(), well
            # That it could not be followed costs it nothing of the time to be read in.
            log.not_before, log.failures, log.failing_since = 0.0, 0, None
            read = log.eof_at is not None and log.ended_at - log.eof_at <= END_TRUST_S and log.place is not Place.READ
            if (read and log.trusted) or not started:
                self._complete(log)
            elif log.place is not Place.READ:
                log.started = True
                self._want(log)

    def gone(self, log: RunLog) -> None:
        """Its Pod is gone, and the log with it: what has been read is all there will be."""
        with log.changed:
            log.gone = True
            if not log.ended:
                log.ended, log.ended_at = True, time.monotonic()
            if log.place is not Place.READ:
                whole = log.complete or log.dropped or (log.eof_at is not None and log.trusted)
                if log.started and not whole:
                    self._lose(log, "")
                self._complete(log)

    def hurry(self, log: RunLog) -> None:
        """Its run was wanted to end: it is read if it can be, and not waited for."""
        with log.changed:
            if log.hurried_at is None:
                log.hurried_at = time.monotonic()

    def add(self, log: RunLog) -> None:
        with self._lock:
            if not self._closed:
                self._logs.add(log)

    def drop(self, log: RunLog) -> None:
        with self._lock:
            self._logs.discard(log)
        with log.changed:
            self._drop(log)

    def take(self, log: RunLog, cursor: LogCursor, max_bytes: int) -> Output:
        """What follows the cursor, which everything before it has been stored with. Waits for a short time when the run has
        ended and its log is on its way; raises UnavailableError when it does not come."""
        deadline = time.monotonic() + _TAKE_S
        with log.changed:
            self._go_to(log, cursor)
            while not log.lines and log.ended and not log.complete and not log.dropped:
                if log.trouble and log.place is not Place.READ:
                    raise UnavailableError(f"the output of {log.name} cannot be read now: {log.trouble}")
                self._want(log)
                if not log.changed.wait(max(deadline - time.monotonic(), 0.0)):
                    raise UnavailableError(f"the output of {log.name} does not come; it is tried again")
            if log.dropped:
                return Output([], str(cursor), end=False)
            if not log.complete:
                self._want(log)
            return self._give(log, max_bytes)

    def tick(self) -> None:
        """What time alone brings; to be called about twice a second."""
        now = time.monotonic()
        with self._lock:
            logs = list(self._logs)
        crowded = self._followers.waiting()
        for log in logs:
            with log.changed:
                self._say(log)
                if log.untaken_since is not None and now - log.untaken_since > _UNTAKEN_S:
                    self._settle_untaken(log)
                elif log.place is Place.READ and log.stream is not None:
                    if log.ended and now - log.ended_at > END_WAIT_S:
                        # Once: what is opened next is read as the log of an ended run.
                        if log.opened_at < log.ended_at:
                            log.stream.shut()
                    elif crowded > 0 and not log.ended and now - max(log.heard_at, log.opened_at) > _TURN_S:
                        log.not_before = now + _REST_S
                        log.stream.shut()
                        crowded -= 1
                else:
                    self._want(log)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            logs = list(self._logs)
        for log in logs:
            self.drop(log)
        self._followers.close()
        self._finishers.close()

    # With the log's lock held

    def _want(self, log: RunLog) -> None:
        """Sees to it that it is read, soon."""
        if log.place is not Place.REST or log.complete or log.dropped or not (log.started or log.ended):
            return
        now = time.monotonic()
        if log.not_before > now:
            return
        if not log.ended and log.eof_at is not None and now - log.eof_at <= END_TRUST_S:
            return  # That it has ended may be on its way.
        log.place = Place.QUEUED
        (self._finishers if log.ended else self._followers).put(log)

    def _go_to(self, log: RunLog, cursor: LogCursor) -> None:
        """Drops what was taken; begins anew where the cursor is not among what is held."""
        if cursor == log.base:
            return
        if any(line.cursor == cursor for line in log.lines):
            while log.base != cursor:
                line = log.lines.popleft()
                log.held -= cost(line)
                log.base = line.cursor
        elif cursor == log.head and not log.lines:
            log.base = cursor
        else:
            log.generation += 1
            log.lines.clear()
            log.held = 0
            log.base = log.head = cursor
            log.reader, log.eof_at, log.complete, log.trouble, log.not_before = None, None, False, "", 0.0
            if log.stream is not None:
                log.stream.shut()
        log.untaken_since = time.monotonic() if log.lines else None
        log.changed.notify_all()

    def _give(self, log: RunLog, max_bytes: int) -> Output:
        lines = []
        size = 0
        cursor = log.base
        for line in log.lines:
            if size >= max(max_bytes, 1):
                break
            lines.append(line.line)
            size += len(line.line.text) + 1
            cursor = line.cursor
        everything = len(lines) == len(log.lines)
        if everything:
            cursor = log.head
        truncated, log.truncated = log.truncated, False
        cause = log.lost if truncated else ""
        return Output(lines, str(cursor), log.complete and everything, truncated, cause=cause)

    def _complete(self, log: RunLog) -> None:
        if log.complete or log.dropped:
            return
        if log.reader is not None:
            self._hold(log, log.reader.finish(), log.reader)
        log.complete = True
        log.trouble = ""
        log.changed.notify_all()
        self._settled(log)

    def _lose(self, log: RunLog, why: str) -> None:
        """What has not been read of it never will be."""
        told = "; ".join(filter(None, ("its Pod is gone" if log.gone else "", why or log.trouble)))
        _log.warning("the output of %s is lost: %s", log.name, told)
        log.truncated, log.lost = True, told

    def _say(self, log: RunLog) -> None:
        """Has a trouble shown that is another one now: no event tells of it."""
        if log.said != log.told and not log.complete:
            log.told = log.said
            self._settled(log)

    def _hold(self, log: RunLog, lines: list[LogLine], reader: LogReader) -> None:
        log.head = reader.cursor
        log.truncated = log.truncated or reader.truncated
        reader.truncated = False
        if not lines:
            return
        fresh = not log.lines
        log.failures = 0
        log.lines.extend(lines)
        log.held += sum(map(cost, lines))
        log.version += 1
        log.changed.notify_all()
        if fresh:
            log.untaken_since = time.monotonic()
        if log.ended and log.settled:
            self._settled(log)
        else:
            self._printed(log)

    def _drop(self, log: RunLog) -> None:
        log.dropped = True
        log.lines.clear()
        log.held = 0
        log.changed.notify_all()
        if log.stream is not None:
            log.stream.shut()

    def _settle_untaken(self, log: RunLog) -> None:
        self._drop(log)
        with self._lock:
            self._logs.discard(log)
        self._settled(log)

    # In a thread of its own

    def _serve(self, log: RunLog) -> None:
        with log.changed:
            if log.complete or log.dropped:
                log.place = Place.REST
                return
            log.place = Place.READ
            generation = log.generation
            reader = log.reader = LogReader(log.head)
            follow = not log.ended
            log.eof_at = None
        error: Exception | None = None
        try:
            self._read(log, reader, generation, follow=follow)
        except Exception as failure:  # noqa: BLE001 - the thread serves others after this one
            error = failure
        with log.changed:
            log.place = Place.REST
            log.stream = None
            if generation == log.generation and not log.dropped:
                self._read_to(log, error, follow=follow)
            log.changed.notify_all()
            self._want(log)

    def _read(self, log: RunLog, reader: LogReader, generation: int, *, follow: bool) -> None:
        silence_s = None if follow else _SILENCE_S
        since = reader.cursor.since
        stream = self._api.log(log.namespace, log.name, log.container, since=since, follow=follow, silence_s=silence_s)
        with log.changed:
            log.stream = stream
            log.opened_at = time.monotonic()
            if follow:
                # It may be silent for long. What comes of a log that has ended tells by its end.
                log.failing_since, log.trouble = None, ""
            if generation != log.generation or log.dropped:
                stream.shut()
        for data in stream:
            lines = reader.feed(data)
            with log.changed:
                log.heard_at = time.monotonic()
                while log.held >= HELD_BYTES and generation == log.generation and not log.dropped:
                    log.changed.wait(1.0)
                if generation != log.generation or log.dropped:
                    stream.close()
                    return
                self._hold(log, lines, reader)

    def _read_to(self, log: RunLog, error: Exception | None, *, follow: bool) -> None:
        """The stream has come to its end, or to `error`; the lock is held."""
        now = time.monotonic()
        remark = log.reader.remark if error is None and log.reader is not None else ""
        if remark:
            error = _BrokenOffError(f"its node broke it off: {remark}")
        if error is None:
            log.failures, log.failing_since, log.trouble = 0, None, ""
            self._failing.pop(log.node, None)
            log.eof_at = now
            if log.ended and (not follow or (now - log.ended_at <= END_WAIT_S and log.trusted)):
                self._complete(log)
            return
        if log.not_before > now:
            return  # It gave up its place to others.
        if isinstance(error, ApiError) and error.status >= 500:
            self._failing.setdefault(log.node, now)
        log.failures += 1
        if log.failing_since is None:
            log.failing_since = now
        if log.ended and self._never_comes(log, error, now):
            self._complete(log)
            return
        log.not_before = now + backoff(log.failures, _RETRY_FIRST_S, _RETRY_MOST_S)
        log.trouble = error.message if isinstance(error, KatibError) else f"a defect ({type(error).__name__})"
        if not isinstance(error, KatibError):
            _log.error("reading the log of %s failed", log.name, exc_info=error)
        self._say(log)

    def _never_comes(self, log: RunLog, error: Exception, now: float) -> bool:
        """Whether there will be no more of the log of the ended run. A kubelet or a container runtime that has just been
        started says that there is none as well, so as long as its Pod is there it is asked again."""
        status = error.status if isinstance(error, ApiError) else 0
        broken_off = isinstance(error, _BrokenOffError)
        if log.gone and (status or broken_off):
            self._lose(log, "")
            return True
        # By words of its node. Anything else, such as a right that is missing, comes right or is put right.
        waited = now - self._in_vain_since(log, now)
        patience = self._patience_s if log.well else min(self._patience_s, FAILED_PATIENCE_S)
        given_up = (status in (400, 404) or status >= 500 or broken_off) and waited > patience
        if not given_up and (status or broken_off) and log.hurried_at is not None:
            waited = now - max(log.hurried_at, log.ended_at)
            given_up = waited > min(self._patience_s, HURRIED_PATIENCE_S)
        if given_up:
            self._lose(log, f"it was asked for in vain for {waited:.0f} s: {error}")
        return given_up

    def _in_vain_since(self, log: RunLog, now: float) -> float:
        """What waits in line behind others of a node that gives nothing has waited for its node too."""
        behind = max(self._failing.get(log.node, now), log.ended_at)
        return behind if log.failing_since is None else min(behind, log.failing_since)
