"""Which manager this is, and which others on this host have ended.

A lease tells whether a manager on another host lives. On the same host the process itself can be looked at, so that a manager
that is started again after a SIGKILL takes over its own studies at once.
"""

import os
import socket
from functools import cache
from pathlib import Path

from katib.domain.names import new_id
from katib.manager.controller.claims import Identity
from katib.manager.ports import ManagerRecord


def own_identity() -> Identity:
    host = _host()
    return Identity(ManagerRecord(new_id(), host, _process(os.getpid()) or ""), lambda other: _is_gone(other, host))


def _is_gone(other: ManagerRecord, host: str) -> bool:
    if other.host != host or not other.process:
        return False
    pid = other.process.partition("/")[0]
    if not pid.isdigit():
        return False
    if not _exists(int(pid)):
        return True
    # Where it cannot be looked at (no file descriptor left, a /proc that hides other users' processes), its lease decides.
    return _process(int(pid)) not in (None, other.process)


def _exists(pid: int) -> bool:
    """Whether there is such a process, whoever's it is. Unlike /proc this needs nothing, and nothing can hide it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@cache
def _host() -> str:
    """This machine since its start, and the process namespace in it: process numbers mean the same in it, and only there."""
    parts = [socket.gethostname(), _read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return "/".join(parts)[:200]


def _process(pid: int) -> str | None:
    """`<number>/<start time>`, empty when it has ended and only waits for its parent to collect it: then it does nothing any
    more. None when that cannot be seen."""
    # The name in brackets may hold anything. Behind it come the state and, 20th, the start time: proc_pid_stat(5).
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    if fields[0] in ("Z", "X"):
        return ""
    return f"{pid}/{fields[19]}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
