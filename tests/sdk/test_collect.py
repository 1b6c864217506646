"""The program that `katib.sdk.collect` stands in front of runs, whatever becomes of its metrics."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from katib.domain.collect_environment import VARIABLE, collect_environment
from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.sdk import collect as collect_module
from katib.worker.base import MetricPiece

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


@pytest.mark.long
def test_what_cannot_be_read_at_the_end_is_tried_again_and_then_said(tmp_path: Path) -> None:
    # In one step: there is no instant without a file, which would be a program that has written none.
    later = collect(tmp_path, task_of(), "ln -s m m; (sleep 1.5; echo acc=0.5 >n; mv n m) >&- 2>&- &")
    assert later.returncode == 0
    assert "katib-report" in later.stderr
    assert "could not be read" not in later.stderr
    (tmp_path / "m").unlink()
    never = collect(tmp_path, task_of(), "ln -s m m; exit 3")
    assert never.returncode == 3
    assert "not all metrics could be read: m cannot be read: Too many levels of symbolic links" in never.stderr


class Reader:
    """A reader in which something goes wrong that nobody has thought of."""

    path = "m"

    def __init__(self, fault: Callable[[], None]) -> None:
        self._fault = fault

    def read(self, _max_bytes: int, *, ended: bool) -> MetricPiece:
        self._fault()
        return MetricPiece()


@pytest.mark.parametrize("said", ["is not read any further", "has not been read to its end within 0.2 s"])
def test_whatever_becomes_of_the_reading_the_program_s_end_is_not_held_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    release = threading.Event()

    def fault() -> None:
        if "further" in said:
            raise RuntimeError("unthought of")
        release.wait(30)

    monkeypatch.setattr(collect_module, "open_metric_files", lambda *_: Reader(fault))
    monkeypatch.setattr(collect_module, "_CLOSE_S", 0.2)
    for name, value in (TRIAL | {VARIABLE: task_of()}).items():
        monkeypatch.setenv(name, value)
    handlers = {number: signal.getsignal(number) for number in collect_module._FORWARDED}
    try:
        assert collect_module.main(["sh", "-c", "exit 3"]) == 3
    finally:
        release.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert said in caplog.text
