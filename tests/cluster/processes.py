"""A program of the cluster, in the cluster's namespaces."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWPID = 0x20000000
_END_S = 30
_SHOWN = 40  # lines of a log in an error


class ClusterError(Exception):
    """The cluster does not do what it is there for; says what was waited for and what the logs say."""


class HopelessError(ClusterError):
    """What is waited for can't come any more."""


def wait_until(what: str, holds: Callable[[], object], *, timeout: float = 60, every: float = 0.1) -> None:
    """Waits until `holds()` is true.

    Raises:
        ClusterError: at the deadline, with `what` and the last error; at once where `holds` says `HopelessError`.
    """
    deadline = time.monotonic() + timeout
    while True:
        last = ""
        try:
            if holds():
                return
        except HopelessError:
            raise
        except (OSError, subprocess.SubprocessError, ClusterError, ValueError, LookupError) as error:
            last = f": {error}"
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:.0f} s{last}")
        time.sleep(every)


class Process:
    """Started and ended any number of times; each start appends to the same log."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, pid: int) -> None:
        """`pid` is the first process of the cluster's namespaces."""
        self.name = name
        self.log = log
        self.namespaces = pid
        self._command = ["nsenter", f"--target={pid}", "--mount", "--net", "--wd=/", "--", *map(str, command)]
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns at once."""
        assert not self.alive, f"{self.name} runs already"
        errors: list[BaseException] = []

        def start() -> None:
            try:
                with open(f"/proc/{self.namespaces}/ns/pid") as namespace:
                    # Of this thread's children, that is. nsenter would stay in between, and stop with what is stopped.
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWPID) != 0:
                        raise OSError(ctypes.get_errno(), "the cluster's PID namespace can't be entered")
                self._running = self._popen()
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    def _popen(self) -> subprocess.Popen[bytes]:
        # Clusters that were started since then may have taken the folder for an old one.
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Go collects garbage less often: there is memory enough, and processors are what the tests wait for.
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "GOGC": "400",
        }
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs, paused or not."""
        return self._running is not None and self._running.poll() is None

    def check(self) -> None:
        """Raises `HopelessError`, with the log's end, where it does not run."""
        if not self.alive:
            raise HopelessError(f"{self.name} has ended:\n{self.tail()}")

    def stop(self, patience: float = _END_S) -> None:
        """Ends it as its supervisor would, by SIGTERM; by SIGKILL where that does not help within `patience` seconds."""
        self._end(signal.SIGTERM, patience)

    def kill(self) -> None:
        """Ends it without a last word."""
        self._end(signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It keeps its connections and says nothing meanwhile."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Sends a signal to the program itself."""
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Its number, as this machine counts.

        Raises:
            HopelessError: it does not run.
        """
        self.check()
        assert self._running
        return self._running.pid

    def reap(self) -> None:
        """Waits for the end of what somebody else ends."""
        if self._running is not None:
            self._running.wait(_END_S)

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- {self.name} ({self.log})", *lines[-_SHOWN:]])

    def _end(self, number: int, patience: float = _END_S) -> None:
        if self._running is None or not self.alive:
            return
        self._running.send_signal(number)
        self._running.send_signal(signal.SIGCONT)
        try:
            self._running.wait(patience)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(_END_S)
