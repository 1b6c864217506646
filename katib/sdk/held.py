"""A trial while this program has it: what it reports on its way to the manager, and the thread that keeps its lease alive."""

import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, TypeVar

from katib.api.client import ManagerClient
from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from katib.domain.metrics import MetricStrategy, Observation, fold_objective
from katib.sdk.patience import patiently

T = TypeVar("T")

_log: Final = logging.getLogger("katib")

# What was reported is sent so often, several values in one call.
_INTERVAL_S: Final = 0.5
_BATCH: Final = 1000
# Signs of life in a lease: some may be lost, or late on a busy machine.
_SIGNS: Final = 4
_CALL_S: Final = 10.0
# Fields of a trial's completion beside its observations.
_OTHERS: Final = ("objective_value", "next.")
# While somebody asks whether to stop, a sign is given so often: its answer says so.
_POLL_S: Final = 2.0
_ASKED_S: Final = 30.0


class Held:
    """Safe from any thread. `lost`: why it is not this program's any more; empty while it is. `told`: whether somebody who
    asked was told to stop."""

    def __init__(
        self,
        client: ManagerClient,
        trial_id: str,
        attempt: int,
        objective_name: str = "",
        strategy: MetricStrategy = MetricStrategy.LATEST,
    ) -> None:
        self.trial_id: Final = trial_id
        self.attempt: Final = attempt
        self._objective_name: Final = objective_name
        self._strategy: Final = strategy
        # Of all that was reported here, stored or refused.
        self._objective: float | None = None
        self._refused = False
        self.lost = ""
        self.told = False
        self._to_stop = False
        self._ended = False
        self._asked_at = -math.inf
        self._pid: Final = os.getpid()
        self._client: Final = client
        # Of this process and this trial: a program that is started again under its client's name counts from 1 as well.
        self.reporter: Final = f"loop-{os.urandom(8).hex()}"
        self._sequence = 0
        self._waiting: Final[deque[Observation]] = deque()
        # A signal's handler may report in the middle of a report.
        self._adding: Final = threading.RLock()
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
                    Observation(name, value, now, self.attempt, self.reporter, self._sequence, step=step)
                )
                if name == self._objective_name:
                    self._objective = fold_objective(self._objective, (value,), self._strategy)

    def should_stop(self) -> bool:
        self._asked_at = time.monotonic()
        self.told = self.told or self._to_stop or bool(self.lost)
        return self.told

    def send(self, patience: float, deadline: float = math.inf) -> None:
        """All that waits; where nothing does, nothing. Raises UnavailableError or DeadlineExceededError after `patience`, and
        in any case at the `deadline`."""

        def all_of_it() -> None:
            with self._alone(deadline):
                while self._waiting and not self.lost:
                    self._call(deadline)

        patiently(all_of_it, patience, "reporting")

    def end(
        self,
        call: Callable[[Sequence[Observation], float | None], T],
        patience: float,
        doing: str,
        deadline: float = math.inf,
    ) -> T | None:
        """The result of `call`, which ends the trial and takes what is left to report with it, and the objective where not all
        values of it were stored; None where the trial is lost. Raises what it raises, and what `send` does."""

        def once() -> T | None:
            # Not longer than for one try, so that signs of life go out between two of them.
            with self._alone(deadline):
                while len(self._waiting) > _BATCH and not self.lost:
                    self._call(deadline)
                if self.lost:
                    return None
                batch = self._batch()
                try:
                    try:
                        result = call(batch, self._final())
                    except (InvalidArgumentError, ResourceExhaustedError) as error:
                        self._drop(batch, error)
                        batch = ()
                        result = call((), self._final())
                except (FailedPreconditionError, NotFoundError) as error:
                    self.lose(str(error))
                    return None
                self._taken(batch)
                self._ended = True
                return result

        return patiently(once, patience, doing)

    def give_sign(self) -> None:
        """What waits, or that this program lives."""
        with self._alone():
            if not self.lost and not self._ended:
                self._call()

    @contextmanager
    def _alone(self, deadline: float = math.inf) -> Iterator[None]:
        """One call at a time; another one may take as long as a manager that says nothing."""
        left = -1 if deadline == math.inf else max(deadline - time.monotonic(), 0.0)
        if not self._sending.acquire(timeout=left):
            raise DeadlineExceededError(f"a call about trial {self.trial_id} is still under way")
        try:
            yield
        finally:
            self._sending.release()

    def _call(self, deadline: float = math.inf) -> None:
        client = self._client.within(min(_CALL_S, deadline - time.monotonic()))
        batch = self._batch()

        def report(observations: Sequence[Observation]) -> bool:
            return client.report_metrics(self.trial_id, observations, self.attempt, self.reporter)

        try:
            try:
                stop = report(batch)
            except (InvalidArgumentError, ResourceExhaustedError) as error:
                self._drop(batch, error)
                batch = ()
                # What is refused is no sign of life.
                stop = report(())
        except (FailedPreconditionError, NotFoundError) as error:
            self.lose(str(error))
            return
        self._taken(batch)
        self._to_stop = self._to_stop or stop

    def _drop(self, batch: Sequence[Observation], error: InvalidArgumentError | ResourceExhaustedError) -> None:
        """Raises the error where it is not that these observations are refused for good."""
        for_now = isinstance(error, ResourceExhaustedError) and error.retry_after is not None
        if not batch or for_now or str(error).startswith(_OTHERS):
            raise error
        self._taken(batch)
        if not self._refused:
            self._refused = True
            _log.warning(
                "%d reports of trial %s are refused, and are not stored; later ones may be refused too; its objective counts "
                "all the same: %s",
                len(batch),
                self.trial_id,
                error,
            )

    def _final(self) -> float | None:
        return self._objective if self._refused else None

    def _batch(self) -> Sequence[Observation]:
        return [self._waiting[i] for i in range(min(len(self._waiting), _BATCH))]

    def _taken(self, batch: Sequence[Observation]) -> None:
        for _ in batch:
            self._waiting.popleft()

    def lose(self, why: str) -> None:
        """What waits, and all that comes, is of no use to anybody."""
        with self._adding:
            self.lost = why
            self._waiting.clear()


class Keeper:
    """A thread that sends what is reported of the trial that a loop has, and signs of life: one for all trials of the loop,
    one after the other, since to begin a thread takes as long as a call. It ends with the loop, and with its program."""

    def __init__(self, lease: timedelta) -> None:
        self._every_s: Final = lease.total_seconds() / _SIGNS
        self._interval_s: Final = min(_INTERVAL_S, self._every_s)
        self._pid: Final = os.getpid()
        self._closed = False
        # For what follows.
        self._changed: Final = threading.Condition()
        self._held: Held | None = None
        self._signed = 0.0
        self._thread: threading.Thread | None = None
        # The trial of which the thread is making a call, which may take its time.
        self._calling: Held | None = None

    def keep(self, held: Held) -> None:
        """From now on this one."""
        with self._changed:
            self._held, self._signed = held, time.monotonic()
            if self._thread is None or self._calling is not None:
                # One that still waits for an answer about another trial must not let this one's lease run out.
                self._thread = threading.Thread(target=self._work, name="katib-lease", daemon=True)
                self._calling = None
                self._thread.start()

    def let_go(self) -> None:
        with self._changed:
            self._held = None

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._closed or sys.is_finalizing() or os.getpid() != self._pid:
            # Forked, or at the interpreter's end: the thread is gone, and may have taken the lock for ever.
            return
        self._closed = True
        # Not waited for: it may be in the middle of a call.
        with self._changed:
            self._held = self._thread = None
            self._changed.notify_all()

    def _work(self) -> None:
        me = threading.current_thread()
        quiet = True
        while True:
            with self._changed:
                # Not told of the next trial, which has time until then.
                self._changed.wait(self._interval_s)
                if self._thread is not me:
                    return
                held = self._calling = self._due()
            if held is None:
                continue
            try:
                held.give_sign()
            except Exception as error:  # noqa: BLE001 - without this thread the trial is lost
                if quiet:
                    _log.warning("no sign of life reaches the manager: %s", error)
                quiet = False
            else:
                quiet = True
            with self._changed:
                if self._thread is not me:
                    return
                self._calling = None
                if quiet and self._held is held:
                    self._signed = time.monotonic()

    def _due(self) -> Held | None:
        """The trial that a sign is to be given of now."""
        held = self._held
        if held is None or held.lost:
            return None
        pause = min(_POLL_S, self._every_s) if held.is_watched else self._every_s
        return held if held.waiting or time.monotonic() >= self._signed + pause else None
