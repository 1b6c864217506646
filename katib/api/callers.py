"""Who calls, and what its calls take."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Asker:
    """Who a call seems to come from, by what it shows before anything of it is read. `key`: whose turns and places it takes;
    `name` is for sentences; `meter`: whose calls its rate is counted with, `trial` if that is a trial's attempt."""

    key: str
    name: str
    meter: str
    trial: bool = False


class Job:
    __slots__ = ("args", "fn", "future")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fn: Final = fn
        self.args: Final = args
        self.future: Final[Future[Any]] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.fn(*self.args)
        except BaseException as error:  # noqa: BLE001 - as every executor does
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Caller:
    __slots__ = (
        "begun",
        "cost",
        "crowd_until",
        "flood_until",
        "held",
        "mark",
        "name",
        "not_before",
        "paid_until",
        "queue",
        "ready",
        "running",
        "seen",
        "total",
        "trial",
        "used",
        "waiting",
    )

    def __init__(self, asker: Asker) -> None:
        self.name: Final = asker.name
        self.trial: Final = asker.trial
        self.queue: Final[deque[Job]] = deque()
        self.running = 0
        # Of these, those that wait for somebody else.
        self.waiting = 0
        # By the clock of its thread's processor time: when each that is in hand was begun, and what that clock said. None where
        # the system has no such clocks: then a call is known for a long one when it has ended.
        self.begun: Final[dict[int | None, tuple[float, float]]] = {}
        # In the heap; or waiting for its pause to end.
        self.ready = False
        self.held = False
        self.seen = 0.0
        self.used = 0.0
        self.cost = 0.0
        # What it has taken so far; and what that was, and all, when it was measured last.
        self.total = 0.0
        self.mark = (0.0, 0.0, 0.0)
        self.crowd_until = 0.0
        self.flood_until = 0.0
        self.not_before = 0.0
        # By when its long calls so far will have been within its share.
        self.paid_until = 0.0
