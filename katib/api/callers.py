"""Who seems to call, and the account that is kept of what its calls take."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
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


class Turn(Enum):
    """How a caller stands in line. From NONE it comes to one of the others when it may begin a call (`Turns._consider`); from
    READY back when a thread takes its call, from PAUSES when its pause is over."""

    NONE = 0  # nothing waits, or as many of its calls are in hand as may be
    READY = 1  # its next call is the next free thread's, once nobody comes before it
    PAUSES = 2  # its next call may not begin before a time


@dataclass(slots=True, eq=False)
class Account:
    """Of one caller: `Turns` keeps its place in line in it, `Shares` what its calls have cost. Who that is, and what it may, is
    another matter (`katib.domain.caller`)."""

    name: str
    trial: bool
    # Calls that are not in hand yet.
    queue: deque[Job] = field(default_factory=deque)
    turn: Turn = Turn.NONE
    # In hand; and of these, those that wait for somebody else.
    running: int = 0
    waiting: int = 0
    # By the clock of its thread's processor time: when each that is in hand was begun, and what that clock said. None where
    # the system has no such clocks: then a call is known for a long one when it has ended.
    begun: dict[int | None, tuple[float, float]] = field(default_factory=dict)
    # How much of the processor it has had, as that counts for whose turn it is.
    used: float = 0.0

    # When it called last.
    seen: float = 0.0
    # What its next call will cost, as an estimate; what it has taken so far; when that was measured last, and what it was then,
    # of this caller and of all.
    cost: float = 0.0
    total: float = 0.0
    mark: tuple[float, float, float] = (0.0, 0.0, 0.0)
    # Until when it counts as a crowd, and as one that floods.
    crowd_until: float = 0.0
    flood_until: float = 0.0
    # Its next call may not begin before.
    not_before: float = 0.0
    # By when its long calls so far will have been within its share.
    paid_until: float = 0.0
