"""Ports for programs that are started a moment later, or again."""

import errno
import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Where the kernel does not say.
_FIRST_GIVEN = 32_768
_LEAST = 10_000


def free_port() -> int:
    """At which nobody listens, and which the system gives to nobody by itself: a port that it gave would now and then go to a
    connection of the tests beside, before the program that is told of it can listen there."""
    given = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _FIRST_GIVEN
    # Not of the seeded generator: the processes that run tests side by side would all take the same.
    choose = random.SystemRandom()
    for _ in range(1000):
        port = choose.randrange(_LEAST, max(given, _LEAST + 1000))
        if _is_free(socket.AF_INET, "127.0.0.1", port) and _is_free(socket.AF_INET6, "::1", port):
            return port
    raise AssertionError(f"no port from {_LEAST} to {given} is free")


def _is_free(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        # A machine without IPv6 has nobody there.
        return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True
