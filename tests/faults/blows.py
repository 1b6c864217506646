"""Whom the campaign hits and when, drawn from its seed; and the events that a blow can follow."""

import os
import random
import threading
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

MANAGER: Final = "manager"
# What a blow can follow: a trial has begun, or begun again, or ended; a client is about to call.
EVENTS: Final = ("start", "retry", "end", "call")


class Moment(Enum):
    YOUNG = "young"  # while the manager starts, opens its database, takes over its studies
    WORK = "work"  # at any time
    EVENT = "event"  # just after something has happened


@dataclass(frozen=True, slots=True)
class Blow:
    """`delay`: after the manager was started, in its usual starts (YOUNG); in seconds (WORK, and after the event). `gentle`:
    seconds between a SIGTERM and the SIGKILL, None for no SIGTERM. `away`: seconds until what was hit is started again.
    `frozen`: seconds for which services are stopped before they go on, or are killed if `killed`; None for no such stop."""

    targets: frozenset[str]
    moment: Moment
    event: str
    delay: float
    gentle: float | None
    away: float
    frozen: float | None
    killed: bool


def draw(rng: random.Random, services: tuple[str, ...], *, young: bool = False) -> Blow:
    """The next blow; `young`: one of the first, while the database has no tables yet."""
    kind = rng.random()
    if young or kind < 0.65:
        targets = {MANAGER}
    elif kind < 0.75:
        targets = {MANAGER, rng.choice(services)}
    elif kind < 0.78:
        targets = {MANAGER, *services}
    else:
        targets = {rng.choice(services)}
    moment = Moment.WORK
    if MANAGER in targets:
        moment = rng.choices((Moment.YOUNG, Moment.WORK, Moment.EVENT), (2, 4, 3))[0]
    if young:
        moment = Moment.YOUNG
    delays = {
        # Most of a start is Python's imports: the end of it is where something happens.
        Moment.YOUNG: rng.triangular(0.1, 1.4, 1.1),
        Moment.WORK: rng.uniform(0.0, 2.0),
        Moment.EVENT: rng.expovariate(1 / 0.008),
    }
    gentle = rng.uniform(0.0, 0.1) if MANAGER in targets and rng.random() < 0.12 else None
    away = rng.choice((0.0, 0.0, rng.uniform(0.0, 0.4), rng.uniform(0.0, 2.0)))
    # Mostly shorter than a call is waited for before its service is looked after, now and then longer.
    frozen = rng.choice((rng.uniform(0.1, 3.0), rng.uniform(0.1, 3.0), rng.uniform(8.0, 25.0)))
    blow = Blow(
        frozenset(targets), moment, rng.choice(EVENTS), delays[moment], gentle, away, frozen, rng.random() < 0.5
    )
    return blow if MANAGER not in targets and rng.random() < 0.25 else replace(blow, frozen=None, killed=True)


class Events:
    """Counts what happens. The trials tell it by a pipe, one word a line; threads of this process by `note`."""

    def __init__(self, pipe: Path) -> None:
        self.pipe: Final = pipe
        self._changed = threading.Condition()
        self._counts = dict.fromkeys(EVENTS, 0)
        os.mkfifo(pipe)
        # For both directions: it never ends because the last writer has left.
        self._descriptor = os.open(pipe, os.O_RDWR)
        self._reader = threading.Thread(target=self._read, name="events", daemon=True)
        self._reader.start()

    def note(self, *words: str) -> None:
        with self._changed:
            for word in words:
                if word in self._counts:
                    self._counts[word] += 1
            self._changed.notify_all()

    def count(self, word: str) -> int:
        with self._changed:
            return self._counts[word]

    def wait(self, word: str, seconds: float) -> bool:
        """Until the next one of its kind."""
        with self._changed:
            before = self._counts[word]
            return self._changed.wait_for(lambda: self._counts[word] > before, seconds)

    def close(self) -> None:
        os.write(self._descriptor, b"\n\nclose\n")
        self._reader.join()
        os.close(self._descriptor)

    def _read(self) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + os.read(self._descriptor, 65536)).split(b"\n")
            if b"close" in lines:
                return
            self.note(*(line.decode(errors="replace") for line in lines))
