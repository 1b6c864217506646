"""A copy of a namespace's Pods that follows the API server: list, then watch from there; anything unexpected, list again.

Events make the copy newer, they are never needed: whatever is lost comes with the next list. How long a watch that has died
silently goes unnoticed: some 25 s when its host is gone (TCP keep-alive, see access.py), at most SILENCE_S when something in
between answers for it, because an API server sends a bookmark every minute.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from katib.domain.backoff import backoff, by_chance
from katib.domain.errors import KatibError, UnavailableError
from katib.worker.kubernetes.api import ApiError, Stream
from katib.worker.kubernetes.podapi import Pod, PodApi

_log: Final = logging.getLogger(__name__)

# How long the API server lets a watch last: it then ends properly and the next goes on behind it. Not all at the same moment.
WATCH_S: Final = 300.0
# Bookmarks come every 60 s; half as much again without anything is a dead connection.
SILENCE_S: Final = 90.0
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MOST_S: Final = 10.0
# A watch that ended properly but at once is trouble of another kind, such as a proxy that cuts.
_TOO_SHORT_S: Final = 1.0
# A watch that lasted so long before it failed was a good one: the failures before it do not count any more.
_HEALTHY_S: Final = 10.0
# An API server that is restarted is away for seconds; what the copy says is true for that long as far as anybody could know.
STALE_S: Final = 20.0
# The same trouble may come and go with each list, as where the right to watch is missing.
_SAY_S: Final = 60.0
_MAX_EVENT: Final = 4 * 1024 * 1024


class Sink(Protocol):
    """What the reflector tells, from its own thread."""

    def replace(self, namespace: str, pods: list[Pod], version: str) -> None:
        """These are all, as of that version."""

    def apply(self, kind: str, pod: Pod) -> None:
        """`kind` is ADDED, MODIFIED or DELETED."""


class _Expired(Exception):  # noqa: N818 - no error: the usual end of a version
    """The version to watch from is too old to be known (410)."""


class Reflector:
    """Works in a thread of its own from `start` to `stop`."""

    def __init__(
        self,
        api: PodApi,
        namespace: str,
        selector: str,
        sink: Sink,
        *,
        watch_s: float = WATCH_S,
        silence_s: float = SILENCE_S,
        backoff_first_s: float = BACKOFF_FIRST_S,
        backoff_most_s: float = BACKOFF_MOST_S,
        stale_s: float = STALE_S,
    ) -> None:
        self.namespace: Final = namespace
        self._api: Final = api
        self._selector: Final = selector
        self._sink: Final = sink
        self._watch_s: Final = watch_s
        self._silence_s: Final = silence_s
        self._backoff_first_s: Final = backoff_first_s
        self._backoff_most_s: Final = backoff_most_s
        self._stale_s: Final = stale_s
        self._stop: Final = threading.Event()
        self._synced: Final = threading.Event()
        # Either that, or it was said that there is nothing to see.
        self._answered: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._stream: Stream | None = None
        # Since when there is no contact, by the monotonic clock and in words, and why.
        self._lost_at: float | None = time.monotonic()
        self._since = _now()
        self._trouble = "it has not answered yet"
        # Whether that is a refusal, for this namespace alone.
        self.refused = False
        self._said = ""
        self._say_at = 0.0
        self._said_lost = False
        self.lists = 0
        self._thread: Final = threading.Thread(target=self._run, name=f"pods-{namespace or 'all'}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.shut()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def require(self, wait_s: float) -> None:
        """Returns when the copy may be relied upon. Raises UnavailableError when there is none after `wait_s` or will be none,
        or when there has been no contact for too long."""
        self._answered.wait(wait_s)
        if not self._synced.is_set():
            raise UnavailableError(f"the Pods of {self._where} are not known yet: {self._trouble}")
        if self.stale:
            raise UnavailableError(self._silence)

    def require_once(self, wait_s: float) -> None:
        """Returns when there has been a copy, however old it is now, or it was said that there is nothing to see. Raises
        UnavailableError when there has been neither after `wait_s`."""
        if not self._answered.wait(wait_s):
            raise UnavailableError(f"the Pods of {self._where} are not known yet: {self._trouble}")

    @property
    def synced(self) -> bool:
        """Whether there has been a copy."""
        return self._synced.is_set()

    @property
    def in_contact(self) -> bool:
        return self._lost_at is None

    @property
    def stale(self) -> bool:
        """Whether there has been no contact for too long."""
        lost_at = self._lost_at
        return lost_at is not None and time.monotonic() - lost_at > self._stale_s

    @property
    def hidden(self) -> str:
        """Why there has been no contact for too long, where that is a refusal; empty: otherwise."""
        return self._silence if self.stale and self.refused else ""

    @property
    def _silence(self) -> str:
        """Since when, and not for how long: each study says this, and would say another thing each second."""
        with self._lock:
            return f"nothing has been heard of the Pods of {self._where} since {self._since}: {self._trouble}"

    @property
    def _where(self) -> str:
        return f"namespace {self.namespace}" if self.namespace else "the cluster"

    def _run(self) -> None:
        failures = 0
        version = ""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                version = self._watch(version or self._list())
                trouble = time.monotonic() - began < _TOO_SHORT_S
            except _Expired as error:
                # The usual course; but an API server that calls every version too old must not be asked without a rest.
                _log.info("the Pods of %s are listed again: %s", self._where, error)
                version = ""
                trouble = time.monotonic() - began < _TOO_SHORT_S
            except Exception as error:  # noqa: BLE001 - the thread must live as long as the worker
                version = ""
                trouble = True
                self._failed(error)
            failures = failures + 1 if trouble and time.monotonic() - began < _HEALTHY_S else int(trouble)
            if failures:
                self._stop.wait(backoff(failures, self._backoff_first_s, self._backoff_most_s))

    def _failed(self, error: Exception) -> None:
        if self._stop.is_set():
            return
        known = isinstance(error, KatibError)
        message = str(error) if known else f"a defect ({type(error).__name__}): the log says more"
        refused = bool(self.namespace) and isinstance(error, ApiError) and error.status in (403, 404)
        if refused:
            message += (
                "; if the namespace is gone for good, name it in the worker's option gone_namespaces and in no other"
            )
        with self._lock:
            first = self._lost_at is None
            if first:
                self._lost_at, self._since = time.monotonic(), _now()
            self._trouble, self.refused = message, refused
        if refused:
            self._answered.set()
        if not known:
            _log.error("following the Pods of %s failed", self._where, exc_info=error)
        elif first and (message != self._said or time.monotonic() >= self._say_at):
            self._said, self._say_at, self._said_lost = message, time.monotonic() + _SAY_S, True
            _log.warning("lost sight of the Pods of %s: %s", self._where, message)

    def _seen(self) -> None:
        with self._lock:
            again = self._lost_at is not None and self._synced.is_set()
            self._lost_at, self.refused = None, False
        if again and self._said_lost:
            self._said_lost = False
            _log.info("the Pods of %s are in sight again", self._where)

    def _list(self) -> str:
        """Takes in all Pods; returns the version to watch from."""
        while True:
            try:
                pods, version = self._pages()
                break
            except ApiError as error:
                # A list that took too long: its later pages are of a state that is forgotten. From the start, then.
                if error.status != 410:
                    raise
                if self._stop.wait(self._backoff_first_s):
                    raise
        self.lists += 1
        self._sink.replace(self.namespace, pods, version)
        self._seen()
        self._synced.set()
        self._answered.set()
        return version

    def _pages(self) -> tuple[list[Pod], str]:
        pods: list[Pod] = []
        token = ""
        while True:
            page = self._api.page(self.namespace, self._selector, token)
            pods += page.get("items") or ()
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return pods, str(metadata.get("resourceVersion") or "")
            if self._stop.is_set():
                raise UnavailableError("the Kubernetes worker is closed")

    def _watch(self, version: str) -> str:
        """Follows until the watch ends properly; returns the version to go on from."""
        seconds = by_chance(self._watch_s, 0.8, 1.2)
        try:
            stream = self._api.watch(self.namespace, self._selector, version, seconds, self._silence_s)
        except ApiError as error:
            if error.status == 410:
                raise _Expired(error.said) from error
            raise
        with self._lock:
            self._stream = stream
        if self._stop.is_set():
            stream.shut()
        try:
            for event in _events(stream):
                version = self._take(event) or version
        finally:
            stream.close()
        return version

    def _take(self, event: dict[str, Any]) -> str:
        kind, thing = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            said = f"{thing.get('message') or thing.get('reason') or thing}"
            if thing.get("code") == 410:
                raise _Expired(said)
            raise UnavailableError(f"the Kubernetes API server ended the watch: {said}")
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._sink.apply(kind, thing)
        self._seen()
        return str((thing.get("metadata") or {}).get("resourceVersion") or "")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _events(stream: Stream) -> Iterator[dict[str, Any]]:
    """One JSON object a line, in pieces cut anywhere."""
    rest: list[bytes] = []
    size = 0
    for data in stream:
        *lines, last = data.split(b"\n")
        for line in lines:
            whole = b"".join([*rest, line])
            rest, size = [], 0
            if whole.strip():
                yield _parse(whole)
        if last:
            rest.append(last)
            size += len(last)
            if size > _MAX_EVENT:
                raise UnavailableError("the Kubernetes API server sent an event beyond all measure")
    if size:
        raise UnavailableError("the watch was cut in the middle of an event")


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise UnavailableError("the Kubernetes API server sent an event that is no JSON") from error
    if not isinstance(event, dict) or not isinstance(event.get("object") or {}, dict):
        raise UnavailableError("the Kubernetes API server sent an event that is none")
    return event
