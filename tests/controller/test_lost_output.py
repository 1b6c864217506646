"""A run whose output cannot be read any more: it costs that run its values, and the others of its study nothing."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.names import run_name
from katib.domain.study import Limits
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.controller import output as taking
from katib.worker.base import Output, RunPhase
from katib.worker.local import output as reading
from tests.controller import planning
from tests.controller.desk import Desk, running
from tests.e2e.harness import study, until

# One of the trials does something in its folder when it is told to, and ends when it is told to.
SCRIPT = """
echo acc=0.1
if mkdir {folder}/first; then
    while [ ! -e {folder}/act ]; do sleep 0.02; done
    {act}
    touch {folder}/acted
    while [ ! -e {folder}/go ]; do sleep 0.02; done
fi
{last}
"""


def begin(desk: Desk, folder: Path, *, act: str = "", last: str = "echo acc=0.9") -> tuple[str, Trial]:
    script = SCRIPT.format(folder=folder, act=act, last=last)
    study_id = desk.create(study(script=script, limits={"max_trials": 3, "max_parallel": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: (folder / "first").exists())
    limits = Limits(max_trials=3, max_parallel=2)
    desk.storage.update_study(study_id, lambda s: replace(s, spec=replace(s.spec, limits=limits)))
    return study_id, trial


@pytest.mark.parametrize("make", ["mkdir", "mkfifo"])
def test_a_folder_or_a_pipe_in_the_place_of_its_output_is_an_output_that_was_lost(
    desk: Desk, tmp_path: Path, make: str
) -> None:
    study_id, trial = begin(desk, tmp_path, act=f"rm ../output; {make} ../output")
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).objective)
    (tmp_path / "act").touch()
    until(lambda: (tmp_path / "acted").exists())
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 2)
    (tmp_path / "go").touch()
    assert desk.finish(study_id).completed == 3
    found = desk.storage.get_trial(trial.id)
    assert (found.state, found.objective, found.message) == (TrialState.COMPLETED, 0.1, taking.LOST)


def test_where_all_of_it_was_lost_there_is_no_value_for_that(desk: Desk, tmp_path: Path) -> None:
    study_id, trial = begin(desk, tmp_path, act="rm ../output; mkdir ../output")
    (tmp_path / "act").touch()
    until(lambda: (tmp_path / "acted").exists())
    (tmp_path / "go").touch()
    desk.finish(study_id)
    found = desk.storage.get_trial(trial.id)
    assert (found.state, found.reason) == (TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert found.message == f"it ended well but there is no value of acc; {taking.LOST}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo acc=1", f"it ended well but there is no value of acc; {taking.LOST} (its node is gone)"),
        ("exit 3", "exited with code 3; see the end of its output: (its node is gone)"),
    ],
)
def test_what_made_its_worker_lose_it_is_said_and_it_is_not_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    def output(_study_id: str, _name: str, cursor: str, _max_bytes: int) -> Output:
        return Output([], cursor, end=True, truncated=True, cause="its node is gone")

    def log(*_: object) -> NoReturn:
        raise AssertionError("it is gone")

    monkeypatch.setattr(desk.worker, "output", output)
    monkeypatch.setattr(desk.worker, "log", log)
    study_id = desk.create(study(script=script, limits={"max_trials": 1, "max_parallel": 1}))
    desk.finish(study_id)
    (found,) = desk.trials(study_id)
    assert (found.state, found.message) == (TrialState.ERROR, message)


class Disk:
    """On which one run's output cannot be read for a while."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bad = True
        self._inode = path.stat().st_ino
        self._read: Callable[..., Output] = reading.read_descriptor
        monkeypatch.setattr(reading, "read_descriptor", self.read)

    def read(self, descriptor: int | None, *arguments: object, **options: object) -> Output:
        if self.bad and descriptor is not None and os.fstat(descriptor).st_ino == self._inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._read(descriptor, *arguments, **options)


@pytest.mark.long
@pytest.mark.parametrize("last", ["echo acc=0.9", "echo acc=0.9; exit 3"], ids=["ended well", "failed"])
def test_one_that_cannot_be_read_is_given_up_a_while_after_the_run_s_end(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(taking, "TROUBLE_S", 1.0)
    study_id, trial = begin(desk, tmp_path, last=last)
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).objective)
    (path,) = tmp_path.glob(f"runs/{study_id}/*/output")
    Disk(path, monkeypatch)
    for name in ("act", "go"):
        (tmp_path / name).touch()
    until(lambda: all(run.phase.ended for run in desk.worker.list(study_id)))
    desk.work(study_id)
    assert not desk.storage.get_trial(trial.id).state.finished
    assert desk.finish(study_id).finished_trials == 3
    found = desk.storage.get_trial(trial.id)
    if "exit" in last:
        assert (found.state, found.reason) == (TrialState.ERROR, TrialReason.EXIT_CODE)
    else:
        assert (found.state, found.objective) == (TrialState.COMPLETED, 0.1)
        assert found.message == f"{taking.LOST} (its output cannot be read: Input/output error)"


@pytest.mark.long
def test_one_that_cannot_be_read_for_a_while_is_read_when_it_can(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id, trial = begin(desk, tmp_path)
    (path,) = tmp_path.glob(f"runs/{study_id}/*/output")
    disk = Disk(path, monkeypatch)
    for name in ("act", "go"):
        (tmp_path / name).touch()
    until(lambda: all(run.phase.ended for run in desk.worker.list(study_id)))
    desk.work(study_id, 3)
    disk.bad = False
    desk.finish(study_id)
    found = desk.storage.get_trial(trial.id)
    assert (found.state, found.objective, found.message) == (TrialState.COMPLETED, 0.9, "")


@pytest.mark.long
def test_one_that_was_stopped_does_not_go_on_for_all_that_it_has_printed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "STOPPED_BYTES", 100_000)
    last_words = "head -c 2000000 /dev/zero | tr '\\0' x | fold; echo; echo acc=0.2; exit 3"
    study_id, trial = begin(desk, tmp_path, act=f'trap "{last_words}" TERM')
    (tmp_path / "act").touch()
    until(lambda: (tmp_path / "acted").exists())
    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "stopped by a user")
    desk.storage.apply(study_id, StudyChanges(stops=(stop,)))
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).state.finished)
    found = desk.storage.get_trial(trial.id)
    assert (found.state, found.objective) == (TrialState.KILLED, 0.2)
    assert found.message == f"stopped by a user; {taking.LOST}"


@pytest.mark.long
def test_one_that_the_worker_cannot_read_now_holds_up_no_other(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id, trial = begin(desk, tmp_path)
    read, away = desk.worker.output, {run_name(trial.id, 1)}

    def output(study_id: str, name: str, *arguments: object) -> Output:
        if name in away:
            raise UnavailableError("the node does not answer")
        return read(study_id, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.worker, "output", output)
    for name in ("act", "go"):
        (tmp_path / name).touch()
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 2)
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).message, poll=0.05)
    waiting = desk.storage.get_trial(trial.id)
    assert waiting.message == "it has ended, and its output cannot be read now: the node does not answer"
    assert not waiting.state.finished
    away.clear()
    assert desk.finish(study_id).completed == 3
    assert desk.storage.get_trial(trial.id).objective == 0.9


@pytest.mark.long
def test_one_that_cannot_be_read_keeps_nobody_from_stopping_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "TROUBLE_S", 1.0)
    study_id, trial = begin(desk, tmp_path)

    def output(*_: object) -> NoReturn:
        raise UnavailableError("the node does not answer")

    monkeypatch.setattr(desk.worker, "output", output)
    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "stopped by a user")
    desk.storage.apply(study_id, StudyChanges(stops=(stop,)))
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).state.finished)
    found = desk.storage.get_trial(trial.id)
    assert (found.state, found.reason) == (TrialState.KILLED, TrialReason.STOPPED_BY_USER)
    assert found.message.startswith("stopped by a user; ")


def test_of_many_that_cannot_be_read_one_is_tried_at_a_time_and_each_has_its_turn() -> None:
    asked: list[str] = []

    class Silent:
        def output(self, _study_id: str, name: str, *_: object) -> NoReturn:
            asked.append(name)
            raise UnavailableError("the node does not answer")

    made = planning.study()
    trials = [planning.trial(number, TrialState.RUNNING) for number in range(1, 5)]
    runs = {r.name: r for r in (planning.run(t, RunPhase.SUCCEEDED) for t in trials)}
    readings: dict[str, taking.Reading] = {}
    passes = []
    for _ in range(9):
        asked.clear()
        taken = taking.take_in(Silent(), made, trials, runs, readings)  # type: ignore[arg-type]
        passes.append(list(asked))
        assert {name for name, heard in taken.heard.items() if heard.unread} == set(runs)
        assert not any(heard.drained for heard in taken.heard.values())
    assert passes == [list(runs), *([name] for name in runs), *([name] for name in runs)]


@pytest.mark.parametrize(
    ("last", "reason", "said"),
    [
        ("exit 3", TrialReason.EXIT_CODE, "(the node does not answer)"),
        ("", TrialReason.METRICS_UNAVAILABLE, "no value of acc that was read; the node does not answer"),
    ],
)
def test_no_trial_waits_for_words_of_its_log_that_cannot_be_had(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, last: str, reason: str, said: str
) -> None:
    def log(*_: object) -> NoReturn:
        raise UnavailableError("the node does not answer")

    monkeypatch.setattr(desk.worker, "log", log)
    study_id = desk.create(study(script=f"echo bye; {last}", limits={"max_trials": 1, "max_parallel": 1}))
    desk.finish(study_id)
    (found,) = desk.trials(study_id)
    assert (found.state, found.reason) == (TrialState.ERROR, reason)
    assert said in found.message
    assert "printed nothing" not in found.message
