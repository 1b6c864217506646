"""The machine's processors as Linux tells of them: which ones we may use, how busy each is, and by whom."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Of a line of /proc/stat, behind the processor's name: proc_stat(5). What waits for a disk leaves its processor to others.
_IDLE: Final = slice(3, 5)
# Up to `steal`; the time of guests is part of the user's.
_COUNTED: Final = slice(0, 8)
# The fields of /proc/<pid>/task/<tid>/stat behind the name in brackets: proc_pid_stat(5).
_OWN: Final = slice(11, 13)


@dataclass(frozen=True, slots=True)
class Load:
    """Ticks since the machine's start, by processor, and what each of our threads has used."""

    busy: Mapping[int, int]
    total: Mapping[int, int]
    own: Mapping[int, int]

    def others_since(self, before: "Load", at: int | None) -> dict[int, float]:
        """What others than our threads took of each processor. `at`: where these were, None for anywhere."""
        shares = {}
        busy = {cpu: ticks - before.busy.get(cpu, ticks) for cpu, ticks in self.busy.items()}
        own = sum(ticks - before.own.get(tid, 0) for tid, ticks in self.own.items())
        for cpu, ticks in busy.items():
            total = self.total[cpu] - before.total.get(cpu, self.total[cpu])
            if total <= 0:
                continue
            # Anywhere: as busy as it was with all, so it was with ours.
            ours = own * ticks / (sum(busy.values()) or 1) if at is None else own if cpu == at else 0
            shares[cpu] = min(max((ticks - ours) / total, 0.0), 1.0)
        return shares


class Processors:
    def __init__(self, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._groups = groups

    def allowed(self) -> frozenset[int]:
        """Those that the calling thread may run on."""
        return frozenset(os.sched_getaffinity(0))

    def known(self) -> bool:
        """Whether there is a choice between processors, and it can be told how busy they are. With a quota of processor time
        there is none to make: what keeps us from running is the quota."""
        if sys.platform != "linux":
            return False
        try:
            load, allowed = self.load(()), self.allowed()
            return len(allowed) > 1 and all(load.total.get(cpu, 0) for cpu in allowed) and not self._has_quota()
        except (OSError, ValueError, IndexError):
            return False

    def load(self, threads: Iterable[int]) -> Load:
        """Threads that have ended are not in it."""
        busy, total = {}, {}
        for line in (self._proc / "stat").read_text().splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu":
                ticks = [int(field) for field in fields[_COUNTED]]
                cpu = int(name.removeprefix("cpu"))
                total[cpu] = sum(ticks)
                busy[cpu] = total[cpu] - sum(ticks[_IDLE])
        own = {}
        for tid in threads:
            try:
                with open(f"{self._proc}/self/task/{tid}/stat", "rb", buffering=0) as file:
                    stat = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            own[tid] = sum(int(field) for field in stat.rpartition(b")")[2].split()[_OWN])
        return Load(busy, total, own)

    def threads(self) -> list[int]:
        """All of this process."""
        return [int(name) for name in os.listdir(self._proc / "self" / "task")]

    def places(self, thread: int) -> frozenset[int]:
        """Where it may run; nowhere when it has ended."""
        try:
            return frozenset(os.sched_getaffinity(thread))
        except ProcessLookupError:
            return frozenset()

    def place(self, thread: int, processors: frozenset[int]) -> None:
        try:
            os.sched_setaffinity(thread, processors)
        except ProcessLookupError:
            pass

    def _has_quota(self) -> bool:
        """In our control group or one above it, of either version."""
        for line in (self._proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root, name = (self._groups / controllers, "cpu.cfs_quota_us") if controllers else (self._groups, "cpu.max")
            group = root / path.lstrip("/")
            # In a container what is seen begins at its own group, whatever it is called outside.
            for place in {root, group, *(p for p in group.parents if p.is_relative_to(root))}:
                try:
                    quota = (place / name).read_text().split()[0]
                except (FileNotFoundError, NotADirectoryError, PermissionError):
                    continue
                if quota not in ("max", "-1"):
                    return True
        return False
