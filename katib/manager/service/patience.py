"""Questions to services that may be a moment away.

A cluster takes about a second to lead from a Service to a Pod that has just become ready, and a service that restarts on one
machine is away as long. A user who asks in that moment waits a little instead of being refused.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from katib.domain.effort import waiting
from katib.domain.errors import UnavailableError
from katib.manager.service.checks import answer

PATIENCE_S: Final = 2.0
# Whoever waits has one of the threads of the server (api/turns.py): many who ask for a service that does not exist must not
# take them all.
MAX_WAITING: Final = 4
# The refusal has to arrive before the caller has given up.
_ON_ITS_WAY_S: Final = 0.3
# Between two tries: doubling, with jitter.
_PAUSE_FIRST_S: Final = 0.05
_PAUSE_MOST_S: Final = 0.4

Reply = TypeVar("Reply")


class Patience:
    """How long calls go on asking a service that nobody reaches. Safe from any thread."""

    def __init__(self, seconds: float = PATIENCE_S, most: int = MAX_WAITING) -> None:
        """`most` calls at once are patient; further ones are refused at the first failure."""
        self.seconds: Final = seconds
        self._places: Final = threading.BoundedSemaphore(most)

    def ask(self, start: "Callable[[], Future[Reply]]", who: str, seconds: float, deadline: float) -> "Asked[Reply]":
        """Asks at once: `start` makes the call, which may take `seconds`. The caller waits until `deadline`, by the monotonic
        clock, possibly inf."""
        return Asked(self, start, who, seconds, deadline)

    def enter(self) -> bool:
        return self._places.acquire(blocking=False)

    def leave(self) -> None:
        self._places.release()


class Asked(Generic[Reply]):
    """A question that is out."""

    def __init__(
        self, patience: Patience, start: "Callable[[], Future[Reply]]", who: str, seconds: float, deadline: float
    ) -> None:
        self._patience = patience
        self._start = start
        self.who: Final = who
        self._seconds = seconds
        self._began = time.monotonic()
        self._until = min(self._began + patience.seconds, deadline - _ON_ITS_WAY_S)
        self._first = start()

    def answer(self) -> Reply:
        """Raises what the service raised; UnavailableError, with how often it was asked, when nobody is reached in time."""
        try:
            return answer(self._first, self._seconds, self.who)
        except UnavailableError as error:
            if time.monotonic() >= self._until or not self._patience.enter():
                raise
            failure = error
        try:
            return self._again(failure)
        finally:
            self._patience.leave()

    def _again(self, failure: UnavailableError) -> Reply:
        tries = 1
        pause = _PAUSE_FIRST_S
        while (left := self._until - time.monotonic()) > 0:
            # The last try is made at the end of the time, not a pause before it.
            with waiting():
                time.sleep(min(pause * random.uniform(0.5, 1.0), left))  # noqa: S311
            pause = min(2 * pause, _PAUSE_MOST_S)
            tries += 1
            try:
                return answer(self._start(), self._seconds, self.who)
            except UnavailableError as error:
                failure = error
        took = time.monotonic() - self._began
        raise UnavailableError(f"{failure.message}, asked {tries} times in {took:.1f} s") from failure
