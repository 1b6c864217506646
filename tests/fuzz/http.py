"""The dashboard and the manager's HTTP port, by raw requests: paths, queries, headers, cookies and bodies of any kind."""

import json
import re
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import quote

from tests.e2e.harness import Process, until
from tests.fuzz.inputs import HEADER, MARKUP, data, mutated, text
from tests.fuzz.manager import ManagerUnderFire, under_fire
from tests.fuzz.surface import BrokenError, memory_of
from tests.ports import free_port

_TOKEN: Final = "a" * 48
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")
_TIMEOUT_S: Final = 30.0
_BROKEN_OFF_S: Final = 0.15
_LONGEST: Final = 2**20

_PATHS: Final = (
    "/",
    "/create",
    "/healthz",
    "/studies/{study}",
    "/studies/{study}/trials/{text}",
    "/studies/{study}/trials/1",
    "/trials/{trial}",
    "/trials/{text}",
    "/studies/{text}",
    "/studies/{study}/trials.csv",
    "/studies/{study}/trials.json",
    "/studies/{study}/study.yaml",
    "/api/ping",
    "/api/sparklines",
    "/api/studies/{study}/changes",
    "/api/studies/{study}/curves",
    "/api/studies/{study}/metrics",
    "/api/studies/{text}/importance",
    "/api/trials/{trial}",
    "/api/trials/{trial}/log",
    "/static/{text}",
    "/{text}",
)
_ACTIONS: Final = (
    "/api/studies",
    "/api/studies/check",
    "/api/studies/{study}/pause",
    "/api/studies/{study}/resume",
    "/api/studies/{study}/update",
    "/api/studies/{text}/delete",
    "/api/studies/{text}/stop",
    "/api/trials/{text}/stop",
)
_WORDS: Final = (
    "q",
    "state",
    "sort",
    "page",
    "id",
    "ids",
    "max",
    "after",
    "metric",
    "attempt",
    "offset",
    "from",
    "example",
)
_KEYS: Final = ("file", "request_id", "max_trials", "max_parallel", "retry_limit", "trial_timeout", "optimization_goal")
_FILE: Final = """name: fuzz page
objective: {metric: loss, goal: minimize}
parameters: {x: {type: int, min: 1, max: 2}}
"""


class _Http:
    may_grow = 48.0

    def __init__(self, manager: ManagerUnderFire, process: Process, port: int) -> None:
        self._manager = manager
        self._process = process
        self._port = port

    def put(self, rnd: Random) -> str:
        self._manager.tidy()
        sent = self._request(rnd)
        answer = self._exchange(sent)
        if not answer:
            return "closed"
        found = _STATUS.match(answer)
        if found is None:
            raise BrokenError(f"answers {answer[:300]!r} to {sent[:1500]!r}")
        status = int(found[1])
        # A method or a version that nothing here has; and what is computed for others at the moment.
        if status >= 500 and status not in (501, 505) and not (status == 503 and b"retry-after" in answer.lower()):
            raise BrokenError(f"answers {answer[:500]!r} to {sent[:2500]!r}")
        head, _, body = answer.partition(b"\r\n\r\n")
        if f"\n{HEADER}".encode() in head.lower():
            raise BrokenError(f"a header of the request's making: {head!r} to {sent[:1500]!r}")
        if b"text/html" in head and MARKUP.encode() in body:
            raise BrokenError(f"markup of the request's making in {body[:1000]!r} to {sent[:1500]!r}")
        return str(status)

    def _exchange(self, sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S) as peer:
            try:
                peer.sendall(sent)
                # Of a request that breaks off nothing more comes, which is said when the answer to a whole one would be there.
                if not select.select([peer], [], [], _BROKEN_OFF_S)[0]:
                    peer.shutdown(socket.SHUT_WR)
            except OSError:
                # It has heard enough.
                pass
            answer = b""
            try:
                while len(answer) < _LONGEST:
                    piece = peer.recv(65536)
                    if not piece:
                        break
                    answer += piece
            except ConnectionResetError:
                pass
            except TimeoutError:
                raise BrokenError(f"does not answer {sent[:1500]!r}") from None
            return answer

    def _request(self, rnd: Random) -> bytes:
        if rnd.random() < 0.05:
            return data(rnd)
        action = rnd.random() < 0.45
        path = self._path(rnd, rnd.choice(_ACTIONS if action else _PATHS))
        method = "POST" if action else "GET"
        if rnd.random() < 0.06:
            method = rnd.choice(("HEAD", "PUT", "OPTIONS", "DELETE", "TRACE", "X", "get"))
        body = self._body(rnd) if action or rnd.random() < 0.05 else b""
        headers = self._headers(rnd, body)
        request = f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body
        return mutated(rnd, request) if rnd.random() < 0.1 else request

    def _path(self, rnd: Random, path: str) -> str:
        safe = rnd.choice(("/", "", "/%;=&?.~"))
        path = path.replace("{study}", rnd.choice(self._manager.studies))
        path = path.replace("{trial}", rnd.choice(self._manager.trials))
        path = path.replace("{text}", quote(text(rnd)[:3000].encode(), safe))
        if rnd.random() < 0.1:
            path += rnd.choice(("/", "%00", "%ff", "%", "/..%2f..%2f", "//", "/%2e%2e/", ";a=b"))
        words = []
        while rnd.random() < 0.5:
            value = rnd.choice((text(rnd)[:3000], rnd.choice(self._manager.studies), "1", "-1", "9" * 30, "9999999999"))
            words.append(f"{rnd.choice(_WORDS)}={quote(value.encode(), safe)}")
        return f"{path}?{'&'.join(words)}" if words else path

    def _headers(self, rnd: Random, body: bytes) -> Sequence[bytes]:
        headers = {
            "Host": f"localhost:{self._port}",
            "Connection": "close",
            "x-katib-token": _TOKEN,
            "Cookie": f"katib_token={_TOKEN}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        while rnd.random() < 0.3:
            name = rnd.choice(
                (
                    *headers,
                    "Origin",
                    "X-Forwarded-Prefix",
                    "X-Forwarded-Host",
                    "Accept-Encoding",
                    "Range",
                    "Cookie",
                    "Expect",
                )
            )
            if name == "Connection":
                continue
            headers[name] = rnd.choice(
                (text(rnd)[:4000], "katib_token=", "http://[", "-1", "99999999999", "/a/b", "bytes=0-")
            )
            if name == "Origin":
                headers.pop("Sec-Fetch-Site", None)
        # A client cannot send a line end within a header; one that does has begun another.
        return [f"{name}: {value}".replace("\r", "").replace("\n", "").encode() for name, value in headers.items()]

    def _body(self, rnd: Random) -> bytes:
        match rnd.randrange(5):
            case 0:
                return data(rnd)
            case 1:
                return (
                    b'{"file": ' + rnd.choice((b"[" * 50_000, b'"\\ud800"', b"1" * 6000, b"{}", b"null", b'"')) + b"}"
                )
            case 2:
                return mutated(rnd, json.dumps({"file": _FILE, "request_id": "x"}).encode())
            case 3:
                lines = _FILE.split("\n")
                lines[rnd.randrange(len(lines))] += text(rnd)[:500]
                return json.dumps({"file": "\n".join(lines), "request_id": text(rnd)[:200]}).encode()
            case _:
                return json.dumps({rnd.choice(_KEYS): text(rnd)[:2000] for _ in range(3)}).encode()

    def memory(self) -> float:
        return memory_of(self._process.popen.pid)

    def check(self) -> None:
        if self._process.popen.poll() is not None or "Traceback" in self._process.output:
            raise BrokenError(f"{self._process.log.name}: {self._process.output[-4000:]}")
        self._manager.check()


@contextmanager
def dashboard(folder: Path) -> Iterator[_Http]:
    with under_fire(folder) as (it, manager):
        port = free_port()
        process = it.start("katib-dashboard", "--server", it.address, "--listen", f"127.0.0.1:{port}")
        until(lambda: "is at" in process.output)
        until(lambda: _answers(port))
        yield _Http(manager, process, port)


class _Port(_Http):
    def _path(self, rnd: Random, path: str) -> str:
        own = rnd.choice(("/metrics", "/healthz", "/readyz", "/{text}"))
        return super()._path(rnd, own if rnd.random() < 0.8 else path)


@contextmanager
def port(folder: Path) -> Iterator[_Port]:
    number = free_port()
    with under_fire(folder, http=f"127.0.0.1:{number}") as (_, manager):
        until(lambda: _answers(number))
        yield _Port(manager, manager.process, number)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
