"""A trial while this program has it: what it reports on its way to the manager, and the thread that keeps its lease alive."""

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.errors import FailedPreconditionError, NotFoundError
from katib.domain.metrics import Observation
from katib.sdk.patience import patiently

_log: Final = logging.getLogger("katib")

# What was reported is sent so often, several values in one call.
_INTERVAL_S: Final = 0.5
_BATCH: Final = 1000
# Signs of life in a lease: some may be lost, or late on a busy machine.
_SIGNS: Final = 4
_CALL_S: Final = 10.0
# While somebody asks whether to stop, a sign is given so often: its answer says so.
_POLL_S: Final = 2.0
_ASKED_S: Final = 30.0


class Held:
    """Safe from any thread. `lost`: why it is not this program's any more; empty while it is."""

    def __init__(self, client: ManagerClient, trial_id: str, attempt: int) -> None:
        self.trial_id: Final = trial_id
        self.attempt: Final = attempt
        self.lost = ""
        self._to_stop = False
        self._asked_at = -math.inf
        self._pid: Final = os.getpid()
        self._client: Final = client
        # Of this process and this trial: a program that is started again under its client's name counts from 1 as well.
        self._reporter: Final = f"loop-{os.urandom(8).hex()}"
        self._sequence = 0
        self._waiting: Final[deque[Observation]] = deque()
        self._adding: Final = threading.Lock()
        self._sending: Final = threading.Lock()

    @property
    def here(self) -> bool:
        """False in a child that was forked since: the trial is its parent's, and so are the connection and the thread."""
        return os.getpid() == self._pid

    @property
    def is_watched(self) -> bool:
        """Whether somebody wants to know soon whether to stop."""
        return time.monotonic() - self._asked_at < _ASKED_S

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, values: Sequence[tuple[str, float]], step: int | None) -> None:
        now = datetime.now(UTC)
        with self._adding:
            if self.lost:
                return
            for name, value in values:
                self._sequence += 1
                self._waiting.append(
                    Observation(name, value, now, self.attempt, self._reporter, self._sequence, step=step)
                )

    def should_stop(self) -> bool:
        self._asked_at = time.monotonic()
        return self._to_stop

    def send(self, patience: float) -> None:
        """All that waits; where nothing does, nothing. Raises UnavailableError or DeadlineExceededError after `patience`."""
        with self._sending:
            while self._waiting and not self.lost:
                patiently(self._call, patience, "reporting")

    def give_sign(self) -> None:
        """What waits, or that this program lives."""
        with self._sending:
            if not self.lost:
                self._call()

    def _call(self) -> None:
        batch = [self._waiting[i] for i in range(min(len(self._waiting), _BATCH))]
        try:
            stop = self._client.within(_CALL_S).report_metrics(self.trial_id, batch, self.attempt, self._reporter)
        except (FailedPreconditionError, NotFoundError) as error:
            self.lose(str(error))
            return
        for _ in batch:
            self._waiting.popleft()
        self._to_stop = self._to_stop or stop

    def lose(self, why: str) -> None:
        """What waits, and all that comes, is of no use to anybody."""
        with self._adding:
            self.lost = why
            self._waiting.clear()


class Keeper:
    """Between enter and exit a thread sends what is reported, and signs of life. It ends with its program."""

    def __init__(self, held: Held, lease: timedelta) -> None:
        self._held: Final = held
        self._every_s: Final = lease.total_seconds() / _SIGNS
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._work, name="katib-lease", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Not waited for: it may be in the middle of a call that takes its time.
        self._ended.set()

    def _work(self) -> None:
        held = self._held
        signed = time.monotonic()
        quiet = True
        while not self._ended.wait(min(_INTERVAL_S, self._every_s)):
            if held.lost:
                return
            pause = min(_POLL_S, self._every_s) if held.is_watched else self._every_s
            if not held.waiting and time.monotonic() < signed + pause:
                continue
            try:
                held.give_sign()
            except Exception as error:  # noqa: BLE001 - without this thread the trial is lost
                if quiet:
                    _log.warning("no sign of life reaches the manager: %s", error)
                quiet = False
            else:
                quiet = True
                signed = time.monotonic()
