"""A trial whose run its worker cannot create says why: that there is no free slot would not be true."""

from datetime import timedelta

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.trial import TrialReason, TrialState
from katib.worker.base import RunSpec
from tests.controller.desk import Desk
from tests.e2e.harness import study, until


@pytest.mark.long
def test_it_says_so_until_its_run_is_created_and_the_others_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = desk.worker.create, set[str]()

    def create(run: RunSpec) -> None:
        refused.update(() if refused else {run.trial_id})
        if run.trial_id in refused:
            raise UnavailableError("the quota is used up")
        real(run)

    monkeypatch.setattr(desk.worker, "create", create)
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 4, "max_parallel": 2}))
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 3)
    (waiting,) = desk.storage.unfinished_trials(study_id)
    assert waiting.state is TrialState.PENDING
    assert (waiting.reason, waiting.message) == (TrialReason.WORKER_UNAVAILABLE, "the quota is used up")
    monkeypatch.setattr(desk.worker, "create", real)
    assert desk.finish(study_id).completed == 4
    done = desk.storage.get_trial(waiting.id)
    assert (done.state, done.reason, done.message) == (TrialState.COMPLETED, "", "")


@pytest.mark.long
@pytest.mark.parametrize(("again", "lines"), [(timedelta(minutes=1), 1), (timedelta(0), 6)])
def test_a_study_that_is_held_up_for_a_moment_again_and_again_is_told_of_once_in_a_while(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, again: timedelta, lines: int
) -> None:
    monkeypatch.setattr("katib.manager.controller.doing._WORKER_RETRY_S", 0.0)
    monkeypatch.setattr("katib.manager.controller.doing._SAY_AGAIN", again)
    real, refused = desk.worker.create, set[str]()

    def create(run: RunSpec) -> None:
        if run.trial_id not in refused:
            refused.add(run.trial_id)
            raise UnavailableError("too many requests")
        real(run)

    monkeypatch.setattr(desk.worker, "create", create)
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 6, "max_parallel": 1}))
    assert desk.finish(study_id).completed == 6
    assert len([record for record in caplog.records if "a study is held up" in record.getMessage()]) == lines


@pytest.mark.long
def test_a_study_that_stays_held_up_is_told_of_in_the_end_though_it_was_for_a_moment_just_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("katib.manager.controller.doing._WORKER_RETRY_S", 0.0)
    real, tries = desk.worker.create, list[str]()

    def create(run: RunSpec) -> None:
        tries.append(run.trial_id)
        if len(tries) != 2:
            raise UnavailableError("too many requests")
        real(run)

    def lines() -> int:
        return len([record for record in caplog.records if "a study is held up" in record.getMessage()])

    monkeypatch.setattr(desk.worker, "create", create)
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 2, "max_parallel": 1}))
    until(lambda: desk.work(study_id) or len(tries) > 4)
    assert lines() == 1
    monkeypatch.setattr("katib.manager.controller.doing._SAY_AGAIN", timedelta(0))
    for _ in range(3):
        desk.work(study_id)
    assert lines() == 2
