"""A clock that is set, back or forward, while studies are under way: nothing waits for it, and nothing ends because of it."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.study import Setting, StudyReason, StudyState
from katib.domain.trial import TrialReason, TrialState
from katib.manager.service_ports import StoppingAnswer, StoppingDelta, SuggestionReply, SuggestionRequest
from katib.worker.base import RunSpec
from tests.controller.desk import Desk, running
from tests.e2e.harness import study
from tests.waiting import Value, until

BOTH_WAYS = pytest.mark.parametrize("set_by", [timedelta(hours=-1), timedelta(hours=1)], ids=["back", "forward"])


def work_until(desk: Desk, study_id: str, what: Callable[[], Value | None]) -> Value:
    """Each pass in its time, and when nothing was announced, soon."""

    def look() -> Value | None:
        again = desk.reconciler.reconcile(study_id)
        # No wait of these is longer than a few seconds.
        assert again is None or again < datetime.now(UTC) + desk.set + timedelta(seconds=40)
        return what()

    return until(look, poll=0.01)


@pytest.mark.long
@BOTH_WAYS
def test_a_service_that_was_away_is_asked_again_in_its_time(desk: Desk, set_by: timedelta) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    generate = desk.service.generate

    def away(_algorithm: str, _request: SuggestionRequest) -> "Future[SuggestionReply]":
        failed: Future[SuggestionReply] = Future()
        failed.set_exception(UnavailableError("nobody answers"))
        return failed

    desk.service.generate = away  # type: ignore[method-assign]
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).reason == StudyReason.SUGGESTION_UNAVAILABLE)
    desk.service.generate = generate  # type: ignore[method-assign]
    desk.set = set_by
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).state is StudyState.COMPLETED)


@pytest.mark.long
@BOTH_WAYS
def test_a_service_that_has_nothing_now_does_not_end_the_study_by_a_clock_that_was_set(
    desk: Desk, set_by: timedelta
) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    generate = desk.service.generate
    asked: list[int] = []

    def nothing(_algorithm: str, _request: SuggestionRequest) -> "Future[SuggestionReply]":
        asked.append(1)
        empty: Future[SuggestionReply] = Future()
        empty.set_result(SuggestionReply((), completed=False))
        return empty

    desk.service.generate = nothing  # type: ignore[method-assign]
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).reason == StudyReason.NO_SUGGESTIONS)
    desk.set = set_by
    before = len(asked)
    work_until(desk, study_id, lambda: len(asked) > before + 1)
    assert desk.storage.get_study(study_id).state is StudyState.RUNNING
    desk.service.generate = generate  # type: ignore[method-assign]
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).state is StudyState.COMPLETED)


@pytest.mark.long
@BOTH_WAYS
def test_a_worker_that_could_create_no_run_is_tried_again_in_its_time(desk: Desk, set_by: timedelta) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    create = desk.worker.create

    def away(_run: RunSpec) -> None:
        raise UnavailableError("no process can be started now")

    desk.worker.create = away  # type: ignore[method-assign]
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).reason == StudyReason.WORKER_UNAVAILABLE)
    desk.worker.create = create  # type: ignore[method-assign]
    desk.set = set_by
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).state is StudyState.COMPLETED)


class Rule:
    """An early-stopping service that lets everything run."""

    def __init__(self) -> None:
        self.asked = 0

    def should_stop_delta(self, _rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        self.asked += not delta.more
        none: Future[StoppingAnswer] = Future()
        none.set_result(StoppingAnswer({}, delta.cursor, ("acc",)))
        return none


@pytest.mark.long
@BOTH_WAYS
def test_a_rule_is_asked_at_its_interval_all_the_same(tmp_path: Path, set_by: timedelta) -> None:
    rule = Rule()
    desk = Desk(tmp_path, rules=rule)
    try:
        settings = (Setting("CheckInterval", "1"),)
        study_id = desk.create(
            study(
                script="sleep 600",
                early_stopping="medianstopping",
                early_stopping_settings=settings,
                limits={"max_trials": 1},
            )
        )
        running(desk, study_id)
        work_until(desk, study_id, lambda: rule.asked)
        desk.set = set_by
        before = rule.asked
        work_until(desk, study_id, lambda: rule.asked > before)
    finally:
        desk.close()


@BOTH_WAYS
def test_a_failed_attempt_is_tried_again_in_its_time(desk: Desk, set_by: timedelta) -> None:
    script = '[ "$KATIB_ATTEMPT" = 2 ] || exit 3; echo acc=1'
    study_id = desk.create(study(script=script, limits={"max_trials": 1, "retry_limit": 1}))
    work_until(
        desk,
        study_id,
        lambda: [t for t in desk.trials(study_id) if t.state is TrialState.PENDING and t.attempt == 2],
    )
    desk.set = set_by
    work_until(desk, study_id, lambda: desk.storage.get_study(study_id).state is StudyState.COMPLETED)


class Stopper(Rule):
    """One that wants everything stopped, when it is told to."""

    def __init__(self, trial_id: str = "") -> None:
        super().__init__()
        self.trial_id = trial_id

    def should_stop_delta(self, rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        if not self.trial_id:
            return super().should_stop_delta(rule, delta)
        self.asked += not delta.more
        answer: Future[StoppingAnswer] = Future()
        answer.set_result(StoppingAnswer({self.trial_id: "worse"}, delta.cursor, ("acc",)))
        return answer


@pytest.mark.long
def test_a_stop_that_could_not_be_stored_is_asked_for_again(tmp_path: Path) -> None:
    rule = Stopper()
    desk = Desk(tmp_path, rules=rule)
    try:
        # No metric comes that would have the rule asked.
        study_id = desk.create(study(script="sleep 600", early_stopping="medianstopping", limits={"max_trials": 1}))
        (trial,) = running(desk, study_id)
        # A manager that has taken over does not know what its predecessor has asked.
        work_until(desk, study_id, lambda: rule.asked)
        rule.trial_id = trial.id
        desk.reconciler.forget(study_id)

        lost = []

        def away(*arguments: object, **named: object) -> object:
            lost.append(arguments)
            raise UnavailableError("the database is away")

        apply = desk.storage.apply
        desk.storage.apply = away  # type: ignore[method-assign]
        until(lambda: _pass_fails(desk, study_id) or None)
        desk.storage.apply = apply  # type: ignore[method-assign]
        assert lost
        desk.finish(study_id)
        assert [t.reason for t in desk.trials(study_id)] == [TrialReason.EARLY_STOPPED]
    finally:
        desk.close()


def _pass_fails(desk: Desk, study_id: str) -> bool:
    try:
        desk.work(study_id)
    except UnavailableError:
        return True
    return False
