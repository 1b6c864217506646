"""One thread that learns at once when a process has ended, and does what is due at a time.

A pidfd becomes readable when its process ends, a child or not, so nothing is polled. Where there is no pidfd (another system, a
container whose rules forbid the call) every watched process is looked at twenty times a second.
"""

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from katib.worker.local.process import is_wrapper, open_pidfd

_log: Final = logging.getLogger(__name__)

POLL_S: Final = 0.05
_CLOSE_S: Final = 5.0


@dataclass(slots=True)
class Watched:
    """A wrapper that this process waits for: a child, whose exit status nobody else collects, or one that was adopted."""

    pid: int
    name: str
    gone: Callable[[], None]
    child: bool
    pidfd: int | None = None

    def ended(self) -> bool:
        """For those without a pidfd."""
        if not self.child:
            return not is_wrapper(self.pid, self.name)
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True


def collect(pid: int) -> int | None:
    """The exit code of a child that has ended, as a shell has it; from then on its number may be used again. None when it is
    not this process's to know."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class Waiter:
    """Calls back in its own thread. A call-back that raises is logged and harms nobody else's."""

    def __init__(self, tick: Callable[[], None], tick_s: float, *, pidfds: bool = True) -> None:
        """`tick` is called every `tick_s` seconds while there is a process to wait for."""
        self._tick: Final = tick
        self._tick_s: Final = tick_s
        self._pidfds: Final = pidfds
        self._lock: Final = threading.Lock()
        self._by_pidfd: Final[dict[int, Watched]] = {}
        self._polled: Final[list[Watched]] = []
        self._due: Final[list[tuple[float, int, Callable[[], None]]]] = []
        self._order: Final = itertools.count()
        self._next_tick = 0.0
        self._closed = False
        self._bell_out, self._bell_in = os.pipe()
        os.set_blocking(self._bell_in, False)
        self._epoll: Final = select.epoll() if hasattr(select, "epoll") else None
        if self._epoll is not None:
            self._epoll.register(self._bell_out, select.EPOLLIN)
        self._thread: Final = threading.Thread(target=self._run, name="local-worker", daemon=True)
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        """Calls `watched.gone` when the process has ended; when it is gone already, soon."""
        try:
            watched.pidfd = open_pidfd(watched.pid) if self._pidfds and self._epoll is not None else None
            if watched.pidfd is not None and not watched.child and not is_wrapper(watched.pid, watched.name):
                # The number was given to another process before the handle was opened.
                os.close(watched.pidfd)
                raise ProcessLookupError
        except ProcessLookupError:
            self.call_later(0, watched.gone)
            return
        with self._lock:
            first = not self._by_pidfd and not self._polled
            if watched.pidfd is None:
                self._polled.append(watched)
            else:
                self._by_pidfd[watched.pidfd] = watched
        if watched.pidfd is not None and self._epoll is not None:
            self._epoll.register(watched.pidfd, select.EPOLLIN)
        if first or watched.pidfd is None:
            self._ring()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), call))
        self._ring()

    def close(self) -> None:
        """Stops waiting; the processes go on."""
        if self._closed:
            return
        self._closed = True
        self._ring()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return  # in a call-back that does not come back: its handles stay open rather than become somebody else's
        for watched in self._by_pidfd.values():
            if watched.pidfd is not None:
                os.close(watched.pidfd)
        if self._epoll is not None:
            self._epoll.close()
        os.close(self._bell_in)
        os.close(self._bell_out)

    def _run(self) -> None:
        while not self._closed:
            for handle in self._wait(self._timeout()):
                self._handle(handle)
            for watched in [w for w in self._polled if w.ended()]:
                with self._lock:
                    self._polled.remove(watched)
                self._call(watched.gone)
            self._do_due()

    def _timeout(self) -> float | None:
        """Seconds until there is something to do beside processes that end; None: nothing."""
        now = time.monotonic()
        with self._lock:
            times = [self._due[0][0] - now] if self._due else []
            if self._polled:
                times.append(POLL_S)
            if self._by_pidfd or self._polled:
                if self._next_tick == 0.0:
                    self._next_tick = now + self._tick_s
                times.append(self._next_tick - now)
            else:
                self._next_tick = 0.0
        return max(0.0, min(times)) if times else None

    def _wait(self, timeout: float | None) -> list[int]:
        if self._epoll is not None:
            return [handle for handle, _ in self._epoll.poll(timeout)]
        return select.select([self._bell_out], [], [], timeout)[0]

    def _handle(self, handle: int) -> None:
        if handle == self._bell_out:
            os.read(handle, 4096)
            return
        with self._lock:
            watched = self._by_pidfd.pop(handle, None)
        if watched is None:
            return  # a second event of the same poll
        # Closing alone would leave it in the epoll set as long as a process that is being spawned shares the handle.
        if self._epoll is not None:
            self._epoll.unregister(handle)
        os.close(handle)
        self._call(watched.gone)

    def _do_due(self) -> None:
        now = time.monotonic()
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > now:
                    break
                call = heapq.heappop(self._due)[2]
            self._call(call)
        if self._next_tick and now >= self._next_tick:
            self._next_tick = now + self._tick_s
            self._call(self._tick)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - the thread serves every other run
            _log.exception("the local worker failed at one of its runs")

    def _ring(self) -> None:
        try:
            os.write(self._bell_in, b"\0")
        except BlockingIOError:
            pass  # it is ringing
