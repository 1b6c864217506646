"""The programs of an installation: each begins, and one that was installed without what it needs says so."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
# With what is missing where Katib was installed without extras, or without the one that has it.
MISSING = {
    "katib-dashboard": ("uvicorn", "dashboard"),
    "katib-earlystopping": ("grpc_health", "suggestion"),
    "katib-local": ("grpc_health", "all"),
    "katib-manager": ("sqlalchemy", "manager"),
    "katib-suggestion": ("grpc_health", "suggestion"),
}


def run(program: str, missing: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    module, _, function = SCRIPTS[program].partition(":")
    code = f"import sys; sys.modules[{missing!r}] = None; from {module} import {function}; {function}()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_program_begins_with_a_function_that_is_there() -> None:
    assert set(SCRIPTS) == {"katib-cli", *MISSING}
    for place in SCRIPTS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(module), function))


@pytest.mark.long
@pytest.mark.parametrize("program", MISSING)
def test_a_program_without_what_it_needs_says_what_to_install(program: str) -> None:
    missing, extra = MISSING[program]
    done = run(program, missing)
    said = f"this program needs {missing}, which is not installed: pip install 'katib[{extra}]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.long
@pytest.mark.parametrize("program", ["katib-cli", *MISSING])
def test_a_program_with_what_it_needs_is_the_one_that_was_meant(program: str) -> None:
    done = run(program, "nothing_that_there_is", "--version")
    assert (done.returncode, done.stderr) == (0, "")
