"""What the tests of the local worker share."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from katib.domain.names import run_name
from katib.domain.study import Objective, StudySpec
from katib.worker.local.worker import LocalWorker
from tests.worker.driving import Driver

DEADLINE_S = 20.0
SPEC = StudySpec("local", "x", Objective.MINIMIZE, (), algorithm="random", command=("true",))


class Host:
    """A process of its own with a local worker in it; see `host.py`."""

    def __init__(self, data: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("host.py")), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what select() sees is all there is
        )
        assert self.answer() == "ready"

    def ask(self, *words: str) -> str:
        self.send(*words)
        return self.answer()

    def send(self, *words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(words) + "\n").encode())
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], DEADLINE_S)[0], "the host does not answer"
        return self._process.stdout.readline().decode().strip()

    def create(self, driver: Driver, trial_id: str, *command: str) -> str:
        assert self.ask("create", driver.study_id, trial_id, json.dumps(command)) == "ok"
        return run_name(trial_id, 1)

    def signal(self, signal_: signal.Signals) -> None:
        self._process.send_signal(signal_)

    def kill(self) -> None:
        """Again: no change."""
        self._process.kill()
        self._process.wait(DEADLINE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def folder_of(data: Path, driver: Driver, name: str) -> Path:
    return data / "runs" / driver.study_id / name


def leader_of(data: Path, driver: Driver, name: str) -> int:
    """The process id of the run's wrapper."""
    return int((folder_of(data, driver, name) / "started").read_text().split()[0])


def driver_of(worker: LocalWorker, study_id: str = "") -> Driver:
    driver = Driver(worker, SPEC, DEADLINE_S)
    driver.study_id = study_id or driver.study_id
    return driver


def until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Not there, or dead and not collected yet by whoever adopted it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_session(leader: int) -> None:
    os.killpg(leader, signal.SIGKILL)
    until(f"{leader} never ended", lambda: is_gone(leader))
