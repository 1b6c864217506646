"""What tests wait for, and what keeps a thread at work."""

import time
from collections.abc import Callable
from typing import TypeVar

# For what takes a second; on a machine under load it may take many.
PATIENCE_S = 40.0

Value = TypeVar("Value")


def until(what: Callable[[], Value | None], seconds: float = PATIENCE_S, poll: float = 0.05) -> Value:
    """The first value of `what()` that is not false; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s; at last it was {value!r}")
        time.sleep(poll)


def compute(seconds: float) -> None:
    """Takes so much of the processor, however long that lasts."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
