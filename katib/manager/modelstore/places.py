"""How many may ask a server at once: one that is silent would hold every thread that asks it, each until its time-out, and with
them the manager's other callers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from katib.domain.errors import UnavailableError

# A third of the threads that answer calls (katib.api.turns). A server that is well answers in a tenth of a second.
AT_ONCE: Final = 8
# For a place. Whoever waits holds a thread too.
_WAIT_S: Final = 1.0


class Places:
    """Safe from any thread."""

    def __init__(self, server: str) -> None:
        """`server` names it in errors."""
        self._server = server
        self._free: Final = threading.BoundedSemaphore(AT_ONCE)
        # Why, while the server gives no answer. One at a time tries whether it does again.
        self._silent = ""
        self._tries: Final = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """For the time of a request. Raises UnavailableError where there is none."""
        silent = self._silent
        place = self._tries if silent else self._free
        if not place.acquire(timeout=0 if silent else _WAIT_S):
            raise UnavailableError(
                silent or f"{self._server} is slow: {AT_ONCE} calls wait for its answers already; try again"
            )
        try:
            yield
        finally:
            place.release()

    def answered(self) -> None:
        self._silent = ""

    def silent(self, reason: str) -> None:
        """From now on all but one hear the reason at once."""
        self._silent = reason
