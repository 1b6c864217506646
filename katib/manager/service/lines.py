"""Clients that wait for a suggestion service, in one line for each study and algorithm.

A service that learns from what was tried is asked one question at a time: of two at once, the second would not know of the
first one's trials, and its answer would be of no use (`Storage.add_trials`). So whoever finds the service free asks for all
that wait, and what it gives is handed out to them in one write; who comes meanwhile is in the next question.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from katib.domain.effort import waiting
from katib.domain.errors import UnavailableError
from katib.domain.trial import Trial

# Whoever waits has one of the server's threads, of which a caller that is alone has 16: a slow service leaves half of these to
# all other calls.
MAX_WAITING: Final = 8
# Beyond them a call waits so long for a place, which is enough where the service is quick.
_PLACE_S: Final = 0.25


@dataclass(slots=True, eq=False)
class Want:
    """What one client waits for: `count` trials beside its `own`."""

    client_id: str
    count: int
    lease: timedelta | None
    own: Sequence[Trial] = ()
    # It was in the line while the question before was out.
    waited: bool = False
    # The trials, and whether there is nothing more to try. None: ask again, what was read is old.
    answer: tuple[Sequence[Trial], bool] | None = None
    failure: Exception | None = None
    done: bool = False


@dataclass(slots=True)
class _Line:
    waiting: list[Want] = field(default_factory=list)
    asking: bool = False


class Lines:
    """Safe from any thread."""

    def __init__(self, most: int = MAX_WAITING, place_s: float = _PLACE_S) -> None:
        self._places: Final = threading.BoundedSemaphore(most)
        self._most: Final = most
        self._place_s: Final = place_s
        self._changed: Final = threading.Condition()
        self._lines: Final[dict[tuple[str, str], _Line]] = {}

    def waiting(self, study_id: str, algorithm: str) -> int:
        """How many wait for the next question."""
        with self._changed:
            line = self._lines.get((study_id, algorithm))
            return 0 if line is None else len(line.waiting)

    def ask(
        self,
        study_id: str,
        algorithm: str,
        want: Want,
        until: float,
        most: int,
        serve: Callable[[Sequence[Want]], None],
    ) -> tuple[Sequence[Trial], bool] | None:
        """The want's answer, from a call of `serve`, by this thread or another one's, for wants of `most` trials in all. What
        it raises is raised to each of them.

        Raises UnavailableError at `until`, by the monotonic clock, or where too many wait for services already.
        """
        with waiting():
            place = self._places.acquire(timeout=self._place_s)
        if not place:
            raise UnavailableError(
                f"suggestion-{algorithm} was not asked: {self._most} calls wait for suggestion services already; try again"
            )
        try:
            self._wait(study_id, algorithm, want, until, most, serve)
        finally:
            self._places.release()
        if want.failure is not None:
            raise want.failure
        return want.answer

    def _wait(
        self,
        study_id: str,
        algorithm: str,
        want: Want,
        until: float,
        most: int,
        serve: Callable[[Sequence[Want]], None],
    ) -> None:
        key = study_id, algorithm
        with self._changed:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(want)
        while True:
            with self._changed:
                while line.asking and not want.done:
                    want.waited = True
                    left = until - time.monotonic()
                    if left <= 0:
                        if want in line.waiting:
                            line.waiting.remove(want)
                        raise UnavailableError(
                            f"suggestion-{algorithm} still computes what others asked for; try again"
                        )
                    with waiting():
                        self._changed.wait(left)
                if want.done:
                    return
                line.asking = True
                wants = _first(line.waiting, most)
                del line.waiting[: len(wants)]
            failure: Exception | None = None
            try:
                serve(wants)
            except Exception as error:  # noqa: BLE001 - raised to each
                failure = error
            finally:
                with self._changed:
                    for served in wants:
                        served.failure, served.done = failure, True
                    line.asking = False
                    if not line.waiting:
                        self._lines.pop(key, None)
                    self._changed.notify_all()


def _first(waiting: Sequence[Want], most: int) -> list[Want]:
    """At least one."""
    found: list[Want] = []
    for want in waiting:
        most -= want.count - len(want.own)
        if found and most < 0:
            break
        found.append(want)
    return found
