"""The command line in this process against a scripted manager, and as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from katib.cli import main
from tests.cli.scripted import ScriptedManager, serving

ROOT = Path(__file__).parents[2]
# As installed, beside this interpreter.
PROGRAM = Path(sys.executable).with_name("katib-cli")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def manager() -> ScriptedManager:
    return ScriptedManager()


@pytest.fixture
def server(manager: ScriptedManager) -> Iterator[str]:
    with serving(manager) as address:
        yield address


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Done:
        code = main.run(list(arguments))
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def cli(server: str, monkeypatch: pytest.MonkeyPatch, line: Cli) -> Cli:
    """The same, against the scripted manager."""
    monkeypatch.setenv("KATIB_SERVER", server)
    return line


@pytest.fixture
def program() -> Cli:
    """Runs the program itself, as a user does."""

    def run(*arguments: str, stdin: str | None = None, timeout: float = 30, **environment: str) -> Done:
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            cwd=ROOT,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**{k: v for k, v in os.environ.items() if k != "KATIB_SERVER"}, "COLUMNS": "100", **environment},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
