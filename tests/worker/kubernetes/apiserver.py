"""A small API server on a real socket, for what a real one does not do on demand, with a node that runs Pods as processes.

It knows Pods: list in pages, watch with bookmarks, create, get, delete, merge patches of Pod and status, logs. `faults` are
asked first about each request and may answer in its place.
"""

import contextlib
import copy
import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.worker.kubernetes.messages import Answer, RefusedError, Request, refusal
from tests.worker.kubernetes.node import Node

Pod = dict[str, Any]
_PATH = re.compile(r"/api/v1(?:/namespaces/([^/]+))?/pods(?:/([^/]+))?(?:/(log|status))?")


class ApiServer:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.pods: dict[tuple[str, str], Pod] = {}
        self.version = 1000
        # (version, kind, Pod) of everything that happened; what is older than `oldest` is forgotten.
        self.events: list[tuple[int, str, Pod]] = []
        self.oldest = 0
        self.requests: list[Request] = []
        self.faults: list[Callable[[Request], Answer | None]] = []
        self.bookmark_s = 60.0
        self.connections = 0
        self.token = "secret"
        self.admit: Callable[[Pod], Answer | None] = lambda _pod: None
        self.node: Node | None = None
        self.closing = False
        self._open: set[Any] = set()
        self._serve(0)

    def _serve(self, port: int) -> None:
        server = self

        class Bound(Handler):
            api = server

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Bound)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.stop()
        if self.node is not None:
            self.node.close()

    def stop(self) -> None:
        """As if it was killed: every connection is cut."""
        self._port = self._http.server_port
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        for handler in list(self._open):
            handler.cut()
        self._thread.join()

    def restart(self, port: int | None = None) -> None:
        """After `stop`: on the same port, or on another one; 0 for any."""
        self.closing = False
        self._serve(self._port if port is None else port)

    def counts(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for request in list(self.requests):
            key = request.verb, request.resource
            counts[key] = counts.get(key, 0) + 1
        return counts

    # The store

    def change(self, kind: str, pod: Pod) -> Pod:
        """With the lock held: the Pod's new state becomes an event."""
        self.version += 1
        pod = copy.deepcopy(pod)
        pod["metadata"]["resourceVersion"] = str(self.version)
        key = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if kind == "DELETED":
            self.pods.pop(key, None)
        else:
            self.pods[key] = pod
        self.events.append((self.version, kind, pod))
        self.changed.notify_all()
        return pod

    def update(self, namespace: str, name: str, change: Callable[[Pod], None], uid: str = "") -> Pod | None:
        """With `uid` of that very Pod, and of none that has come by its name since."""
        with self.changed:
            pod = self.pods.get((namespace, name))
            if pod is None or uid not in ("", pod["metadata"]["uid"]):
                return None
            pod = copy.deepcopy(pod)
            change(pod)
            return self.change("MODIFIED", pod)

    def remove(self, namespace: str, name: str) -> None:
        with self.changed:
            pod = self.pods.get((namespace, name))
            if pod is not None:
                self.change("DELETED", {**pod, "metadata": {"deletionTimestamp": now(), **pod["metadata"]}})

    def forget_events(self) -> None:
        """Whoever watches from before now is told so."""
        with self.changed:
            self.oldest = self.version
            self.events.clear()
            self.changed.notify_all()

    def get(self, name: str, namespace: str = "default") -> Pod | None:
        with self.changed:
            return copy.deepcopy(self.pods.get((namespace, name)))

    # Requests

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        for fault in list(self.faults):
            answer = fault(request)
            if answer is not None:
                return answer
        with self.changed:
            verb = request.verb
            if verb == "list":
                return Answer(body=self._list(request))
            if verb == "create":
                return Answer(201, self._create(request))
            pod = self.pods.get((request.namespace, request.name))
            if pod is None:
                raise RefusedError(refusal(404, f'pods "{request.name}" not found', "NotFound"))
            if verb == "get":
                return Answer(body=pod)
            if verb == "patch":
                return Answer(body=self._patch(request, pod))
            return Answer(body=self._delete(request, pod))

    def selected(self, request: Request) -> list[Pod]:
        return [pod for (namespace, _), pod in sorted(self.pods.items()) if request.fits(pod, namespace)]

    def _list(self, request: Request) -> Pod:
        limit, start = int(request.query.get("limit", "0")), int(request.query.get("continue", "0") or 0)
        found = self.selected(request)
        metadata = {"resourceVersion": str(self.version)}
        if limit and start + limit < len(found):
            metadata["continue"] = str(start + limit)
        return {"kind": "PodList", "metadata": metadata, "items": found[start : start + limit if limit else None]}

    def _create(self, request: Request) -> Pod:
        pod = copy.deepcopy(request.body)
        name = pod["metadata"]["name"]
        if (request.namespace, name) in self.pods:
            raise RefusedError(refusal(409, f'pods "{name}" already exists', "AlreadyExists"))
        refused = self.admit(pod)
        if refused is not None:
            raise RefusedError(refused)
        pod["metadata"] |= {
            "namespace": request.namespace,
            "uid": f"uid-{self.version + 1}",
            "creationTimestamp": now(),
        }
        pod["metadata"]["managedFields"] = [
            {"manager": "katib", "fieldsV1": {"f:spec": {str(i): {} for i in range(40)}}}
        ]
        pod["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        pod = self.change("ADDED", pod)
        if self.node is not None and not pod["spec"].get("schedulingGates"):
            self.node.take(pod)
        return pod

    def _patch(self, request: Request, pod: Pod) -> Pod:
        change = request.body
        metadata = change.get("metadata") or {}
        if metadata.get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            raise RefusedError(refusal(409, "Precondition failed: UID in precondition does not match", "Conflict"))
        if metadata.get("resourceVersion", pod["metadata"]["resourceVersion"]) != pod["metadata"]["resourceVersion"]:
            raise RefusedError(refusal(409, "the object has been modified; please apply your changes", "Conflict"))
        known = pod["spec"].get("activeDeadlineSeconds")
        wanted = (change.get("spec") or {}).get("activeDeadlineSeconds")
        if known is not None and wanted is not None and wanted > known:
            raise RefusedError(refusal(422, "spec.activeDeadlineSeconds: Invalid value: must be less than", "Invalid"))
        parts = ("metadata", "status") if request.part == "status" else ("metadata", "spec")
        return self.change("MODIFIED", _merged(pod, {key: change[key] for key in parts if key in change}))

    def _delete(self, request: Request, pod: Pod) -> Pod:
        body = request.body or {}
        if (body.get("preconditions") or {}).get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            raise RefusedError(refusal(409, "Precondition failed: UID in precondition does not match", "Conflict"))
        over = pod["status"].get("phase") in ("Succeeded", "Failed") or not pod["spec"].get("nodeName")
        own = pod["spec"].get("terminationGracePeriodSeconds", 30)
        grace = 0 if over else body.get("gracePeriodSeconds", own)
        gone = _text(datetime.fromtimestamp(time.time() + grace, UTC))
        metadata = {**pod["metadata"], "deletionTimestamp": gone, "deletionGracePeriodSeconds": grace}
        pod = self.change("MODIFIED", {**pod, "metadata": metadata})
        return self.change("DELETED", pod) if grace == 0 and not pod["metadata"].get("finalizers") else pod


class Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.api.connections += 1
        self.api._open.add(self)

    def finish(self) -> None:
        self.api._open.discard(self)
        try:
            super().finish()
        except OSError:
            pass

    def cut(self) -> None:
        """From another thread."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def _any(self) -> None:
        url = urlsplit(self.path)
        match = _PATH.fullmatch(url.path)
        assert match is not None, self.path
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        request = Request(self.command, url.path, query, body, match[1] or "", match[2] or "", match[3] or "")
        try:
            if self.headers.get("Authorization") != f"Bearer {self.api.token}":
                raise RefusedError(refusal(401, "Unauthorized", "Unauthorized"))
            if request.verb == "watch" or request.part == "log":
                self.api.requests.append(request)
                answer = next((a for fault in list(self.api.faults) if (a := fault(request)) is not None), None)
                if answer is None:
                    (self._log if request.part == "log" else self._watch)(request)
                    return
            else:
                answer = self.api.answer(request)
        except RefusedError as refused:
            answer = refused.answer
        self.send(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

    def send(self, answer: Answer) -> None:
        if answer.raw is not None:
            answer.raw(self)
            return
        data = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self, content_type: str = "application/json") -> None:
        """An answer in chunks; each `chunk` goes out at once."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def event(self, kind: str, thing: Any) -> None:
        self.chunk(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    def _watch(self, request: Request) -> None:
        api = self.api
        seen = int(request.query["resourceVersion"])
        if seen < api.oldest:
            raise RefusedError(refusal(410, f"too old resource version: {seen} ({api.oldest})", "Expired"))
        known = {pod["metadata"]["uid"]: pod for pod in api.selected(request)}
        deadline = time.monotonic() + float(request.query["timeoutSeconds"])
        bookmark = time.monotonic() + api.bookmark_s
        self.begin()
        while True:
            with api.changed:
                if not (api.closing or seen < api.oldest or any(version > seen for version, _, _ in api.events)):
                    left = min(deadline, bookmark) - time.monotonic()
                    api.changed.wait(max(left, 0.0))
                new = [event for event in api.events if event[0] > seen]
                expired = seen < api.oldest
                current = api.version
            if api.closing:
                return
            if expired:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                self.event("ERROR", status)
                self.end()
                return
            for version, kind, pod in new:
                seen = version
                if (told := request.told(kind, pod, known)) is not None:
                    self.event(*told)
            if time.monotonic() >= bookmark and not new:
                bookmark = time.monotonic() + api.bookmark_s
                self.event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(current)}})
            if time.monotonic() >= deadline:
                self.end()
                return

    def _log(self, request: Request) -> None:
        api, query = self.api, request.query
        pod = api.get(request.name, request.namespace)
        if pod is None:
            raise RefusedError(refusal(404, f'pods "{request.name}" not found', "NotFound"))
        log = api.node.log(pod["metadata"]["uid"]) if api.node is not None else None
        if log is None:
            name = query["container"]
            raise RefusedError(
                refusal(400, f'container "{name}" in pod "{request.name}" is waiting to start', "BadRequest")
            )
        since = datetime.fromisoformat(query["sinceTime"]).timestamp() if "sinceTime" in query else 0.0
        left = int(query.get("limitBytes", 1 << 60))
        self.begin("text/plain")
        at = 0
        while True:
            lines, at, ended = log.wait(at, api) if query.get("follow") else log.now(at)
            data = b""
            for ns, text in lines:
                if ns >= since * 1e9:
                    data += (_stamp(ns) if query.get("timestamps") else b"") + text
            self.chunk(data[:left])
            left -= len(data)
            if api.closing:
                return
            if ended or left <= 0:
                self.end()
                return


def now() -> str:
    return _text(datetime.now(UTC))


def kubeconfig(url: str, namespace: str = "default") -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": "secret"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }
    )


def _text(time_: datetime) -> str:
    return f"{time_:%Y-%m-%dT%H:%M:%SZ}"


def _stamp(ns: int) -> bytes:
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z ".encode()


def _merged(thing: Any, change: Any) -> Any:
    if not isinstance(change, dict) or not isinstance(thing, dict):
        return copy.deepcopy(change)
    merged = {key: value for key, value in thing.items() if change.get(key, value) is not None}
    for key, value in change.items():
        if value is not None:
            merged[key] = _merged(thing.get(key), value)
    return copy.deepcopy(merged)
