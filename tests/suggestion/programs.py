"""The real programs, in processes of their own."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
DEADLINE_S = 60.0


class Program:
    """A service that has said that it is ready."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.popen = subprocess.Popen(
            [BIN / command[0], *command[1:], "--log-format", "json"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.lines: list[dict[str, object]] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._ready.wait(DEADLINE_S):
            self.kill()
            raise AssertionError(f"not ready: {self.lines}")

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(json.loads(line) if line.startswith(b"{") else {"message": line.decode()})
            if self.lines[-1]["message"] == "ready":
                self._ready.set()
        self._ready.set()

    @property
    def port(self) -> int:
        return int(str(next(line["port"] for line in self.lines if line["message"] == "ready")))

    def ask_to_end(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def ask_to_end_by_another_thread(self) -> None:
        """As the kernel may do it: the signal is given to a thread that is not the main one."""
        pid = self.popen.pid
        others = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid]
        assert ctypes.CDLL(None).tgkill(pid, others[0], signal.SIGTERM) == 0

    def wait(self) -> int:
        code = self.popen.wait(DEADLINE_S)
        self._close()
        return code

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(DEADLINE_S)
        self._close()

    def _close(self) -> None:
        self._reader.join(DEADLINE_S)
        if self.popen.stderr is not None:
            self.popen.stderr.close()


@contextmanager
def program(*command: str, **environment: str) -> Iterator[Program]:
    running = Program(*command, **environment)
    try:
        yield running
    finally:
        if running.popen.poll() is None:
            running.kill()
        else:
            running.wait()


def refused(*command: str, **environment: str) -> str:
    """What a program that cannot start says."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def modules_after(statement: str) -> set[str]:
    """What a fresh process has imported after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return set(done.stdout.split())
