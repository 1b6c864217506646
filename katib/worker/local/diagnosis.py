"""What an exit code says, in words for the trial's owner; and whether the kernel ran out of memory."""

import signal
from collections import deque
from typing import Final

from katib.domain.trial import TrialReason
from katib.worker.local.folder import Verdict

_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128
_LOOK: Final = "the end of its output says why"
_HINTS: Final[dict[int, str]] = {
    signal.SIGKILL: "somebody ended it by force; out of memory is the usual cause",
    signal.SIGTERM: "somebody asked it to end",
    signal.SIGINT: "somebody interrupted it",
    signal.SIGSEGV: "native code crashed",
    signal.SIGBUS: "native code crashed, or a disk or /dev/shm is full",
    signal.SIGILL: "native code is built for another processor",
    signal.SIGABRT: f"native code gave up; {_LOOK}",
    signal.SIGFPE: "native code divided by zero",
    signal.SIGXCPU: "a limit of processor time was reached (ulimit -t)",
    signal.SIGXFSZ: "a limit of file size was reached (ulimit -f)",
}
OUT_OF_MEMORY: Final = "the kernel ran out of memory at that time; give it more, or run fewer trials at once"


def explain(code: int, hint: str = "") -> Verdict:
    """`code` as a shell has it. Not 0: reason and message say what it means; `hint` replaces the usual words on a signal."""
    if code == 0:
        return Verdict(0)
    if code == _NOT_FOUND:
        return Verdict(
            code, TrialReason.START_FAILED, f"exited with code {code}: a program was not found; correct the command"
        )
    if code == _NOT_EXECUTABLE:
        return Verdict(
            code,
            TrialReason.START_FAILED,
            f"exited with code {code}: a program could not be executed; look at its permissions and its first line",
        )
    number = code - _SIGNALLED
    if number in signal.valid_signals():
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "signal"  # a real-time one
        return Verdict(code, TrialReason.SIGNAL, f"killed by {name} ({number}); {hint or _HINTS.get(number, _LOOK)}")
    return Verdict(code, TrialReason.EXIT_CODE, f"exited with code {code}; {_LOOK}")


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
