"""From an algorithm's name to a channel, at the moment of the call."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import grpc

from katib.api.channel import TOLERATED_KEEPALIVE, open_channel
from katib.api.credentials import bearer
from katib.api.tls import ClientTls
from katib.domain.errors import InvalidArgumentError
from katib.domain.names import MAX_SOCKET_PATH, SERVICE_NAME_LENGTH, check_service_name
from katib.manager.remote.watching import Patience, Watcher

PLACEHOLDER: Final = "{algorithm}"
_LONGEST_NAME: Final = "x" * SERVICE_NAME_LENGTH


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """`suggestion-{algorithm}:6789` or `unix:/run/katib/s-{algorithm}.sock`."""

    text: str

    @classmethod
    def parse(cls, setting: str, text: str) -> "AddressTemplate":
        """Raises InvalidArgumentError when it cannot lead to a service for each name."""
        if text.count(PLACEHOLDER) != 1:
            raise InvalidArgumentError.of(setting, text, f"expected an address with {PLACEHOLDER} once in it")
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").replace(PLACEHOLDER, _LONGEST_NAME)
            if len(path.encode()) > MAX_SOCKET_PATH:
                raise InvalidArgumentError.of(
                    setting,
                    text,
                    f"expected a path of at most {MAX_SOCKET_PATH - len(_LONGEST_NAME)} bytes beside the name: "
                    "sockets have no longer ones",
                )
        elif ":" not in text:
            raise InvalidArgumentError.of(setting, text, "expected HOST:PORT or unix:PATH")
        return cls(text)

    def address(self, field: str, name: str) -> str:
        """The address of the service of that name; raises InvalidArgumentError when it may not be part of one."""
        return self.text.replace(PLACEHOLDER, check_service_name(field, name))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Line:
    """A channel, and what it leads to: the Unix socket that was at its address when it was opened, as far as there was one."""

    address: str
    channel: grpc.Channel
    socket: "_Socket | None"
    # Of the certificates that it was opened with.
    tls_version: int = 0
    _stubs: dict[Callable[[grpc.Channel], Any], Any] = field(default_factory=dict)

    def stub(self, make: Callable[[grpc.Channel], Any]) -> Any:
        """The one of this class. Kept: to make all the methods of a service takes a tenth of the time of a short question."""
        stub = self._stubs.get(make)
        if stub is None:
            stub = self._stubs[make] = make(self.channel)
        return stub

    def replaced(self) -> bool:
        """Whether another process has put its socket at the address since. A peer that was only frozen, or is cut off, still
        holds the connection then, and would never answer."""
        now = _socket_at(self.address)
        return now is not None and now != self.socket


class Standby(Protocol):
    """Services that begin to run when they are first called. Safe from any thread."""

    def wake(self, address: str) -> None:
        """Returns when what serves there can be reached, at once where that is not one of these services. One that does not
        come is given up after a while, and is asked as if it were away."""

    def asleep(self, address: str) -> bool:
        """Whether it is one of these services, and nobody has called it yet."""


class Channels:
    """One channel per address, kept as long as it works, and the calls on them looked after.

    A channel that could not connect is dropped: gRPC looks a name up again only after a wait that grows to two minutes, a new
    channel at once. So a service that appears after a long absence is found by the next call.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        standby: Standby | None = None,
        tls: ClientTls | None = None,
        token: Callable[[], str] | None = None,
    ) -> None:
        """`tls`: how all services are called but those at Unix sockets; without it in plaintext. `token`: what services are
        shown, now."""
        self.watcher: Final = Watcher(patience, tls)
        self._standby = standby
        self._tls = tls
        self._shown = None if token is None else _Shown(token)
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}

    def asleep(self, address: str) -> bool:
        """Whether a call would have to start the service."""
        return self._standby is not None and self._standby.asleep(address)

    def encrypted(self, address: str) -> bool:
        return self._tls is not None and not address.startswith("unix:")

    def get(self, address: str) -> Line:
        if self._standby is not None:
            self._standby.wake(address)
        version = 0 if self._tls is None else self._tls.version
        with self._lock:
            line = self._lines.get(address)
            if line is None or line.tls_version != version or line.replaced():
                # Looked at before it connects: should the process change in between, one call too many is asked again.
                socket = _socket_at(address)
                channel = open_channel(address, *TOLERATED_KEEPALIVE, tls=self._tls)
                if self._shown is not None:
                    channel = grpc.intercept_channel(channel, self._shown)
                line = self._lines[address] = Line(address, channel, socket, version)
            return line

    def drop(self, line: Line) -> None:
        """Calls that still use it keep it alive until they end."""
        with self._lock:
            if self._lines.get(line.address) is line:
                del self._lines[line.address]

    def close(self) -> None:
        self.watcher.close()
        with self._lock:
            lines, self._lines = self._lines, {}
        for line in lines.values():
            line.channel.close()


class _Details(NamedTuple):
    """What gRPC takes of a call."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Shown(grpc.UnaryUnaryClientInterceptor):
    """Adds the token to every call."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        it = client_call_details
        metadata = (*(it.metadata or ()), *bearer(self._token()))
        details = _Details(it.method, it.timeout, metadata, it.credentials, it.wait_for_ready, it.compression)
        return continuation(details, request)


_Socket = tuple[int, int, int]


def _socket_at(address: str) -> _Socket | None:
    """What tells the Unix socket at that address from any other that ever was there; None where there is none."""
    if not address.startswith("unix:"):
        return None
    try:
        found = os.stat(address.removeprefix("unix:"))
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns
