"""A TCP proxy before a MySQL server that cuts connections where a test wants it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

COMMIT = b"\x03COMMIT"  # the packet's command byte, and the statement


class CuttingProxy:
    """Passes everything on until `cut` is set: then `before`, at the next COMMIT, cuts instead of passing it on, and `after`
    passes it on, waits for the server's answer, and cuts instead of giving that back. While `flows` is not set, it takes
    connections and what they send, and nothing goes on or comes back."""

    def __init__(self, port: int) -> None:
        self._server = port
        self.cut: str | None = None
        self.refuse = False
        self.flows = threading.Event()
        self.flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links: list[_Link] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.flows.set()
        # Closing alone would not wake the thread that accepts, which would take one more.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def sever(self) -> None:
        """Cuts every connection there is; with `refuse` set there will be no other."""
        links, self._links = self._links, []
        for link in links:
            link.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            link = _Link(self, client, server)
            self._links.append(link)
            for run in (link.forth, link.back):
                threading.Thread(target=run, daemon=True).start()


class _Link:
    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._cut_answer = False

    def forth(self) -> None:
        def look(data: bytes) -> bool:
            if self._proxy.cut is not None and COMMIT in data:
                how, self._proxy.cut = self._proxy.cut, None
                if how == "before":
                    return False
                self._cut_answer = True
            return True

        self._pass(self._client, self._server, look)

    def cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def back(self) -> None:
        self._pass(self._server, self._client, lambda _: not self._cut_answer)

    def _pass(self, source: socket.socket, target: socket.socket, look: Callable[[bytes], bool]) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and look(data):
                self._proxy.flows.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
