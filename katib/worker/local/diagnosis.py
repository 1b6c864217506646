"""How a run ended, and what that says to the trial's owner; and whether the kernel ran out of memory."""

from collections import deque
from typing import Final

from katib.domain.trial import TrialReason
from katib.worker import exit_codes
from katib.worker.local.folder import REPLACED, Started, StartedBy, Verdict

VANISHED: Final = Verdict(
    None, TrialReason.PROCESS_VANISHED, "its process is gone and left no exit code: it was killed from outside"
)
REBOOTED: Final = Verdict(None, TrialReason.PROCESS_VANISHED, "the machine was restarted while it ran")
NEVER_BEGAN: Final = Verdict(
    None, TrialReason.START_FAILED, "its process ended before it could begin; is there room on the disk?"
)
FENCED: Final = Verdict(None, TrialReason.START_FAILED, "it was stopped before it started")
DISK_FULL: Final = "its disk was full at that time: make room"
OUT_OF_MEMORY: Final = "the kernel ran out of memory at that time; give it more, or run fewer trials at once"


def end_of(recorded: Verdict | None, code: int | None, started: Started | None) -> Verdict:
    """How a run ended of which nothing is left. What its folder has recorded counts before the exit code of its wrapper, which
    its parent alone knows, and that before what can be told from how it began (`started`)."""
    if recorded is not None and recorded != REPLACED:
        return recorded
    if code is not None:
        return Verdict(code)
    if recorded is not None or (started is not None and started.by is StartedBy.STRANGER):
        return REPLACED
    return NEVER_BEGAN if started is None or started.by is StartedBy.UNKNOWN else VANISHED


def explain(code: int, hint: str = "") -> Verdict:
    """`code` as a shell has it. Not 0: reason and message say what it means; `hint` replaces the usual words on the cause."""
    return Verdict(code, *exit_codes.explain(code, hint))


class OutOfMemoryCount:
    """Counts what the kernel has killed for want of memory. `look` is to be called regularly."""

    def __init__(self, path: str = "/proc/vmstat") -> None:
        self._path: Final = path
        # The last two looks: the newest may already hold what killed a run that is diagnosed only now.
        self._seen: Final[deque[int | None]] = deque([self._count()], maxlen=2)

    def look(self) -> None:
        self._seen.append(self._count())

    def happened(self) -> bool:
        """Since the look before the last one."""
        before, now = self._seen[0], self._count()
        return before is not None and now is not None and now > before

    def _count(self) -> int | None:
        try:
            with open(self._path, "rb") as file:
                words = file.read().split()
        except OSError:
            return None
        try:
            return int(words[words.index(b"oom_kill") + 1])
        except (ValueError, IndexError):
            return None
