"""Requests to the API server: JSON over HTTP, each with a time limit on both ends, each failure one sentence."""

import contextlib
import json
import math
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from katib.domain.errors import UnavailableError
from katib.worker.kubernetes.access import Access
from katib.worker.kubernetes.clock import Clock

# A connection is there within this time or its host is not.
CONNECT_S: Final = 5.0
# What the API server is given for an answer; we wait a little longer, so that its own words arrive.
ANSWER_S: Final = 15.0
_LONGER_S: Final = 3.0
# The longest that an API server which asks for patience is given; beyond it a further answer tells.
_PATIENCE_MOST_S: Final = 60.0
_PATIENCE_S: Final = 1.0
_CHUNK: Final = 64 * 1024
_SHOWN: Final = 600
_DENIED: Final = re.compile(r"cannot (\w+) resource \"([\w./-]+)\"(?:.* in the namespace \"([^\"]*)\")?")

_OVER_QUOTA: Final = "exceeded quota"
# In the words of webhooks and policies, which choose their statuses themselves.
_BY_RULES: Final = re.compile(r"\bdenied (?:the )?request\b")

MERGE_PATCH: Final = "application/merge-patch+json"


class ApiError(UnavailableError):
    """The API server refused. Who knows better what a status means catches it; for everybody else the worker is out of order
    for now, with a sentence that says why."""

    def __init__(self, status: int, reason: str, said: str, message: str) -> None:
        """`said`: the API server's own words."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.said = said

    @property
    def denied(self) -> bool:
        """By the rules of who may do what, rather than for what was asked."""
        return self.status == 401 or _is_denied(self.status, self.said)

    @property
    def over_quota(self) -> bool:
        return _is_over_quota(self.status, self.said)

    @property
    def by_rules(self) -> bool:
        """Refused for what was asked, by whoever makes rules in the cluster."""
        return self.status == 403 or (self.status in (400, 422) and _BY_RULES.search(self.said) is not None)

    @property
    def namespace_gone(self) -> bool:
        return _is_going(self.status, self.said) or (self.status == 404 and self.said.startswith("namespaces "))


class QuietError(UnavailableError):
    """Nothing was sent: the API server wants to be left alone for a while."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about, for the sentence that explains why it failed."""

    verb: str
    resource: str
    namespace: str


class Stream:
    """An answer that goes on: a watch, a log. Read by one thread; `shut` may be called by any, at any time."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._lock = threading.Lock()
        self._shut = False
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        """Pieces as they come. Ends when the server ended the answer properly; raises UnavailableError when it was cut, silent
        for too long, or shut."""
        try:
            yield from self._response.stream(_CHUNK, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            raise UnavailableError(f"the connection to the Kubernetes API server was cut: {_cause(error)}") from error
        finally:
            self.close()
        if self._shut:
            raise UnavailableError("the connection to the Kubernetes API server was closed")

    def shut(self) -> None:
        """Makes the reader's next read fail."""
        with self._lock:
            if self._shut or self._over:
                return
            self._shut = True
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._response.shutdown()

    def close(self) -> None:
        """By the reader, when it reads no further."""
        with self._lock:
            if self._over:
                return
            self._over = True
        # What has been read to its end goes back to the pool; anything else cannot be used again.
        if self._shut or not getattr(self._response, "closed", True):
            self._response.close()
        self._response.release_conn()


class Api:
    """Any number of threads may use one."""

    def __init__(self, access: Access, clock: Clock | None = None, *, answer_s: float = ANSWER_S) -> None:
        """`clock`: is told what time each answer was given at."""
        self._access: Final = access
        self._clock: Final = clock or Clock()
        self._answer_s: Final = answer_s
        # By the monotonic clock: until then the API server wants to be left alone.
        self._quiet_until = 0.0
        self._closed = False
        # How many requests were sent, by verb and resource: what a trial costs can be counted.
        self.requests: Final[dict[tuple[str, str], int]] = {}
        self._count_lock: Final = threading.Lock()

    @property
    def namespace(self) -> str:
        return self._access.namespace

    def call(
        self,
        asked: Asked,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """The answer's JSON. Raises ApiError, or UnavailableError when there was none."""
        query = {**(query or {}), "timeout": f"{self._answer_s:.0f}s"}
        response = self._send(asked, method, path, query, body, content_type, self._answer_s + _LONGER_S, stream=False)
        try:
            answer = json.loads(response.data)
        except ValueError as error:
            raise UnavailableError(f"{self._where} answered {asked.verb} {asked.resource} with no JSON") from error
        if not isinstance(answer, dict):
            raise UnavailableError(f"{self._where} answered {asked.verb} {asked.resource} with no object")
        return answer

    def open(self, asked: Asked, path: str, query: Mapping[str, str], silence_s: float | None) -> Stream:
        """An answer to be read as it comes. `silence_s`: how long nothing may come; None: keep-alive alone tells."""
        return Stream(self._send(asked, "GET", path, query, None, "", silence_s, stream=True))

    def close(self) -> None:
        self._closed = True
        self._access.pool.clear()

    def _send(
        self,
        asked: Asked,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str,
        read_s: float | None,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        self._admit()
        headers = {"Accept": "application/json, */*", "User-Agent": "katib", **self._access.headers()}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        key = (asked.verb, asked.resource)
        with self._count_lock:
            self.requests[key] = self.requests.get(key, 0) + 1
        try:
            response = self._access.pool.request(
                method,
                f"{self._access.base}{path}?{urlencode(query)}",
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=read_s),
                preload_content=not stream,
                redirect=False,
                retries=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            where = self._where
            self._access.look_again()
            raise UnavailableError(f"{where} cannot be reached: {_cause(error)}") from error
        self._clock.heard(response.headers.get("Date"))
        if response.status < 300:
            return response
        try:
            said = response.data if not stream else response.read(_CHUNK)
        except (HTTPError, OSError):
            said = b""
        if stream:
            response.close()
        raise self._refused(asked, response, said)

    def _admit(self) -> None:
        if self._closed:
            raise UnavailableError("the Kubernetes worker is closed")
        if self._quiet_until > time.monotonic():
            # Without the time that is left: each study says this, and would say another thing each second.
            raise QuietError(
                f"{self._where} has too much to do and asked for patience; it is asked again when that is over"
            )

    def _refused(self, asked: Asked, response: urllib3.BaseHTTPResponse, data: bytes) -> ApiError:
        status = response.status
        said, reason = _status_of(data)
        said = said or f"HTTP {status}"
        if status == 401:
            self._access.renew()
        if status in (429, 503) and (patience := _retry_after(response.headers.get("Retry-After"), self._clock.now())):
            self._quiet_until = time.monotonic() + patience
        return ApiError(status, reason, said, self._explain(asked, status, said))

    def _explain(self, asked: Asked, status: int, said: str) -> str:
        what = f"{asked.verb} {asked.resource}"
        where = f" in namespace {asked.namespace}" if asked.namespace else ""
        if status == 401:
            return f"{self._where} does not know the manager: its token or certificate is not accepted ({said})"
        if _is_denied(status, said):
            return (
                f"the manager may not {what}{where}: grant the verb {asked.verb} on {asked.resource} to its service "
                f"account ({said})"
            )
        if _is_over_quota(status, said):
            # Without the name of the Pod: a study says this, and would say another thing for each of its trials.
            words = said[said.index(_OVER_QUOTA) :]
            return f"the quota of namespace {asked.namespace} is used up, it is tried again: {words}"
        if status == 404 and said.startswith("namespaces "):
            return f"there is no namespace {asked.namespace}: create it, or name another"
        if _is_going(status, said):
            return f"namespace {asked.namespace} is being deleted: create it anew once it is gone, or name another ({said})"
        if status == 429:
            return f"{self._where} has too much to do and asked for patience: {said}"
        if status >= 500:
            return f"{self._where} is out of order: {said}"
        return f"{self._where} refused to {what}{where}: {said}"

    @property
    def _where(self) -> str:
        return f"the Kubernetes API server at {self._access.base}"


def _is_denied(status: int, said: str) -> bool:
    return status == 403 and _DENIED.search(said) is not None


def _is_going(status: int, said: str) -> bool:
    return status == 403 and "being terminated" in said


def _is_over_quota(status: int, said: str) -> bool:
    return status == 403 and _OVER_QUOTA in said


def _status_of(data: bytes) -> tuple[str, str]:
    """The message and the reason of an answer that refuses, on one line, short enough to be shown."""
    try:
        status = json.loads(data)
        said, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    except (ValueError, AttributeError):
        said, reason = data.decode(errors="replace"), ""
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return (said if len(said) <= _SHOWN else f"{said[: _SHOWN - 3]}..."), reason


def _retry_after(value: str | None, now: datetime) -> float:
    """Seconds; 0: it does not say."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            seconds = _PATIENCE_S
    return _PATIENCE_S if math.isnan(seconds) else min(max(seconds, 0.0), _PATIENCE_MOST_S)


def _cause(error: BaseException) -> str:
    """What lies at the bottom of it, in a few words."""
    cause: BaseException | None = error
    while cause is not None:
        error = cause
        reason = getattr(error, "reason", None)
        cause = reason if isinstance(reason, BaseException) else error.__cause__
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror).lower()
    return str(error) or type(error).__name__
