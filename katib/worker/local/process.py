"""Processes: which one is whose, whether it is still there, and what belongs to a run.

A process number alone says nothing after a restart, for numbers are used again. A run's leader, its wrapper, is known by its
number, the boot id, and a command line that names the run; what it started, by the session and by the environment it was given.
Signals go through pidfds where there are any, after the identity has been looked at through that very handle.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from katib.worker.local.wrapper import TITLE

PROC: Final = "/proc"
# The fields of /proc/<pid>/stat behind the name in brackets: proc_pid_stat(5).
_STATE, _GROUP, _SESSION = 0, 2, 3
_GONE_STATES: Final = (b"Z", b"X", b"x")
_TRIAL: Final = b"TRIAL_ID="
_ATTEMPT: Final = b"KATIB_ATTEMPT="


@cache
def boot_id() -> str:
    """Differs after each start of the machine; `-` where nothing says."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip() or "-"


def open_pidfd(pid: int) -> int | None:
    """A handle on the process; None where an old kernel, or a container's rules, have none. Raises ProcessLookupError."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None


def is_wrapper(pid: int, name: str) -> bool:
    """Whether process `pid` is, now, a living wrapper of the run."""
    return _title(_read(f"{PROC}/{pid}/cmdline").split(b"\0")) == (TITLE + name).encode()


def find_wrapper(name: str) -> int | None:
    """Looks through all processes for a wrapper of the run."""
    return next((pid for pid in _pids() if is_wrapper(pid, name)), None)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What tells a run's processes from all others.

    `leader` is the number of its wrapper, known to be still its own (it lives, or nobody has collected its exit); then
    everything in its session is the run's. 0 where that is not known. A process that left the session is known by the trial and
    attempt in its environment.
    """

    trial_id: str
    attempt: int
    leader: int

    @property
    def marks(self) -> frozenset[bytes]:
        return frozenset((_TRIAL + self.trial_id.encode(), _ATTEMPT + b"%d" % self.attempt))

    def members(self) -> "list[Member]":
        return [member for pid in _pids() if (member := self.member(pid)) is not None]

    def member(self, pid: int) -> "Member | None":
        """None when the process is not the run's, or is this one."""
        member = find_member(pid) if pid != os.getpid() else None
        return member if member is not None and self._has(member) else None

    def _has(self, member: "Member") -> bool:
        if self.leader and member.session == self.leader:
            return True
        return self.marks <= marks_in(environment(member.pid) or b"")


@dataclass(frozen=True, slots=True)
class Member:
    pid: int
    group: int
    session: int
    started: bytes

    def is_there(self) -> bool:
        return find_member(self.pid) == self

    def send(self, signal_: signal.Signals) -> bool:
        """To this process, or to none; False where that is not permitted, as to what `sudo` started."""
        try:
            handle = open_pidfd(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.is_there():
                return True
            send_to(self.pid, handle, signal_)
        except ProcessLookupError:
            pass  # gone meanwhile
        except PermissionError:
            return False
        finally:
            if handle is not None:
                os.close(handle)
        return True


def send_to(pid: int, handle: int | None, signal_: signal.Signals) -> None:
    if handle is None:
        os.kill(pid, signal_)
    else:
        signal.pidfd_send_signal(handle, signal_)


def signal_run(identity: RunIdentity, signal_: signal.Signals) -> None:
    """To every process of the run: its group at once, then whatever has left the group."""
    if identity.leader:
        try:
            os.killpg(identity.leader, signal_)
        except (ProcessLookupError, PermissionError):
            pass
    for member in identity.members():
        if not identity.leader or member.group != identity.leader:
            member.send(signal_)


def _pids() -> Iterator[int]:
    for entry in os.listdir(PROC):
        if entry.isdecimal():
            yield int(entry)


def find_member(pid: int) -> Member | None:
    """None when the process is not there or only waits to be collected."""
    stat = _read(f"{PROC}/{pid}/stat")
    fields = stat[stat.rfind(b")") + 1 :].split()
    if len(fields) < 20 or fields[_STATE] in _GONE_STATES:
        return None
    return Member(pid, int(fields[_GROUP]), int(fields[_SESSION]), fields[19])


def environment(pid: int) -> bytes | None:
    """What the process was given when it executed its program; None where that may not be read."""
    try:
        return _read_all(f"{PROC}/{pid}/environ")
    except (FileNotFoundError, ProcessLookupError):
        return b""
    except PermissionError:
        return None


def marks_in(environment: bytes) -> frozenset[bytes]:
    """The variables that say whose a process is."""
    if _TRIAL not in environment:
        return frozenset()
    return frozenset(word for word in environment.split(b"\0") if word.startswith((_TRIAL, _ATTEMPT)))


def _title(command_line: list[bytes]) -> bytes:
    """The $0 of `sh -c TEXT $0 ...`; of a process that has ended the command line is empty."""
    return command_line[3] if len(command_line) > 3 and command_line[1] == b"-c" else b""


def _read(path: str) -> bytes:
    try:
        return _read_all(path)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _read_all(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
