"""Who uses an installation: clients that call without pause, a reader who follows a page."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from katib.api.client import ManagerClient
from katib.domain.errors import KatibError
from tests.cluster import programs
from tests.cluster.installation import SUGGESTION, Installation, build

_SCRIPT_S = 300


@dataclass
class Caller:
    """Calls the API without pause; each client is used for a while, so that new connections are made all the time."""

    katib: Installation
    study_id: str
    calls: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @contextmanager
    def calling(self) -> Iterator[None]:
        over = threading.Event()
        address = self.katib.address

        def call() -> None:
            while not over.is_set():
                with ManagerClient(address, 30) as client:
                    for _ in range(50):
                        if over.is_set():
                            return
                        begin = time.monotonic()
                        try:
                            client.get_study(self.study_id)
                        except KatibError as error:
                            self.failures.append(f"after {time.monotonic() - begin:.1f} s: {error.message}")
                        self.calls += 1
                        self.slowest = max(self.slowest, time.monotonic() - begin)

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def follow(katib: Installation, folder: Path, script: str) -> str:
    """Runs the commands one after the other; returns what they printed."""
    said: list[str] = []
    shell: list[str] = []

    def run() -> None:
        path = f"{programs.folder()}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-eu", "-c", "\n".join(shell)],
            cwd=folder,
            env={**katib.cluster.environment, "PATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=_SCRIPT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
        shell.clear()

    archives: dict[str, Path] = {}
    for line in script.splitlines():
        if found := re.fullmatch(r"docker build --tag (\S+) (\S+)", line):
            run()
            archives[found[1]] = build(found[1], folder / found[2], SUGGESTION=SUGGESTION)
        elif found := re.fullmatch(r"kind load docker-image (\S+)", line):
            katib.cluster.import_image(archives[found[1]])
        else:
            assert not line.startswith(("docker", "kind"))
            shell.append(line)
    run()
    return "".join(said)
