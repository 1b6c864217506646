"""The program and the notebook of examples/loop, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import World

pytestmark = pytest.mark.long

LOOP = Path(__file__).resolve().parents[2] / "examples" / "loop"


def run(it: World, program: str, seconds: float = 100) -> str:
    it.environment["KATIB_SERVER"] = it.address
    process = it.start(sys.executable, "-W", "error", "-c", program, name="loop")
    assert process.popen.wait(seconds) == 0, process.output
    return process.output


def test_the_program_finds_a_good_support_vector_machine(running: World) -> None:
    program = (LOOP / "digits.py").read_text()
    first = run(running, program)
    assert float(first.split()[0]) > 0.95
    # Once more: the study is there, and has ended.
    assert run(running, program) == first
    listed = json.loads(running.cli("list", "trials", "digits-loop", "-o", "json").stdout)
    assert [trial["state"] for trial in listed] == ["COMPLETED"] * 12


def test_the_cells_of_the_notebook_run_one_after_the_other(running: World) -> None:
    notebook = json.loads((LOOP / "digits.ipynb").read_text())
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["name"]) == (4, "python3")
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    # Each in the same module, as a kernel does.
    lines = run(running, f"for cell in {cells!r}:\n    exec(compile(cell, 'cell', 'exec'), globals())").splitlines()
    assert len(lines) == 8 + 1 + 8
    kept = "".join(text for cell in notebook["cells"] for output in cell.get("outputs", ()) for text in output["text"])
    # What it shows is what came of it.
    assert [line.split()[1] for line in kept.splitlines()[9:]] == ["COMPLETED"] * 8


def test_nothing_in_the_notebook_belongs_to_the_machine_that_ran_it() -> None:
    text = (LOOP / "digits.ipynb").read_text()
    assert not any(word in text for word in ("/tmp", "/home", "/root", "Traceback"))
    assert (
        subprocess.run([sys.executable, "-m", "json.tool", str(LOOP / "digits.ipynb")], capture_output=True).returncode
        == 0
    )
