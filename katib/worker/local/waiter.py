"""One thread that learns at once when a process has ended, and does what is due at a time.

A pidfd becomes readable when its process ends, a child or not, so nothing is polled. Where there is none (an old kernel, a
container whose rules forbid the call, no file handle left) the process is looked at twenty times a second.
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

    def ended(self) -> bool:
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
        self._epoll: Final = select.epoll()
        self._epoll.register(self._bell_out, select.EPOLLIN)
        self._thread: Final = threading.Thread(target=self._run, name="local-worker", daemon=True)
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        """Calls `watched.gone` when the process has ended; when it is gone already, soon."""
        try:
            handle = open_pidfd(watched.pid) if self._pidfds else None
        except ProcessLookupError:
            self.call_later(0, watched.gone)
            return
        if handle is not None and not watched.child and not is_wrapper(watched.pid, watched.name):
            # The number was given to another process before the handle was opened.
            os.close(handle)
            self.call_later(0, watched.gone)
            return
        with self._lock:
            if self._closed:
                if handle is not None:
                    os.close(handle)
                return
            first = not self._by_pidfd and not self._polled
            if handle is not None and self._register(handle):
                self._by_pidfd[handle] = watched
            else:
                self._polled.append(watched)
                first = True
            if first:
                self._ring()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), call))
            self._ring()

    def close(self) -> None:
        """Stops waiting; the processes go on. What is asked for afterwards is never done."""
        with self._lock:
            if self._closed:
                return
            self._ring()
            self._closed = True
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return  # in a call-back that does not come back: its handles stay open rather than become somebody else's
        for handle in self._by_pidfd:
            os.close(handle)
        self._epoll.close()
        os.close(self._bell_in)
        os.close(self._bell_out)

    def _run(self) -> None:
        while not self._closed:
            for handle, _ in self._epoll.poll(self._timeout()):
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

    def _register(self, handle: int) -> bool:
        """False, and the handle is closed, when the user's limit of watches is reached."""
        try:
            self._epoll.register(handle, select.EPOLLIN)
        except OSError:
            os.close(handle)
            return False
        return True

    def _handle(self, handle: int) -> None:
        if handle == self._bell_out:
            os.read(handle, 4096)
            return
        with self._lock:
            watched = self._by_pidfd.pop(handle, None)
        if watched is None:
            return
        # Closing alone would leave it in the epoll set as long as a process that is being spawned shares the handle.
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
        """With the lock held: after close() the handle may be another file's."""
        if self._closed:
            return
        try:
            os.write(self._bell_in, b"\0")
        except BlockingIOError:
            pass  # it is ringing
