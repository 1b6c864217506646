"""Keeps the threads that answer calls on one processor, and moves them to a better one when others are busy there.

Python runs one of them at a time, and each call is handed over between several. Where the lock that they hand on wanders from
processor to processor, a quarter of their time goes into waking one up and into what another has in its cache
(docs/performance.md). Who computes outside of Python's lock does not belong among them.

Linux alone has what this takes. Elsewhere, and where it is not known how busy the processors are, nothing is done.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from katib.api.processors import Load, Processors

_log: Final = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
# Of a processor: with less it does not matter where we are.
_IDLE: Final = 0.02
# Of what was so far, as loads go up and down.
_OLD: Final = 0.5
# Others take so much less of a processor that it is worth leaving ours for it. Where all are busy, one is better than any,
# with one program that computes without end and with two: letting the threads go cost a quarter of the calls.
_BETTER: Final = 0.3
# These are alike: not all managers of a machine take its first processor.
_ALIKE: Final = 0.05


class OneProcessor:
    """Threads join by themselves. What they start in their turn begins where they are: threads are found and let go, processes
    are to be started in `everywhere`."""

    def __init__(self, processors: Processors | None = None, pause: float = _LOOK_S) -> None:
        self._processors = processors or Processors()
        self._pause = pause
        self._members: set[int] = set()
        # Where they are; None: wherever the system has them, until it has been looked once.
        self.at: int | None = None
        self._others: dict[int, float] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def join(self) -> None:
        """The calling thread is one of them as long as it lives."""
        self._members.add(threading.get_native_id())

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Threads that are begun meanwhile join."""
        before = set(threading.enumerate())
        yield
        self._members.update(t.native_id for t in set(threading.enumerate()) - before if t.native_id is not None)

    def start(self) -> None:
        if self._thread is None and self._processors.known():
            self._thread = threading.Thread(target=self._run, name="processor", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """They are where the system has them."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._keep()
        except (OSError, ValueError, IndexError) as error:
            _log.info("the threads that answer calls are not kept on one processor: %s", error)
        try:
            self._settle(None, self._processors.allowed())
        except OSError:
            pass  # they stay where they are, which works as well

    def _keep(self) -> None:
        used = time.process_time()
        before: Load | None = self._load()
        while not self._closed.wait(self._pause):
            used, used_before = time.process_time(), used
            if self.at is not None and used - used_before < _IDLE * self._pause:
                before = None
                continue
            now = self._load()
            if before is not None:
                self._look(now, before)
            before = now

    def _load(self) -> Load:
        members = tuple(self._members)
        load = self._processors.load(members)
        self._members.difference_update(set(members) - load.own.keys())
        return load

    def _look(self, now: Load, before: Load) -> None:
        allowed = self._processors.allowed()
        shares = now.others_since(before, self.at)
        self._others = {
            cpu: _OLD * self._others.get(cpu, shares[cpu]) + (1 - _OLD) * shares[cpu] for cpu in shares.keys() & allowed
        }
        if self._others:
            self._settle(choose(self.at, self._others), allowed)

    def _settle(self, cpu: int | None, allowed: frozenset[int]) -> None:
        was, self.at = self.at, cpu
        if was is None and cpu is None:
            return
        if was != cpu:
            _log.debug("answers calls on processor %s", "any" if cpu is None else cpu)
        here = allowed if cpu is None else frozenset((cpu,))
        left = [frozenset((one,)) for one in (was, cpu) if one is not None]
        for thread in self._processors.threads():
            places = self._processors.places(thread)
            if thread in self._members:
                if places != here:
                    self._processors.place(thread, here)
            elif places in left:
                # Begun by one of them, without being one.
                self._processors.place(thread, allowed)


def choose(at: int | None, others: Mapping[int, float]) -> int:
    """Where to be, after what others take of each processor."""
    least = min(others.values())
    best = random.choice([cpu for cpu, share in others.items() if share <= least + _ALIKE])  # noqa: S311
    return best if at is None or at not in others or others[at] - others[best] > _BETTER else at


@contextmanager
def everywhere() -> Iterator[None]:
    """The calling thread, and a process that it starts, may run wherever the main thread may."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    places, wide = os.sched_getaffinity(0), os.sched_getaffinity(os.getpid())
    if places == wide:
        yield
        return
    try:
        os.sched_setaffinity(0, wide)
    except OSError:
        pass  # it has what it had
    try:
        yield
    finally:
        try:
            os.sched_setaffinity(0, places)
        except OSError:
            pass  # wherever it is now
