"""Whether an address can be listened on, and why it cannot: gRPC says that on standard error, in words of its own, and takes
half of what a host name stands for where the other half is in use."""

import errno
import os
import socket
from typing import Final

from katib.domain.names import MAX_SOCKET_PATH

_MAX_PORT: Final = 65535
_IN_USE: Final = "something else listens there: stop it, or choose another address"
_REASONS: Final = {
    errno.EADDRINUSE: _IN_USE,
    errno.EADDRNOTAVAIL: "it is no address of this machine: choose another one",
}


def host_and_port(address: str) -> tuple[str, int] | None:
    """What `HOST:PORT` says; None where it is none. The host may be empty, or IPv6 in brackets, which stay."""
    host, colon, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= len(str(_MAX_PORT)) else -1
    return (host, number) if colon and 0 <= number <= _MAX_PORT else None


def why_not_found(error: OSError | UnicodeError) -> str:
    """Why a socket was not to be had at an address: in the system's words, but for a host that no name can be."""
    return (isinstance(error, OSError) and error.strerror) or "its host name could not be looked up"


def why_not_listen(address: str) -> str:
    """What is in the way at `HOST:PORT` or `unix:PATH`; empty where nothing is."""
    if address.startswith("unix-abstract:"):
        return ""
    if address.startswith("unix:"):
        return _socket_path(address.removeprefix("unix:"))
    host, port = host_and_port(address) or ("", 0)
    bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or bare:
        return "expected HOST:PORT, such as localhost:6789, or unix:PATH"
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return "its host name could not be looked up: correct it"
    failures = [error for family, _, _, _, name in found if (error := _bind(family, name)) is not None]
    taken = next((error for error in failures if error.errno == errno.EADDRINUSE), None)
    if taken is None and len(failures) < len(found):
        # Such as a machine without IPv6.
        return ""
    error = taken or failures[0]
    return _REASONS.get(error.errno or 0, f"{error.strerror}; choose another address")


def _bind(family: int, name: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # What is left of connections that have ended is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(name)
    except OSError as error:
        return error
    return None


def _socket_path(path: str) -> str:
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path or len(os.fsencode(path)) > MAX_SOCKET_PATH:
        return f"expected unix: and the path of a socket, at most {MAX_SOCKET_PATH} bytes"
    if os.path.isdir(path):
        return f"{path} is a folder: choose the path of a socket"
    folder = os.path.dirname(path) or "."
    return "" if os.path.isdir(folder) else f"there is no folder {folder}: make it, or choose another path"
