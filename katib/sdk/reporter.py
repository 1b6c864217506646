"""From the training's thread to the manager: a buffer, and one thread that empties it.

The training never waits and never meets an error of ours. What is in the buffer is sent in batches. What cannot be sent, where
no manager can be reached when the program ends or the buffer is full, is printed: the manager reads these lines with the rest
of the run's output (see domain.report_lines). So nothing is lost but what a program reports right before it is killed, or
leaves by `os._exit` or `exec`.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from katib.domain.metrics import Observation
from katib.domain.report_lines import format_model, format_report
from katib.sdk.environment import TrialEnvironment
from katib.sdk.outcome import Outcome

if TYPE_CHECKING:
    from katib.sdk.sender import Sender

_log: Final = logging.getLogger("katib")

INTERVAL_S: Final = 0.5
BATCH: Final = 1000
# Some 30 MB; with what comes beyond it all of it is printed, and all that follows.
BUFFER: Final = 100_000
# While somebody asks whether to stop, the manager is asked so often where no report is on its way.
POLL_S: Final = 2.0
_ASKED_S: Final = 30.0
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MOST_S: Final = 15.0
# What the end of the program waits at most for the rest to be sent.
FLUSH_S: Final = 5.0
_STDERR: Final = 2


class Reporter:
    """Of one process. Its methods return at once and never raise, but for `close`, which takes FLUSH_S at most."""

    def __init__(self, environment: TrialEnvironment) -> None:
        self._environment: Final = environment
        # Tells this process from others of the attempt, and a program that is started again from itself.
        self._name: Final = f"sdk-{os.urandom(8).hex()}"
        self._changed: Final = threading.Condition()
        self._waiting: Final[deque[Observation]] = deque()
        self._sequence = 0
        self._stop = False
        self._over = False
        self._closing = False
        # From now on. A call would overtake what was printed, and the latest value is the one that the manager has last.
        self._prints = False
        self._asked_at = -_ASKED_S
        self._thread: threading.Thread | None = None

    def add(self, values: Sequence[tuple[str, float]], step: int | None) -> None:
        now = datetime.now(UTC)
        with self._changed:
            if self._over:
                return
            for name, value in values:
                self._sequence += 1
                self._waiting.append(
                    Observation(name, value, now, self._environment.attempt, self._name, self._sequence, step=step)
                )
            # What follows something printed is printed too: sent, it would be taken in before.
            self._prints = self._prints or len(self._waiting) >= BUFFER or not self._runs()
            if self._prints:
                self._print_all()
            elif len(self._waiting) >= BATCH:
                self._changed.notify_all()

    def print_model(self, path: str) -> None:
        with self._changed:
            if not _print([format_model(path)]):
                _log.warning("where the model is could not be printed, so nobody knows of it: %s", path)

    def should_stop(self) -> bool:
        with self._changed:
            self._asked_at = time.monotonic()
            if not self._stop and not self._over:
                self._runs()
            return self._stop

    def close(self) -> None:
        """Sends what is left, or prints it."""
        deadline = time.monotonic() + FLUSH_S
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 0.0))
        with self._changed:
            # Other handlers of the program's end, and threads, may report yet.
            self._prints = True
            self._print_all()

    def _runs(self) -> bool:
        """Whether there is, now, a thread that sends. Under the lock."""
        if self._thread is not None:
            return self._thread.is_alive()
        if not self._environment.addresses or not threading.main_thread().is_alive():
            # At the program's end, where it begins to report only then, nobody would wait for the thread.
            return False
        self._thread = threading.Thread(target=self._work, name="katib-report", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No thread to be had, or the interpreter ends.
            self._thread = None
            return False
        return True

    def _print_all(self) -> None:
        """Under the lock."""
        if not self._waiting:
            return
        lines = [format_report(self._name, observation) for observation in self._waiting]
        self._waiting.clear()
        if not _print(lines):
            _log.warning("%d reports are lost: they could be neither sent nor printed", len(lines))

    # In the thread of its own

    def _work(self) -> None:
        try:
            # Takes a moment, which is not the training's.
            from katib.sdk.sender import Sender

            sender = Sender(self._environment, self._name)
        except Exception:  # noqa: BLE001 - whatever is wrong with what is installed here, the training goes on
            _log.exception("reports are printed and not sent: the client cannot be loaded")
            with self._changed:
                self._print_all()
            return
        try:
            self._send_all(sender)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("reports are printed and not sent from here on")
            with self._changed:
                self._print_all()
        finally:
            sender.close()

    def _send_all(self, sender: "Sender") -> None:
        failures = 0
        called_at = -POLL_S
        while True:
            batch = self._next(called_at, failures)
            if batch is None:
                return
            called_at = time.monotonic()
            outcome = sender.send(batch, FLUSH_S if self._closing else 2 * FLUSH_S)
            if outcome is Outcome.LATER:
                failures += 1
                if failures == 1:
                    _log.info("reports wait: %s", sender.trouble)
            else:
                failures = 0
                self._take(batch, outcome, sender.trouble)
                if outcome in (Outcome.OVER, Outcome.STRANGER):
                    return

    def _next(self, called_at: float, failures: int) -> list[Observation] | None:
        """Waits for what to send; empty: only a question. None: the end."""
        due = time.monotonic() + _pause(failures)
        with self._changed:
            while True:
                now = time.monotonic()
                waiting = len(self._waiting)
                if self._closing:
                    if not waiting:
                        return None
                    # `close` does not wait for long.
                    due = min(due, now + INTERVAL_S / 2) if failures else now
                if now >= due or (waiting >= BATCH and not failures):
                    if waiting:
                        return [self._waiting[i] for i in range(min(waiting, BATCH))]
                    if now - self._asked_at < _ASKED_S and now - called_at >= POLL_S:
                        return []
                self._changed.wait(due - now if due > now else INTERVAL_S)

    def _take(self, batch: Sequence[Observation], outcome: Outcome, trouble: str) -> None:
        with self._changed:
            if outcome is Outcome.STRANGER:
                _log.warning("reports are printed and not sent from here on: %s", trouble)
                self._print_all()
                return
            last = batch[-1].position if batch else 0
            # Some may have been printed meanwhile.
            while self._waiting and self._waiting[0].position <= last:
                self._waiting.popleft()
            if outcome is Outcome.STOP:
                self._stop = True
            elif outcome is Outcome.REFUSED:
                _log.warning("%d reports were refused: %s", len(batch), trouble)
            elif outcome is Outcome.OVER:
                # Nothing more is taken from this attempt, not in its output either.
                self._over = self._stop = True
                self._waiting.clear()
                _log.warning("nothing more is reported, and the program may end: %s", trouble)


def _print(lines: Sequence[str]) -> bool:
    """Straight to the run's output, whatever the program has made of sys.stderr; in one piece, so that no other thread's text
    comes in between. Whether it could be done; if not, the log says why."""
    data = ("\n" + "\n".join(lines) + "\n").encode()
    try:
        while data:
            data = data[os.write(_STDERR, data) :]
    except OSError as error:
        _log.warning("the output cannot be written to: %s", error)
        return False
    return True


def _pause(failures: int) -> float:
    if not failures:
        return INTERVAL_S
    # Half of it by chance; `random` would take longer to load than all else here.
    share: float = 0.5 + os.urandom(1)[0] / 510
    return share * float(min(_PAUSE_FIRST_S * 2 ** min(failures - 1, 10), _PAUSE_MOST_S))
