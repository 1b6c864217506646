"""Whether the database can be reached, as far as this process knows.

Who finds that it cannot says so here. From then on one thread looks for it without end, at least once a second where it is
refused, and everybody else is told the reason at once: a server that gives no answer would otherwise hold every thread of the
process, each until its own time-out. It is said in the log when it goes, once a minute while it is away, and when it is back.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from katib.domain.errors import KatibError, UnavailableError

_log: Final = logging.getLogger(__name__)

# A refused connection costs next to nothing, and those who wait for the database go on as soon as it is found.
_PAUSE_FIRST_S: Final = 0.05
_PAUSE_MOST_S: Final = 1.0
# Between two lines on the same trouble, and between two on troubles that follow one another.
_SAY_S: Final = 60.0
_SAY_OTHER_S: Final = 5.0


class Presence:
    """Safe from any thread."""

    def __init__(self, where: str, look: Callable[[], None], told: Callable[[], None] | None = None) -> None:
        """`look()` raises while the database cannot be used, as a rule UnavailableError. `told()` is called at each change,
        from any thread, and must return at once. It is taken to be there until somebody says otherwise."""
        self._where = where
        self._look = look
        self._told = told or (lambda: None)
        self._closed = threading.Event()
        # For all that follows.
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._since = 0.0
        self._back_at = 0.0
        self._seekers = 0
        # It answers, and whether it can be used is being tried.
        self._tried = False
        # Somebody is to look whether it is back: it is away, and not merely being opened.
        self._sought = False
        self._said = ""
        self._said_at = -_SAY_S
        self._to_be_taken_back = False

    @property
    def there(self) -> bool:
        return self._reason is None

    def check(self) -> None:
        """Raises the UnavailableError that says why the database cannot be used now."""
        reason = self._reason
        if reason is not None:
            # Whoever was to look may never have begun: a thread cannot always be had.
            if self._sought and not self._seekers:
                self._send_seeker()
            raise UnavailableError(reason)

    def look(self) -> None:
        """Looks now, and lets those in who try whether it can be used; `found` is said, and told, when they could. Raises
        UnavailableError: whatever comes of it, it may be there at the next look."""
        try:
            self._look()
        except Exception as error:
            raise UnavailableError(self._reason_of(error)) from error
        with self._lock:
            if self._reason is not None and not self._closed.is_set():
                self._reason, self._tried = None, True

    def awaited(self) -> None:
        """It is not there before somebody says so."""
        with self._lock:
            self._reason, self._since = f"the database {self._where} is being opened; try again", time.monotonic()

    def found(self) -> None:
        with self._lock:
            if (self._reason is None and not self._tried) or self._closed.is_set():
                return
            self._tried = False
            self._reason, self._sought, self._back_at = None, False, time.monotonic()
            if self._to_be_taken_back:
                self._to_be_taken_back = False
                _log.info("the database %s is there again after %.1f s", self._where, self._back_at - self._since)
            self._told()

    def lost(self, reason: str, began: float) -> None:
        """It could not be reached by a call that began then (by the monotonic clock)."""
        with self._lock:
            # Whoever waited for long may speak of a trouble that is over.
            if began < self._back_at or self._closed.is_set():
                return
            self._away(reason)
            self._sought = True
        self._send_seeker()

    def seek(self, look: Callable[[], None]) -> bool:
        """Calls `look` until it no longer raises UnavailableError, without end but for `close`: False then. Raises what else
        `look` raises."""
        with self._lock:
            self._seekers += 1
        return self._seek(look, (UnavailableError,))

    def close(self) -> None:
        """Nothing is looked for and nobody is let in any more."""
        self._closed.set()
        with self._lock:
            self._reason, self._sought = "the storage is closed", False

    def _send_seeker(self) -> None:
        with self._lock:
            if self._seekers or not self._sought:
                return
            self._seekers += 1
        try:
            # Whatever comes of a look, the database may be there at the next: nobody else would find it.
            arguments = self._look, (Exception,)
            threading.Thread(target=self._seek, args=arguments, name="database", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._seekers -= 1
            _log.warning("nobody looks yet whether the database %s is there again: %s", self._where, error)

    def _seek(self, look: Callable[[], None], away: tuple[type[Exception], ...]) -> bool:
        try:
            found = self._until_there(look, away)
        finally:
            with self._lock:
                self._seekers -= 1
        # Behind the count: whoever finds it lost from here on has another one look.
        if found:
            self.found()
        return found

    def _until_there(self, look: Callable[[], None], away: tuple[type[Exception], ...]) -> bool:
        pause = _PAUSE_FIRST_S
        while not self._closed.is_set():
            try:
                look()
            except away as error:
                with self._lock:
                    if not self._closed.is_set():
                        self._away(self._reason_of(error))
            else:
                return True
            self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, _PAUSE_MOST_S)
        return False

    def _reason_of(self, error: Exception) -> str:
        if isinstance(error, KatibError):
            return error.message
        return f"the database {self._where} cannot be used: {type(error).__name__}: {error}"

    def _away(self, reason: str) -> None:
        now = time.monotonic()
        gone = self._reason is None and not self._tried
        self._tried = False
        if gone:
            self._since = now
        self._reason = reason
        pause = _SAY_S if reason == self._said and not gone else _SAY_OTHER_S
        if now - self._said_at >= pause:
            self._said, self._said_at, self._to_be_taken_back = reason, now, True
            _log.warning("%s (away for %.0f s; calls are answered UNAVAILABLE meanwhile)", reason, now - self._since)
        if gone:
            self._told()
