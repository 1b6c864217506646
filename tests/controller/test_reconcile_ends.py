"""Passes in which something ends, or in the middle of which a user wants something else."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.metrics import Observation
from katib.domain.names import new_id, run_name
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Intent, Limits, Setting, StudyReason, StudyState
from katib.domain.trial import NewTrial, Trial, TrialReason, TrialState
from katib.manager.changes import Applied, StopRequest, StudyChanges
from katib.manager.service_ports import (
    StoppingAnswer,
    StoppingDelta,
)
from katib.worker.base import RunSpec, RunStatus
from tests.controller.desk import ME, Desk, running
from tests.e2e.harness import study, until


def test_a_pause_that_comes_in_the_middle_of_a_pass_stays(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))

    def pause() -> None:
        desk.storage.update_study(study_id, lambda s: replace(s, state=StudyState.PAUSED, reason="PausedByUser"))

    desk.reconciler.note_failure(study_id, ValueError("x"))
    desk.storage.meanwhile = pause
    until(lambda: desk.work(study_id) or desk.storage.meanwhile is None, poll=0.01)
    desk.work(study_id, 3)
    assert desk.storage.get_study(study_id).state is StudyState.PAUSED


def ending(desk: Desk, limits: dict[str, int]) -> str:
    """A study whose next pass ends it."""
    study_id = desk.create(study(limits=limits))
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 1, poll=0.01)
    return study_id


def test_a_limit_raised_in_the_middle_of_the_last_pass_lets_the_study_go_on(desk: Desk) -> None:
    study_id = ending(desk, {"max_trials": 1})

    def more() -> None:
        desk.storage.update_study(
            study_id, lambda s: replace(s, spec=replace(s.spec, limits=Limits(max_trials=3, max_parallel=2)))
        )

    desk.storage.meanwhile = more
    assert desk.finish(study_id).completed == 3


def test_a_study_deleted_in_the_middle_of_its_last_pass_is_deleted(desk: Desk) -> None:
    study_id = ending(desk, {"max_trials": 1})
    desk.storage.meanwhile = lambda: desk.storage.update_study(study_id, lambda s: replace(s, intent=Intent.DELETE))
    until(lambda: desk.work(study_id) or not desk.storage.driven_studies(ME), poll=0.01)
    desk.made.clear()
    with pytest.raises(NotFoundError):
        desk.storage.get_study(study_id)


def test_a_value_reported_as_the_last_act_of_a_run_counts(desk: Desk) -> None:
    study_id = desk.create(study(script="exit 0", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    runs = desk.worker.list

    def report_first(asked: str) -> Sequence[RunStatus]:
        now = datetime.now(UTC)
        observation = Observation("acc", 0.8, now, 1, "report:", 1)
        desk.storage.report(trial.id, 0, [observation])
        return runs(asked)

    desk.worker.list = report_first  # type: ignore[method-assign]
    desk.work(study_id)
    desk.worker.list = runs  # type: ignore[method-assign]
    desk.finish(study_id)
    assert [(t.state, t.objective) for t in desk.trials(study_id)] == [(TrialState.COMPLETED, 0.8)]


def test_a_rule_that_is_due_with_nothing_to_ask_about_does_not_wake_the_study(desk: Desk) -> None:
    rule = {"early_stopping": "medianstopping", "early_stopping_settings": (Setting("CheckInterval", "1"),)}
    study_id = desk.create(study(algorithm="", **rule))
    assert desk.reconciler.reconcile(study_id) is None
    desk.work(study_id)
    assert desk.reconciler.reconcile(study_id) is None


def client_trial(desk: Desk, **limits: object) -> tuple[str, Trial]:
    study_id = desk.create(study(algorithm="", limits=limits))
    new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),), client_id="me")
    began = datetime.now(UTC) - timedelta(minutes=1)
    (trial,) = desk.storage.add_trials(study_id, 0, [new], began, running=True)
    return study_id, trial


def test_a_trial_of_a_client_that_is_stopped_is_killed(desk: Desk) -> None:
    study_id, trial = client_trial(desk)
    desk.work(study_id)
    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by a user")
    desk.storage.apply(study_id, StudyChanges(stops=(stop,)))
    desk.work(study_id)
    assert desk.storage.get_trial(trial.id).state is TrialState.KILLED


def test_a_trial_of_a_client_that_died_ends_at_its_time_out(desk: Desk) -> None:
    study_id, trial = client_trial(desk, trial_timeout=timedelta(seconds=30))
    desk.work(study_id)
    ended = desk.storage.get_trial(trial.id)
    assert (ended.state, ended.reason) == (TrialState.ERROR, TrialReason.DEADLINE_EXCEEDED)


@pytest.mark.long
def test_a_trial_whose_end_the_database_has_forgotten_ends_as_its_run_did(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="echo acc=0.7", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(tmp_path / "katib.db")) as database, closing(sqlite3.connect(older)) as copy:
        database.backup(copy)
    desk.finish(study_id)
    desk.storage.close()
    for path in tmp_path.glob("katib.db*"):
        path.unlink()
    older.rename(tmp_path / "katib.db")
    restored = Desk(tmp_path)
    restored.made = [study_id]
    assert restored.storage.get_trial(trial.id).state is TrialState.RUNNING
    assert restored.finish(study_id).reason == StudyReason.MAX_TRIALS
    assert restored.storage.get_trial(trial.id).objective == 0.7
    restored.close()


def test_a_trial_stopped_in_the_middle_of_the_pass_that_would_try_it_again_is_killed(
    desk: Desk, tmp_path: Path
) -> None:
    script = f"echo begun >> {tmp_path}/begun; exit 3"
    study_id = desk.create(study(script=script, limits={"max_trials": 1, "retry_limit": 5}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by a user")
    desk.storage.meanwhile = lambda: desk.storage.apply(study_id, StudyChanges(stops=(stop,)))
    desk.finish(study_id)
    ended = desk.storage.get_trial(trial.id)
    assert (ended.state, ended.reason, ended.attempt) == (TrialState.KILLED, TrialReason.STOPPED_BY_USER, 1)
    assert (tmp_path / "begun").read_text() == "begun\n"


def test_a_run_that_is_created_late_for_a_finished_study_is_stopped_and_let_go(desk: Desk) -> None:
    """By a manager that was frozen while it created the run, and thawed when the study was over."""
    study_id = desk.create(study(limits={"max_trials": 1}))
    desk.finish(study_id)
    trial_id = new_id()
    late = RunSpec(run_name(trial_id, 1), study_id, trial_id, 1, ("sleep", "600"), (), study())
    desk.worker.create(late)

    def gone() -> bool:
        desk.work(study_id)
        return not desk.worker.list(study_id)

    until(gone)


def test_a_trial_whose_output_was_lost_says_so_beside_what_was_read_of_it(desk: Desk, tmp_path: Path) -> None:
    script = f"echo acc=0.1; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    study_id = desk.create(study(script=script, limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).objective)
    (output,) = tmp_path.glob(f"runs/{study_id}/*/output")
    os.truncate(output, 0)
    (tmp_path / "go").touch()
    desk.finish(study_id)
    ended = desk.storage.get_trial(trial.id)
    assert (ended.state, ended.objective) == (TrialState.COMPLETED, 0.1)
    assert "some of its output was lost" in ended.message


class Rule:
    """An early-stopping service in this process that answers its first question when it is let, and stops nothing later."""

    def __init__(self) -> None:
        self.answer: Future[Mapping[str, str]] = Future()
        self.asked = False

    def should_stop_delta(self, _rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        """At once that it is told, and the answer when it is let."""
        future: Future[StoppingAnswer] = Future()
        if delta.more:
            future.set_result(StoppingAnswer(None, delta.cursor, ("acc",)))
        elif self.asked:
            future.set_result(StoppingAnswer({}, delta.cursor, ("acc",)))
        else:
            self.asked = True
            self.answer.add_done_callback(
                lambda it: future.set_result(StoppingAnswer(it.result(), delta.cursor, ("acc",)))
            )
        return future


def test_a_trial_that_ends_as_its_rule_would_stop_it_is_let_go_in_the_same_pass(tmp_path: Path) -> None:
    rule = Rule()
    desk = Desk(tmp_path, rules=rule)
    try:
        script = f"echo acc=1; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
        study_id = desk.create(study(script=script, early_stopping="medianstopping", limits={"max_trials": 1}))
        (trial,) = running(desk, study_id)
        until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).objective)
        (tmp_path / "go").touch()
        until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
        rule.answer.set_result({trial.id: "it is behind"})
        until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).state.finished, poll=0)
        assert desk.storage.get_trial(trial.id).state is TrialState.COMPLETED
        assert not desk.worker.list(study_id)
    finally:
        desk.close()


@pytest.mark.long
def test_a_verdict_on_an_attempt_that_has_failed_meanwhile_does_not_stop_the_next(tmp_path: Path) -> None:
    rule = Rule()
    desk = Desk(tmp_path, rules=rule)
    try:
        script = f"echo acc=0; if [ $KATIB_ATTEMPT = 2 ]; then touch {tmp_path}/second; fi; "
        script += (
            f"while [ ! -e {tmp_path}/go$KATIB_ATTEMPT ]; do sleep 0.05; done; echo acc=1; exit $((KATIB_ATTEMPT % 2))"
        )
        limits = {"max_trials": 1, "retry_limit": 1}
        study_id = desk.create(study(script=script, early_stopping="medianstopping", limits=limits))
        (trial,) = running(desk, study_id)
        until(lambda: desk.work(study_id) or rule.asked)
        (tmp_path / "go1").touch()
        until(lambda: desk.work(study_id) or (tmp_path / "second").exists())
        rule.answer.set_result({trial.id: "the first attempt is behind"})
        desk.work(study_id, 5)
        (tmp_path / "go2").touch()
        until(lambda: desk.work(study_id) or desk.storage.get_trial(trial.id).state.finished)
        ended = desk.storage.get_trial(trial.id)
        assert (ended.state, ended.attempt, ended.objective) == (TrialState.COMPLETED, 2, 1.0)
    finally:
        desk.close()


@pytest.mark.long
def test_a_request_that_came_just_before_the_same_one_of_a_pass_is_seen_by_the_next_pass(desk: Desk) -> None:
    limits = {"max_trials": 1, "trial_timeout": timedelta(seconds=0.5)}
    study_id = desk.create(study(script="trap '' TERM; sleep 600", limits=limits))
    (trial,) = running(desk, study_id)
    asked: list[StopRequest] = []
    apply = desk.storage.apply

    def noted(asked_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        asked.extend(changes.stops)
        return apply(asked_id, changes, manager_id)

    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by a user")
    desk.storage.meanwhile = lambda: apply(study_id, StudyChanges(stops=(stop,)))
    desk.storage.apply = noted  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or asked, poll=0.01)
    desk.work(study_id, 3)
    assert [request.reason for request in asked] == [TrialReason.DEADLINE_EXCEEDED]
    assert desk.storage.get_trial(trial.id).stop_reason == TrialReason.STOPPED_BY_USER


@pytest.mark.long
@pytest.mark.parametrize("act", ["stop", "fence"])
def test_a_worker_that_is_away_when_a_run_is_to_end_is_named_as_what_keeps_the_trial(desk: Desk, act: str) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    if act == "fence":
        new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),))
        (trial,) = desk.storage.add_trials(study_id, 0, [new], datetime.now(UTC))
    else:
        (trial,) = running(desk, study_id)
    stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by a user")
    desk.storage.apply(study_id, StudyChanges(stops=(stop,)))

    def away(_study_id: str, _run: str) -> None:
        raise UnavailableError("the cluster does not answer")

    real = desk.worker.stop
    desk.worker.stop = away  # type: ignore[method-assign]
    desk.work(study_id, 2)
    noted = desk.storage.get_trial(trial.id)
    desk.worker.stop = real  # type: ignore[method-assign]
    assert (noted.reason, noted.message) == (
        TrialReason.STOPPING,
        "by a user; it cannot be ended yet, which is tried again: the cluster does not answer",
    )
    assert desk.finish(study_id).finished_trials == 1
