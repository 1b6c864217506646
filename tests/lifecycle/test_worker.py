"""The scripted worker keeps the workers' contract, with processes in the place of the script.

What the lifecycle's tests say of the controller is worth as much as their worker's likeness to a real one.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.trial import TrialReason
from katib.worker.base import RunPhase, RunSpec
from katib.worker.local.command import CommandBuilder, CommandError
from katib.worker.local.diagnosis import explain
from tests.lifecycle.worker import Place, Run, ScriptedWorker
from tests.worker.contract import WorkerContract

GRACE_S = 0.5


class Performers:
    """A process for each run of a place; what it does is what the run does."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self.folder = folder
        self.commands = CommandBuilder()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.threads: list[threading.Thread] = []

    def begin(self, spec: RunSpec) -> None:
        run = self.place.runs[spec.name]
        try:
            command = self.commands.build(spec, str(self.folder))
        except CommandError as error:
            self.place.end(run, None, TrialReason.START_FAILED, str(error))
            return
        self.place.begin(run)
        process = self.processes[run.name] = subprocess.Popen(
            command.argv,
            env=command.environment,
            cwd=command.working_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.threads.append(threading.Thread(target=self.perform, args=(run, process)))
        self.threads[-1].start()

    def perform(self, run: Run, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as stdout:
            while data := os.read(stdout.fileno(), 65536):
                self.place.print(run, data.decode())
        code = process.wait()
        verdict = explain(code if code >= 0 else 128 - code)
        self.place.end(run, verdict.code, verdict.reason, verdict.message)

    def stop(self, run: Run) -> None:
        process = self.processes[run.name]
        os.killpg(process.pid, signal.SIGTERM)
        timer = threading.Timer(GRACE_S, self.kill, (process,))
        self.threads.append(timer)
        timer.start()

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        for process in self.processes.values():
            self.kill(process)
        for thread in self.threads:
            thread.join()


class PerformedWorker(ScriptedWorker):
    def __init__(self, performers: Performers) -> None:
        super().__init__(performers.place)
        self._performers = performers

    def create(self, run: RunSpec) -> None:
        there = run.name in self._place.runs
        super().create(run)
        if not there:
            self._performers.begin(run)

    def stop(self, study_id: str, name: str) -> None:
        there = self._place.runs.get(name)
        going = there is not None and there.phase is RunPhase.RUNNING
        super().stop(study_id, name)
        if there is not None and going:
            self._performers.stop(there)


@pytest.mark.slow
class TestScriptedWorker(WorkerContract):
    @pytest.fixture
    def new_worker(self, tmp_path: Path) -> Iterator[Callable[[], PerformedWorker]]:
        performers = Performers(Place(lambda: datetime.now(UTC)), tmp_path)
        yield lambda: PerformedWorker(performers)
        performers.close()
