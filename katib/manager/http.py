"""Metrics and health over HTTP: /metrics, /healthz, /readyz."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from katib.api.listening import host_and_port, why_not_found
from katib.api.tls import ServerTls
from katib.domain.errors import FailedPreconditionError, KatibError

_log: Final = logging.getLogger(__name__)


class HttpServer:
    """`ready()` raises the KatibError that says why the manager cannot work now."""

    def __init__(
        self, address: str, registry: CollectorRegistry, ready: Callable[[], None], tls: ServerTls | None = None
    ) -> None:
        """`tls`: it speaks HTTPS; where clients have to show a certificate, /metrics is for those who do. Probes, which have
        none, may ask for the health without."""
        where = host_and_port(address)
        if where is None:
            raise FailedPreconditionError(f"cannot serve HTTP on {address!r}: expected HOST:PORT")
        handler = type("Handler", (_Handler,), {"registry": registry, "ready": staticmethod(ready), "tls": tls})
        host, port = where
        try:
            self._server = _Server(_resolved(host.strip("[]"), port), handler)
        except (OSError, UnicodeError) as error:
            raise FailedPreconditionError(
                f"cannot serve HTTP on {address}: {why_not_found(error)}; choose another --http address, or --http '' for none"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """An address of the host, by IPv4 where it has one; all of this machine's where none is given. Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = next((it for it in found if it[0] is socket.AF_INET), found[0])
    return family, address


class _Server(ThreadingHTTPServer):
    # Of connections that are not taken in yet: with fewer, those who come at once wait a second for their next try.
    request_queue_size = 128

    def __init__(self, where: tuple[socket.AddressFamily, Any], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family, address = where
        super().__init__(address, handler)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Someone who hangs up, or speaks no TLS, is no error of ours."""
        _log.debug("a connection of %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    ready: Callable[[], None]
    tls: ServerTls | None
    # A peer that says nothing does not keep its thread.
    timeout = 10
    # What is no request is told so with a status, not with the bare page of HTTP's first version.
    default_request_version = "HTTP/1.0"

    def version_string(self) -> str:
        return "katib"

    def setup(self) -> None:
        if self.tls is not None:
            # In this connection's own thread: a handshake waits for the peer.
            self.request: socket.socket
            self.request.settimeout(self.timeout)
            self.request = self.tls.context().wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            # The server closes the socket that it has accepted, from which this one has taken its file.
            self.request.close()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics" and self._is_stranger():
            self._answer(403, b"the metrics are for who shows a certificate by an authority of --tls-client-ca\n")
        elif path == "/metrics":
            self._answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            self._answer(200, b"ok\n")
        elif path == "/readyz":
            try:
                self.ready()
            except KatibError as error:
                self._answer(503, f"not ready: {error.message}\n".encode())
            else:
                self._answer(200, b"ready\n")
        else:
            self._answer(404, b"there are /metrics, /healthz and /readyz\n")

    def _is_stranger(self) -> bool:
        return (
            self.tls is not None
            and self.tls.mutual
            and isinstance(self.request, ssl.SSLSocket)
            and not self.request.getpeercert()
        )

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        _log.debug(format, *args)
