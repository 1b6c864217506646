"""A run that its worker cannot end, as when the cluster's rules forbid it: it holds up no other, and its trial says why."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.names import run_name
from katib.domain.study import Intent, StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyChanges
from katib.worker.base import Output
from tests.controller.desk import Desk, running
from tests.e2e.harness import study, until

SAID = "it cannot be ended yet, which is tried again: hands off"


class Held:
    """Runs that the desk's worker cannot end, or not let go."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: set[str] = set()
        self.asked: list[str] = []
        self.after_s = 0.0
        for name in ("stop", "delete"):
            monkeypatch.setattr(desk.worker, name, self._held(getattr(desk.worker, name)))

    def _held(self, real):  # type: ignore[no-untyped-def]
        def method(study_id: str, run: str) -> None:
            if run in self.runs:
                self.asked.append(run)
                time.sleep(self.after_s)
                raise UnavailableError("hands off")
            real(study_id, run)

        return method


@pytest.fixture
def held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    it = Held(desk, monkeypatch)
    yield it
    it.runs.clear()


def begin(desk: Desk, count: int = 2, script: str = "echo acc=0.1; sleep 600") -> tuple[str, list[Trial]]:
    study_id = desk.create(study(script=script, limits={"max_trials": 6, "max_parallel": count}))
    return study_id, running(desk, study_id, count)


def stop(desk: Desk, study_id: str, *trials: Trial) -> None:
    stops = tuple(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "stopped by a user") for trial in trials)
    desk.storage.apply(study_id, StudyChanges(stops=stops))


def name(trial: Trial) -> str:
    return run_name(trial.id, trial.attempt)


def passes_of_a_second(desk: Desk, study_id: str) -> int:
    """How many there are where each is made when the one before it wants it."""
    end, passes = time.monotonic() + 1.0, 0
    while (left := end - time.monotonic()) > 0:
        again = desk.reconciler.reconcile(study_id)
        passes += 1
        pause = left if again is None else (again - desk.set - datetime.now(UTC)).total_seconds()
        time.sleep(min(max(pause, 0.0), left))
    return passes


def test_a_run_that_cannot_be_ended_says_why_and_the_others_of_its_study_end_and_begin(desk: Desk, held: Held) -> None:
    study_id, (first, second) = begin(desk)
    held.runs.add(name(first))
    stop(desk, study_id, first, second)
    until(lambda: desk.work(study_id) or desk.storage.get_trial(second.id).state is TrialState.KILLED)
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).suggested == 3)
    found = desk.storage.get_trial(first.id)
    assert (found.state, found.reason) == (TrialState.RUNNING, TrialReason.STOPPING)
    assert found.message == f"stopped by a user; {SAID}"
    assert desk.storage.get_study(study_id).reason == StudyReason.RUNNING
    held.runs.clear()
    until(lambda: desk.work(study_id) or desk.storage.get_trial(first.id).state is TrialState.KILLED)
    assert desk.storage.get_trial(first.id).message == "stopped by a user"


def test_a_study_that_ends_ends_all_that_it_can_and_is_stopping_until_then(desk: Desk, held: Held) -> None:
    study_id, (first, second) = begin(desk)
    held.runs.add(name(first))
    desk.storage.update_study(study_id, lambda s: replace(s, intent=Intent.STOP))
    until(lambda: desk.work(study_id) or desk.storage.get_trial(second.id).state is TrialState.KILLED)
    found = desk.storage.get_study(study_id)
    assert (found.state, found.reason) == (StudyState.RUNNING, StudyReason.STOPPING)
    assert found.message == f"run {name(first)} cannot be ended yet: hands off; stopped by a user"
    assert SAID in desk.storage.get_trial(first.id).message
    held.runs.clear()
    assert desk.finish(study_id).state is StudyState.STOPPED


def test_a_trial_whose_run_may_still_begin_is_not_over(desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(_: object) -> NoReturn:
        raise UnavailableError("no answer in time")

    monkeypatch.setattr(desk.worker, "create", create)
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1, "max_parallel": 1}))
    until(lambda: desk.work(study_id) or desk.storage.unfinished_trials(study_id))
    (waiting,) = desk.storage.unfinished_trials(study_id)
    assert waiting.state is TrialState.PENDING
    held.runs.add(name(waiting))
    stop(desk, study_id, waiting)
    until(lambda: desk.work(study_id) or SAID in desk.storage.get_trial(waiting.id).message)
    assert desk.storage.get_trial(waiting.id).state is TrialState.PENDING
    held.runs.clear()
    until(lambda: desk.work(study_id) or desk.storage.get_trial(waiting.id).state is TrialState.KILLED)


@pytest.mark.long
@pytest.mark.parametrize(
    ("trials", "whole"), [(3, True), (1, True), (3, False)], ids=["its study ends", "it is the last", "others follow"]
)
def test_until_then_it_is_looked_at_from_time_to_time_and_its_study_says_one_thing(
    desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch, trials: int, whole: bool
) -> None:
    def create(_: object) -> NoReturn:
        raise UnavailableError("no answer in time")

    monkeypatch.setattr(desk.worker, "create", create)
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": trials, "max_parallel": 1}))
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == StudyReason.WORKER_UNAVAILABLE)
    (waiting,) = desk.storage.unfinished_trials(study_id)
    held.runs.add(name(waiting))
    if whole:
        desk.storage.update_study(study_id, lambda s: replace(s, intent=Intent.STOP))
    else:
        stop(desk, study_id, waiting)
    until(lambda: desk.work(study_id) or SAID in desk.storage.get_trial(waiting.id).message)
    desk.work(study_id, 2)
    before = desk.storage.get_study(study_id)
    assert passes_of_a_second(desk, study_id) < 7
    after = desk.storage.get_study(study_id)
    assert (after.reason, after.message) == (before.reason, before.message)
    held.runs.clear()
    desk.woken.clear()
    until(lambda: desk.work(study_id) or desk.storage.get_trial(waiting.id).state is TrialState.KILLED)
    assert desk.woken


@pytest.mark.long
@pytest.mark.parametrize("stopped", [True, False])
def test_a_run_that_is_not_to_be_seen_and_cannot_be_ended_is_what_its_trial_waits_for(
    desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    study_id, (first, _) = begin(desk)
    held.runs.add(name(first))
    with monkeypatch.context() as patch:
        runs, output = desk.worker.list, desk.worker.output

        def not_there(study_id: str, run: str, cursor: str, most: int) -> Output:
            if run in held.runs:
                raise NotFoundError("it is not there")
            return output(study_id, run, cursor, most)

        patch.setattr(desk.worker, "list", lambda asked: [run for run in runs(asked) if run.name not in held.runs])
        patch.setattr(desk.worker, "output", not_there)
        if stopped:
            stop(desk, study_id, first)
        desk.set = timedelta(minutes=1)
        desk.work(study_id, 2)
        assert passes_of_a_second(desk, study_id) < 7
    said = "stopped by a user" if stopped else "its worker knows no run of it"
    assert desk.storage.get_trial(first.id).message == f"{said}; {SAID}"
    held.runs.clear()
    until(lambda: desk.work(study_id) or SAID not in desk.storage.get_trial(first.id).message)


def test_a_run_of_which_nobody_can_say_whether_it_is_there_goes_on_and_so_do_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the manager may list Pods and not get one."""
    study_id, (first, second) = begin(desk)
    with monkeypatch.context() as patch:
        runs, output = desk.worker.list, desk.worker.output

        def forbidden(study_id: str, run: str, cursor: str, most: int) -> Output:
            if run == name(first):
                raise UnavailableError("grant the verb get on pods")
            return output(study_id, run, cursor, most)

        patch.setattr(desk.worker, "list", lambda asked: [run for run in runs(asked) if run.name != name(first)])
        patch.setattr(desk.worker, "output", forbidden)
        desk.set = timedelta(minutes=1)
        stop(desk, study_id, second)
        until(lambda: desk.work(study_id) or desk.storage.get_trial(second.id).state is TrialState.KILLED)
        found = desk.storage.get_trial(first.id)
        assert (found.state, found.reason) == (TrialState.RUNNING, TrialReason.WORKER_UNAVAILABLE)
        assert found.message.endswith("cannot be seen now, which is tried again: grant the verb get on pods")
        assert passes_of_a_second(desk, study_id) < 7
    until(lambda: desk.work(study_id) or not desk.storage.get_trial(first.id).message)
    assert desk.storage.get_trial(first.id).state is TrialState.RUNNING


@pytest.mark.long
def test_it_is_tried_again_ever_more_rarely(desk: Desk, held: Held) -> None:
    study_id, (first, _) = begin(desk)
    held.runs.add(name(first))
    stop(desk, study_id, first)
    until_then = time.monotonic() + 2.5
    while time.monotonic() < until_then:
        desk.work(study_id)
        time.sleep(0.02)
    # At once, after a second, and two seconds after that.
    assert 2 <= len(held.asked) <= 3


@pytest.mark.long
def test_many_that_cannot_be_ended_do_not_make_a_pass_long_and_each_has_its_turn(desk: Desk, held: Held) -> None:
    study_id, trials = begin(desk, 5)
    held.after_s = 0.6
    held.runs.update(map(name, trials))
    stop(desk, study_id, *trials)
    began = time.monotonic()
    desk.work(study_id)
    assert time.monotonic() - began < 2.0
    assert len(held.asked) == 2
    until(lambda: desk.work(study_id) or set(held.asked) == held.runs)
    held.after_s = 0.0


def test_one_that_cannot_be_let_go_keeps_no_other_and_is_tried_again(desk: Desk, held: Held) -> None:
    study_id, (first, second) = begin(desk, 2, "echo acc=0.1")
    held.runs.add(name(first))
    finished = desk.finish(study_id)
    assert finished.completed == 6
    assert [run.name for run in desk.worker.list(study_id)] == [name(first)]
    held.runs.clear()
    desk.work(study_id)
    assert not desk.worker.list(study_id)
    assert desk.storage.get_trial(second.id).state is TrialState.COMPLETED


def test_a_finished_study_is_rid_of_all_that_it_can(desk: Desk, held: Held, tmp_path: Path) -> None:
    study_id, trials = begin(desk, 2, "echo acc=0.1")
    held.runs.update(map(name, trials))
    desk.finish(study_id)
    held.runs.discard(name(trials[1]))
    with pytest.raises(UnavailableError, match="hands off"):
        desk.work(study_id)
    assert [run.name for run in desk.worker.list(study_id)] == [name(trials[0])]
