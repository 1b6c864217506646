"""Which manager this is, and which others on this host have ended.

A lease tells whether a manager on another host lives. On the same host the process itself can be looked at, so that a manager
that is started again after a SIGKILL takes over its own studies at once.
"""

import os
import socket
from functools import cache
from pathlib import Path

from katib.domain.names import new_id
from katib.manager.controller.loop import Identity
from katib.manager.ports import ManagerRecord


def own_identity() -> Identity:
    host = _host()
    return Identity(ManagerRecord(new_id(), host, _process(os.getpid())), lambda other: _is_gone(other, host))


def _is_gone(other: ManagerRecord, host: str) -> bool:
    if other.host != host or not other.process:
        return False
    pid = other.process.partition("/")[0]
    return pid.isdigit() and _process(int(pid)) != other.process


@cache
def _host() -> str:
    """This machine since its start, and the process namespace in it: process numbers mean the same in it, and only there."""
    parts = [socket.gethostname(), _read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return "/".join(parts)[:200]


def _process(pid: int) -> str:
    """`<number>/<start time>`, or empty when there is no such process (or no /proc to look it up in). One that has ended and
    waits for its parent to collect it does nothing any more: it is as good as none."""
    # The name in brackets may hold anything. Behind it come the state and, 20th, the start time: proc_pid_stat(5).
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    return f"{pid}/{fields[19]}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
