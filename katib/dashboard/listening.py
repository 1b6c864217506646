"""Sockets for the pages: made by the dashboard itself, or by the program that starts it and names it to the user."""

import errno
import socket
from typing import Final

from katib.api.listening import host_and_port, why_not_found
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError

DEFAULT_LISTEN: Final = "127.0.0.1:8080"
# Of connections that are not taken in yet.
BACKLOG: Final = 128


def bind(listen: str, option: str = "--listen") -> socket.socket:
    """A listening socket at `HOST:PORT`; raises FailedPreconditionError when it cannot be had."""
    where = host_and_port(listen)
    if where is None:
        raise InvalidArgumentError.of(option, listen, f"expected HOST:PORT, such as {DEFAULT_LISTEN}")
    host, port = where[0].strip("[]"), where[1]
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]  # noqa: S104
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise FailedPreconditionError(
            f"cannot listen at {listen}: {why_not_found(error)}; name another address with {option}"
        ) from error


def bind_default(option: str) -> socket.socket:
    """At the usual address, or where it is taken at any free port of this machine."""
    try:
        return bind(DEFAULT_LISTEN, option)
    except FailedPreconditionError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
            raise
        return bind("127.0.0.1:0", option)


def url(bound: socket.socket, root_path: str = "", scheme: str = "http") -> str:
    """What to type into a browser on this machine."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = "localhost"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{root_path}/"
