"""The program that `katib.sdk.collect` stands in front of runs, whatever becomes of its metrics."""

import json
import os
import subprocess
import sys
from pathlib import Path

from katib.domain.collect_environment import VARIABLE, collect_environment
from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource

TRIAL = {"TRIAL_ID": "a" * 16, "KATIB_ATTEMPT": "1", "KATIB_SERVER": ""}
FILE = MetricsCollector(source=MetricsSource.FILE, path="m", reader=MetricsReader.SDK)


def collect(folder: Path, task: str, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "katib.sdk.collect", "sh", "-c", script],
        cwd=folder,
        env={**os.environ, **TRIAL, VARIABLE: task},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def task_of(collector: MetricsCollector = FILE) -> str:
    return collect_environment(collector, ("acc",))[VARIABLE]


def test_a_pattern_that_python_has_not_keeps_no_program_from_running(tmp_path: Path) -> None:
    task = json.loads(task_of()) | {"format": MetricsFormat.PATTERN.value, "pattern": r"(?P<value>\pN+)"}
    done = collect(tmp_path, json.dumps(task), "echo ran; exit 3")
    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert "nothing is collected: bad escape" in done.stderr


def test_what_cannot_be_read_at_the_end_is_tried_again_and_then_said(tmp_path: Path) -> None:
    later = collect(tmp_path, task_of(), "ln -s m m; (sleep 1.5; rm m; echo acc=0.5 >m) >&- 2>&- &")
    assert later.returncode == 0
    assert "katib-report" in later.stderr
    assert "could not be read" not in later.stderr
    (tmp_path / "m").unlink()
    never = collect(tmp_path, task_of(), "ln -s m m; exit 3")
    assert never.returncode == 3
    assert "not all metrics could be read: m cannot be read: Too many levels of symbolic links" in never.stderr
