"""Creates a pass's runs: several at once where the worker has to wait for each, and for a short time only, as nothing else of
their study moves meanwhile. What is left over is the next pass's, which follows at once."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from katib.domain.errors import UnavailableError
from katib.domain.trial import Trial
from katib.manager.changes import TrialMove

# Of one pass. A run that has been begun is waited for.
TIME_S: Final = 0.3


@dataclass
class Created:
    """What came of it. `left`: not tried, for want of time. `failed`: trials of which the worker could create no run now, and
    why; `trouble` is one of these reasons."""

    moves: list[TrialMove] = field(default_factory=list)
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def trouble(self) -> str:
        return next(reversed(self.failed.values()), "")


def create_all(
    trials: Sequence[Trial], one: Callable[[Trial], TrialMove], at_once: int, time_s: float = TIME_S
) -> Created:
    """`one` creates a trial's run, in up to `at_once` threads at once. What it raises but UnavailableError is raised here, when
    all that had begun have ended."""
    batch = _Batch(trials, one, time.monotonic() + time_s)
    # For a moment, and what they wait for are requests: a pool would gain nothing, and hold up the end of the process.
    helpers = [
        threading.Thread(target=batch.work, name="create", daemon=True) for _ in range(min(at_once, len(trials)) - 1)
    ]
    begun = []
    for helper in helpers:
        try:
            helper.start()
        except RuntimeError:
            break  # the system gives no more threads: those that there are do it all
        begun.append(helper)
    batch.work()
    for helper in begun:
        helper.join()
    return batch.result()


class _Batch:
    def __init__(self, trials: Sequence[Trial], one: Callable[[Trial], TrialMove], until: float) -> None:
        self._trials = trials
        self._one = one
        self._until = until
        self._lock = threading.Lock()
        self._next = 0
        self._created = Created()
        self._error: BaseException | None = None

    def work(self) -> None:
        while (trial := self._take()) is not None:
            try:
                move = self._one(trial)
            except UnavailableError as error:
                with self._lock:
                    self._created.failed[trial.id] = error.message
            except BaseException as error:  # noqa: BLE001 - raised by the thread whose pass it is
                with self._lock:
                    self._error = self._error or error
            else:
                with self._lock:
                    self._created.moves.append(move)

    def _take(self) -> Trial | None:
        with self._lock:
            late = self._next > 0 and time.monotonic() >= self._until
            if self._error is not None or late or self._next == len(self._trials):
                return None
            self._next += 1
            return self._trials[self._next - 1]

    def result(self) -> Created:
        if self._error is not None:
            raise self._error
        self._created.left = len(self._trials) - self._next
        return self._created
