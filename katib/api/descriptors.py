"""How many files a process may have open, where each connection is one.

The limit that programs are started with is low for old ones, which break beyond 1,024; the one up to which they may raise it
themselves is not. A server raises it, for everybody who connects takes one, and gives the programs that it starts the low one
again.
"""

import resource
from contextlib import suppress
from typing import Final

# Enough for as many connections as one process could serve.
_MOST: Final = 65_536

_given: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # then as many as before
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def limit_given() -> str:
    """What this process was started with, as a shell's `ulimit` takes it."""
    return "unlimited" if _given == resource.RLIM_INFINITY else str(_given)
