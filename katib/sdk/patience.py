"""Calls that are made again while the manager cannot be reached, or has others to serve first, for a stated time."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from katib.domain.backoff import backoff
from katib.domain.errors import AbortedError, DeadlineExceededError, UnavailableError

T = TypeVar("T")

_log: Final = logging.getLogger("katib")
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MOST_S: Final = 10.0
# A manager that has others to serve first is nothing to worry a user with, unless it goes on.
_QUIET: Final = 2


def patiently(call: Callable[[], T], seconds: float, doing: str) -> T:
    """The call's result, which may be made several times: what it does twice must be what it does once. Raises its error, and
    UnavailableError, DeadlineExceededError or AbortedError only after `seconds` of them."""
    deadline = time.monotonic() + seconds
    tried = 0
    while True:
        try:
            result = call()
        except (UnavailableError, DeadlineExceededError, AbortedError) as error:
            pause = pause_s(tried)
            if time.monotonic() + pause >= deadline:
                raise
            if tried == _QUIET:
                _log.warning("%s: %s; trying again for up to %.0f s", doing, error, seconds)
            tried += 1
            time.sleep(pause)
        else:
            if tried > _QUIET:
                _log.info("%s: the manager answers again", doing)
            return result


def pause_s(tried: int) -> float:
    """After so many tries and one more: many clients wait for the same manager."""
    return backoff(tried + 1, _PAUSE_FIRST_S, _PAUSE_MOST_S)
