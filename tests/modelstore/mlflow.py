"""A real MLflow tracking server for the tests, in a virtual environment of its own.

MLflow keeps older versions of packages than Katib's own development does, so it is not among Katib's. `make mlflow`, which runs
this module, installs it (a minute or two, a gigabyte) into KATIB_TEST_CACHE, by default ~/.cache/katib-tests. Where it is not
there the tests are skipped and say what is missing; where CI=true they fail. KATIB_TEST_MLFLOW names a server to use instead.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.ports import free_port

VERSION = "3.17.2"
_START_S = 90
_INSTALL_S = 900


def home() -> Path:
    """Where its virtual environment is, or would be."""
    cache = Path(os.environ.get("KATIB_TEST_CACHE") or Path.home() / ".cache" / "katib-tests")
    return cache / f"mlflow-{VERSION}"


def install() -> None:
    """Installs it, if it is not there."""
    if (home() / "bin" / "mlflow").exists():
        return
    # Made aside: what is there is whole. Its scripts name their interpreter by a whole path that is another one then, so they
    # are run as modules.
    making = home().with_name(f"{home().name}.{os.getpid()}")
    try:
        _run(sys.executable, "-m", "venv", str(making))
        _run(str(making / "bin" / "python"), "-m", "pip", "install", "--quiet", f"mlflow=={VERSION}")
        making.rename(home())
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def python() -> Path:
    """The interpreter that has it; skips or fails where there is none."""
    if not (home() / "bin" / "mlflow").exists():
        text = "no MLflow to test with: make mlflow installs it, or KATIB_TEST_MLFLOW=http://HOST:PORT names a server"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return home() / "bin" / "python"


class Server:
    """A tracking server with its database in a folder of its own, at a port that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._python = python()
        self._folder = folder
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(self._python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "artifacts"), "--workers", "1"]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"MLflow did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            # With its workers.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def started() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="katib-mlflow-") as folder:
        server = Server(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_INSTALL_S, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    install()
    print(f"MLflow {VERSION} is in {home()}")
