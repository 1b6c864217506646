"""Tunes the digits network on this machine: `make demo`. Nothing is left running, however it ends.

What it types is what a user would type; studies, logs and the trials' output stay in the folder .demo.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from katib.api.client import ManagerClient
from katib.domain.errors import KatibError, UnavailableError
from katib.domain.study import StudyState

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
DATA = ROOT / ".demo"
LOG = DATA / "katib-local.log"
STUDY = "examples/digits/random.yaml"
READY_S = 30.0
STOP_S = 30.0


class DemoError(Exception):
    """The demo cannot go on; the sentence says why."""


def main() -> int:
    # A `kill` and a closed terminal end it as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    DATA.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    server = start(address)
    try:
        with ManagerClient(address) as client:
            wait_until_ready(server, client)
            cli(address, "create-study", "-f", STUDY, "--watch")
            study = client.list_studies(page_size=1).items[0].id
            cli(address, "list", "trials", study)
            cli(address, "best", study)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    finally:
        stop(server, address)
    print(f"\nEverything is kept: .venv/bin/katib-local --data {DATA.name} shows this study again.")
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(address: str) -> subprocess.Popen[bytes]:
    command = [str(BIN / "katib-local"), "--data", DATA.name, "--listen", address]
    show("katib-local", *command[1:], "&")
    with LOG.open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            # The studies' `python` is the one of this environment.
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for this script, which then ends the server in order.
            start_new_session=True,
        )


def wait_until_ready(server: subprocess.Popen[bytes], client: ManagerClient) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            client.list_studies(page_size=1)
            return
        except UnavailableError:
            if server.poll() is not None:
                raise DemoError(f"katib-local ended with {server.returncode}: see {LOG.relative_to(ROOT)}") from None
            if time.monotonic() > deadline:
                raise DemoError(
                    f"katib-local is not ready after {READY_S:.0f} s: see {LOG.relative_to(ROOT)}"
                ) from None
            time.sleep(0.05)


def cli(address: str, *words: str) -> None:
    show("katib-cli", "-s", address, *words)
    code = subprocess.run([str(BIN / "katib-cli"), "-s", address, *words], cwd=ROOT).returncode
    if code:
        raise DemoError(f"katib-cli ended with {code}")


def show(*words: str) -> None:
    print("\n$", *words, flush=True)


def stop(server: subprocess.Popen[bytes], address: str) -> None:
    """Ends what runs: studies first, because a run goes on without its manager; then the server."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    deadline = time.monotonic() + STOP_S
    if server.poll() is None:
        try:
            with ManagerClient(address, timeout=STOP_S / 3) as client:
                while unfinished := client.list_studies(states=(StudyState.RUNNING, StudyState.PAUSED)).items:
                    if time.monotonic() > deadline:
                        break
                    for study in unfinished:
                        client.stop_study(study.id)
                    time.sleep(0.1)
        except KatibError as error:
            print(f"demo: its studies could not be stopped: {error}", file=sys.stderr)
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        print("demo: katib-local did not end in time and is killed", file=sys.stderr)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
