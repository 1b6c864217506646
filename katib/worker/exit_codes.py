"""What an exit code says, in words for the trial's owner; the same of a process and of a container."""

import signal
from typing import Final

from katib.domain.trial import TrialReason

_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128
_LOOK: Final = "see the end of its output"
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


def explain(code: int, hint: str = "") -> tuple[str, str]:
    """Reason and message for `code` as a shell has it (128 + n: signal n); empty for 0. `hint` replaces the usual words on
    the cause."""
    if code == 0:
        return "", ""
    if code == _NOT_FOUND:
        return TrialReason.START_FAILED, f"exited with code {code}: a program was not found; correct the command"
    if code == _NOT_EXECUTABLE:
        return (
            TrialReason.START_FAILED,
            f"exited with code {code}: a program could not be executed; look at its permissions and its first line",
        )
    number = code - _SIGNALLED
    if number in signal.valid_signals():
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "signal"  # a real-time one
        return TrialReason.SIGNAL, f"killed by {name} ({number}); {hint or _HINTS.get(number, _LOOK)}"
    return TrialReason.EXIT_CODE, f"exited with code {code}; {hint or _LOOK}"
