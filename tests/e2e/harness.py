"""Real processes for tests: the manager, services and command line as a user starts them, in a folder of their own."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, StudySpec
from katib.domain.trial import Trial
from katib.domain.views import StudySummary
from tests.waiting import PATIENCE_S, until

BIN = Path(sys.executable).parent


@dataclass
class Process:
    """A program under test; what it prints goes to a file that is shown when a test fails."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, signal_: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal_)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"did not end within {seconds:g} s of {signal_.name}: {self.output}") from None

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@dataclass
class World:
    """A folder, a short folder for sockets, and everything that was started in them."""

    folder: Path
    sockets: Path
    processes: list[Process] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"unix:{self.sockets}/m"

    def start(self, program: str, *arguments: str | Path, name: str = "") -> Process:
        log = self.folder / f"{name or program}-{len(self.processes)}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [BIN / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.folder,
                start_new_session=True,
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def manager(
        self,
        *arguments: str,
        address: str = "",
        data: Path | None = None,
        database: str = "",
        http: str = "",
        wait: bool = True,
    ) -> Process:
        """Starts katib-manager and, unless told not to, waits until it serves. `database`: left out, a file in `data`."""
        address = address or self.address
        data = data or self.folder / "data"
        process = self.start(
            "katib-manager",
            "--listen",
            address,
            "--http",
            http,
            "--database",
            database or f"sqlite:///{data}/katib.db",
            "--data",
            data,
            "--suggestion-address",
            f"unix:{self.sockets}/s-{{algorithm}}",
            "--earlystopping-address",
            f"unix:{self.sockets}/e-{{algorithm}}",
            *arguments,
        )
        if wait:
            wait_until_serving(address, process)
        return process

    def suggestion(self, algorithm: str) -> Process:
        address = f"unix:{self.sockets}/s-{algorithm}"
        process = self.start("katib-suggestion", algorithm, "--listen", address, name=f"suggestion-{algorithm}")
        wait_until_serving(address, process)
        return process

    def earlystopping(self, rule: str) -> Process:
        address = f"unix:{self.sockets}/e-{rule}"
        process = self.start("katib-earlystopping", rule, "--listen", address, name=f"earlystopping-{rule}")
        wait_until_serving(address, process)
        return process

    def local(self, *arguments: str) -> Process:
        """Starts katib-local and waits until it serves."""
        pages = () if "--dashboard" in arguments else ("--dashboard", "")
        process = self.start(
            "katib-local", "--data", self.folder / "data", "--listen", self.address, *pages, *arguments
        )
        wait_until_serving(self.address, process)
        return process

    def cli(
        self, *arguments: str | Path, check: bool = True, seconds: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [BIN / "katib-cli", "-s", self.address, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, "COLUMNS": "200", **self.environment},
            cwd=self.folder,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"katib-cli {arguments} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def client(self) -> ManagerClient:
        return ManagerClient(self.address, 30)

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self._end_runs()

    def _end_runs(self) -> None:
        """Trials outlive their manager, and would outlive the test."""
        for process in psutil.process_iter(["cmdline"]):
            runs = (argument for argument in process.info["cmdline"] or () if argument.startswith(f"{self.folder}/"))
            if any("/runs/" in argument for argument in runs):
                # The first process of a run leads its group.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="kt-") as sockets:
        it = World(folder, Path(sockets), environment={"TMPDIR": sockets})
        try:
            yield it
        except BaseException:
            for process in it.processes:
                print(f"--- {process.log.name} (exit code {process.popen.poll()})\n{process.output[-4000:]}")
            raise
        finally:
            # Loops that a test has left in a cycle give back their trials now, and not to nobody in the middle of another test.
            gc.collect()
            it.close()


def wait_until_serving(address: str, process: Process | None = None, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with open_channel(address) as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                if (
                    stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status
                    == health_pb2.HealthCheckResponse.SERVING
                ):
                    return
            except grpc.RpcError as error:
                last = error
        if process is not None and process.popen.poll() is not None:
            raise AssertionError(f"it ended with code {process.popen.returncode}: {process.output}")
        if time.monotonic() > deadline:
            raise AssertionError(f"{address} does not serve after {seconds:g} s: {last}")
        time.sleep(0.02)


def stub(address: str) -> ManagerStub:
    """A client that knows no more than the proto."""
    return ManagerStub(open_channel(address))  # type: ignore[no-untyped-call]


def study(name: str = "s", script: str = "echo acc=0.5", **changes: object) -> StudySpec:
    """A study of one parameter `x` whose trials run `script` in a shell, with the assignment as $1 and its value as $x."""
    limits = Limits(**{"max_trials": 4, "max_parallel": 2, **changes.pop("limits", {})})  # type: ignore[dict-item]
    fields: dict[str, object] = {
        "name": name,
        "objective_name": "acc",
        "optimization": Objective.MAXIMIZE,
        "parameters": (ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
        "algorithm": "random",
        "command": ("/bin/sh", "-c", f"x=${{1#x=}}; {script}", "sh"),
        "limits": limits,
        **changes,
    }
    return StudySpec(**fields)  # type: ignore[arg-type]


def finished(client: ManagerClient, study_id: str, seconds: float = PATIENCE_S) -> StudySummary:
    """The study when it has ended."""

    def look() -> StudySummary | None:
        summary = client.get_study(study_id).summary
        return summary if summary.state.finished else None

    return until(look, seconds)


def trials(client: ManagerClient, study_id: str) -> list[Trial]:
    found: list[Trial] = []
    token = ""
    while True:
        page = client.list_trials(study_id, page_size=1000, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            return found
