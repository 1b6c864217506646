"""What the controller makes of files that cannot be read, or are not to be seen."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from katib.domain.collector import MetricsCollector, MetricsSource
from katib.domain.metric_lines import LineParser
from katib.domain.study import Study, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import Intake
from katib.manager.controller.files import ABSENT_S, TROUBLE_S, FileReading
from katib.worker.base import MetricFiles, RunPhase, RunStatus, Worker
from katib.worker.metric_files import open_metric_files
from tests.e2e.harness import study

AT = datetime(2026, 1, 1, tzinfo=UTC)
STUDY = Study("s", study(collector=MetricsCollector(source=MetricsSource.FILE)), StudyState.RUNNING, AT, 1)
TRIAL = Trial("t", "s", 1, 1, TrialState.RUNNING, (), AT, 1)
RUNS = RunStatus("t-1", "s", "t", 1, RunPhase.RUNNING)
ENDED = RunStatus("t-1", "s", "t", 1, RunPhase.SUCCEEDED)


class Volume:
    """A worker of which only the file is looked at."""

    def __init__(self, path: Path, root: str) -> None:
        self.path = path
        self.root = root

    def metric_files(self, spec: StudySpec, _study_id: str, _name: str, parser: LineParser) -> MetricFiles:
        return open_metric_files(spec.collector, str(self.path), parser, spec.metric_names, 1, self.root)


class Passes:
    def __init__(self, path: Path, root: str = "") -> None:
        self.now = 1000.0
        self.files = FileReading(cast(Worker, Volume(path, root)), STUDY, RUNS, lambda: self.now)
        self.trial = TRIAL

    def next(self, run: RunStatus = ENDED, *, after: float = 0.0) -> bool:
        """Whether it is to be looked at again at once."""
        self.now += after
        intakes: list[Intake] = []
        self.trial, more = self.files.read(STUDY, self.trial, run, intakes)
        return more


def test_what_cannot_be_read_for_a_while_is_read_when_it_can(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("acc=0.25\n")
    passes = Passes(path)
    passes.next(RUNS)
    path.unlink()
    path.symlink_to(path)
    assert not passes.next(RUNS)
    assert not passes.next()
    assert not passes.next(after=TROUBLE_S / 2)
    assert (passes.files.end, passes.files.waiting) == (False, True)
    path.unlink()
    path.write_text("acc=0.25\nacc=0.75\n")
    while passes.next():
        pass
    assert (passes.files.end, passes.files.waiting, passes.files.warning) == (True, False, "")
    assert passes.trial.objective == 0.75


def test_what_cannot_be_read_at_all_is_given_up_after_a_time_and_said(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.symlink_to(path)
    passes = Passes(path)
    # It is the end of the run that the time counts from.
    passes.next(RUNS)
    passes.next(after=2 * TROUBLE_S)
    assert not passes.files.end
    passes.next(after=TROUBLE_S)
    assert (passes.files.end, passes.files.waiting) == (True, False)
    assert passes.files.warning.endswith(f"{path} cannot be read: Too many levels of symbolic links")


def test_that_a_file_was_written_anew_is_said_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m"
    passes = Passes(path)
    for text in ("acc=0.25\n", "acc=0.5\nacc=0.75\n"):
        path.write_text(text)
        passes.next(RUNS)
    while passes.next():
        pass
    assert passes.trial.objective == 0.75
    assert f"{path} was written anew" in passes.files.warning


def test_a_file_that_is_not_to_be_seen_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "m"
    passes = Passes(path, str(tmp_path))
    passes.next()
    assert (passes.files.end, passes.files.waiting) == (False, True)
    path.write_text("acc=0.5\n")
    while passes.next(after=1):
        pass
    assert passes.files.end
    assert passes.trial.objective == 0.5
    never = Passes(tmp_path / "never", str(tmp_path))
    never.next()
    never.next(after=ABSENT_S)
    assert (never.files.end, never.files.warning) == (True, "")


@pytest.mark.parametrize(("run", "root"), [(replace(ENDED, phase=RunPhase.FAILED), "/"), (ENDED, "")])
def test_one_that_nothing_can_come_of_any_more_is_not_waited_for(tmp_path: Path, run: RunStatus, root: str) -> None:
    passes = Passes(tmp_path / "m", root)
    passes.next(run)
    assert passes.files.end
