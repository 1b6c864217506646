"""What a run has left behind when its wrapper is gone: asked to end, and made to.

It is looked for at the end of every run. To read the environments of 300 processes takes 8 to 14 ms, in which four runs of
`true` are begun and over. After a run that failed, another attempt may follow, and everything is read. After one that ended
well, only processes that have come since the last look are (0.2 ms).
"""

import logging
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Final

from katib.worker.local.process import PROC, Member, RunIdentity, environment, find_member, marks_in

_log: Final = logging.getLogger(__name__)

# What does not end so long after it was killed hangs in the kernel, on a disk or a device that is gone, and computes nothing.
GIVE_UP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Seen:
    session: int
    marks: frozenset[bytes] | None


_NO_PROCESS: Final = _Seen(0, None)


class Census:
    """Finds what RunIdentity.members finds, and reads a process once only.

    A process is known again by the inode number of its folder, which comes with the list of /proc and is no other's; where
    the kernel gives the folder a new one, the process is read again. A process may have left the session that is remembered, so
    whatever seems to be the run's is looked at afresh.
    """

    def __init__(self) -> None:
        self._seen: Final[dict[int, _Seen]] = {}

    def members(self, identity: RunIdentity) -> list[Member]:
        seen, marks, leader = self._seen, identity.marks, identity.leader
        with os.scandir(PROC) as entries:
            names = [(entry.inode(), entry.name) for entry in entries]
        listed = dict(names)
        if len(listed) < len(names):
            return identity.members()  # a /proc that numbers its folders otherwise than Linux does
        for gone in seen.keys() - listed.keys():
            del seen[gone]
        unsure = []
        for new in listed.keys() - seen.keys():
            found = _look_at(listed[new])
            if found is None:
                unsure.append(listed[new])
            else:
                seen[new] = found
        near = [
            listed[i] for i, s in seen.items() if (s.marks and s.marks >= marks) or (leader and s.session == leader)
        ]
        return [member for name in near + unsure if (member := identity.member(int(name))) is not None]


def _look_at(name: str) -> _Seen | None:
    """None: what the process is shows only later, or never."""
    if not name.isdecimal():
        return _NO_PROCESS
    member = find_member(int(name))
    if member is None:
        return None
    given = environment(member.pid)
    # So looks a process that is just about to execute a program, and each of the kernel's own, which are in no session.
    if given == b"" and member.session:
        return None
    # What is forbidden to be read stays so.
    return _Seen(member.session, marks_in(given or b"") or None)


@dataclass(slots=True)
class Rest:
    """What was found of a run, when it was first asked to end, and when it was first made to. `beyond`: what may not be
    signalled."""

    since: float | None = None
    killed: float | None = None
    members: list[Member] = field(default_factory=list)
    beyond: set[Member] = field(default_factory=set)


class Leftovers:
    def __init__(self, grace_s: float, give_up_s: float = GIVE_UP_S) -> None:
        self._grace_s: Final = grace_s
        self._give_up_s: Final = give_up_s
        self._census: Final = Census()

    def end(self, identity: RunIdentity, rest: Rest, *, ended_well: bool, at_once: bool) -> list[Member]:
        """What is still there of the run; to be called again until that is nothing. `at_once`: without being asked first, and
        without giving up."""
        now = time.monotonic()
        asked = rest.since is not None
        kill = at_once or (rest.since is not None and now >= rest.since + self._grace_s)
        rest.members = [member for member in rest.members if member.is_there()]
        if rest.members and not at_once and rest.killed is not None and now >= rest.killed + self._give_up_s:
            _log.warning("processes of trial %s are left that do not end: %s", identity.trial_id, _shown(rest.members))
            return []
        if rest.members and (not kill or rest.killed is not None):
            return rest.members
        thorough = kill or asked or not ended_well
        found = identity.members() if thorough else self._census.members(identity)
        rest.members = []
        for member in found:
            if member in rest.beyond:
                continue
            if member.send(signal.SIGKILL if kill else signal.SIGTERM):
                rest.members.append(member)
            else:
                # `sudo` and the like: nobody here can end it, and to wait for it would be without end.
                rest.beyond.add(member)
                _log.warning("a process of trial %s is left that may not be ended: %s", identity.trial_id, member.pid)
        if rest.members:
            rest.since = rest.since or now
            rest.killed = rest.killed or (now if kill else None)
        return rest.members


def _shown(members: list[Member]) -> str:
    return ", ".join(str(member.pid) for member in members[:5])
