"""Callers that ask the same of a service at the same moment share its answer.

A question to a rule holds all of a study, which for a long one are hundreds of megabytes while it is made. So a study and rule
have one question at a time, and who comes meanwhile shares the next one, which is made after they came; of different ones few
are made at once. Their answers are waited for side by side: one service that is slow holds up no other.
"""

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from katib.domain.effort import waiting
from katib.domain.errors import UnavailableError
from katib.manager.service.checks import answer

_MADE_AT_ONCE: Final = 2

T = TypeVar("T")


class _NoPlaceError(UnavailableError):
    """Of one caller, whose time was over before its question could be made."""


@dataclass(slots=True, eq=False)
class _Round(Generic[T]):
    result: T | None = None
    failure: Exception | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class _Line(Generic[T]):
    # What those who wait share.
    next: _Round[T] = field(default_factory=_Round)
    asking: bool = False
    callers: int = 0


class Together(Generic[T]):
    """Safe from any thread."""

    def __init__(self, made_at_once: int = _MADE_AT_ONCE) -> None:
        self._changed: Final = threading.Condition()
        self._lines: Final[dict[tuple[str, str], _Line[T]]] = {}
        self._making: Final = threading.BoundedSemaphore(made_at_once)

    def ask(self, key: tuple[str, str], start: Callable[[], Future[T]], seconds: float, who: str) -> T:
        """What the call that `start` makes answers within `seconds`, by this thread or another one's; raises its error.

        Raises UnavailableError where its turn has not come by then.
        """
        until = time.monotonic() + seconds
        with self._changed:
            line = self._lines.setdefault(key, _Line())
            line.callers += 1
        try:
            ours = self._turn(line, until, who)
            if not ours.done:
                self._serve(line, ours, lambda: answer(self._made(start, until, who), seconds, who))
        finally:
            with self._changed:
                line.callers -= 1
                if not line.callers:
                    self._lines.pop(key, None)
        if ours.failure is not None:
            # Each its own: an exception that several threads raise would collect the tracebacks of all of them.
            raise copy.copy(ours.failure) from ours.failure
        return ours.result  # type: ignore[return-value]

    def _turn(self, line: _Line[T], until: float, who: str) -> _Round[T]:
        """The round that the caller shares, once it is done, or it is for the caller to ask."""
        with self._changed:
            ours = line.next
            while line.asking and not ours.done:
                left = until - time.monotonic()
                if left <= 0:
                    raise UnavailableError(f"{who} still computes what others asked for; try again")
                with waiting():
                    self._changed.wait(left)
            if not ours.done:
                line.asking = True
                if line.next is ours:
                    # Whoever comes from now on may know of more than this question does.
                    line.next = _Round()
            return ours

    def _serve(self, line: _Line[T], ours: _Round[T], call: Callable[[], T]) -> None:
        done = True
        try:
            ours.result = call()
        except _NoPlaceError:
            # Its time is over, and that of the others who share the round may not be: one of them asks.
            done = False
            raise
        except Exception as error:  # noqa: BLE001 - raised to each
            ours.failure = error
        finally:
            with self._changed:
                if done and ours.failure is None and ours.result is None:
                    ours.failure = UnavailableError("the question was interrupted; try again")
                ours.done, line.asking = done, False
                self._changed.notify_all()

    def _made(self, start: Callable[[], Future[T]], until: float, who: str) -> Future[T]:
        with waiting():
            place = self._making.acquire(timeout=max(until - time.monotonic(), 0.0))
        if not place:
            raise _NoPlaceError(f"{who} was not asked: others' questions are still being made; try again")
        try:
            return start()
        finally:
            self._making.release()
