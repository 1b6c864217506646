"""Passes over a real database and real processes; only what cannot be made to fail on demand is made to fail by hand."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.names import new_id, run_name
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Intent, Limits, Setting, Study, StudyReason, StudySpec, StudyState
from katib.domain.trial import NewTrial, Trial, TrialReason, TrialState
from katib.manager.changes import Applied, StopRequest, StudyChanges
from katib.manager.controller.reconcile import Reconciler
from katib.manager.metrics import Metrics
from katib.manager.ports import Storage
from katib.manager.service_ports import (
    History,
    StoppingAnswer,
    StoppingDelta,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
)
from katib.manager.storage.open import open_storage
from katib.worker.base import RunSpec, RunStatus
from katib.worker.local.worker import LocalWorker
from tests.e2e.harness import study, until

ME, OTHER = "a" * 16, "b" * 16


class Service:
    """A suggestion service in this process: as many as there is room for, once it is let."""

    def __init__(self) -> None:
        self.held: list[tuple[SuggestionRequest, Future[SuggestionReply]]] = []
        self.hold = False
        self.last = False

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        done: Future[History] = Future()
        done.set_result(History.FINALS)
        return done

    def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        reply: Future[SuggestionReply] = Future()
        self.held.append((request, reply))
        if not self.hold:
            self.release()
        return reply

    def release(self) -> None:
        for request, reply in self.held:
            limits = request.spec.limits
            count = min((limits.max_parallel or 1) - request.unfinished_count, 10)
            suggestion = Suggestion((Parameter("x", ParameterType.DOUBLE, "0.5"),))
            reply.set_result(SuggestionReply((suggestion,) * count, completed=self.last))
        self.held.clear()

    def stop(self, _algorithm: str, _study_id: str) -> None: ...


class Failing:
    """A storage whose next `apply` finds the database away: before it is done, or after."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.before = self.after = False
        self.meanwhile: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def apply(self, study_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        if self.before:
            self.before = False
            raise UnavailableError("the database is away")
        if self.meanwhile is not None:
            # Somebody else, between what the pass has read and what it writes.
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        applied = self._storage.apply(study_id, changes, manager_id)
        if self.after:
            self.after = False
            raise UnavailableError("the connection was lost while it committed")
        return applied


class Desk:
    """One manager's reconciler, its storage and its worker."""

    def __init__(self, folder: Path, manager_id: str = ME, rules: object = None) -> None:
        self.storage = Failing(open_storage(f"sqlite:///{folder}/katib.db"))
        self.worker = LocalWorker(folder, stop_grace_s=1.0)
        self.service = Service()
        self.manager_id = manager_id
        self.woken: list[str] = []
        self.made: list[str] = []
        self.lease = True
        # By how much the clock has been set.
        self.set = timedelta()
        self.term = 1
        self.reconciler = Reconciler(
            manager_id,
            self.storage,
            self.service,
            rules,  # type: ignore[arg-type]
            self.worker,
            self.woken.append,
            Metrics(),
            clock=lambda: datetime.now(UTC) + self.set,
            term=lambda: self.term if self.lease else None,
        )

    def create(self, spec: StudySpec) -> str:
        made = Study(
            id=new_id(),
            spec=spec,
            state=StudyState.RUNNING,
            created_at=datetime.now(UTC),
            revision=1,
            manager=self.manager_id,
        )
        self.storage.create_study(made)
        self.made.append(made.id)
        return made.id

    def trials(self, study_id: str) -> Sequence[Trial]:
        return (*self.storage.finished_trials(study_id), *self.storage.unfinished_trials(study_id))

    def work(self, study_id: str, passes: int = 1) -> None:
        for _ in range(passes):
            self.reconciler.reconcile(study_id)

    def finish(self, study_id: str) -> Study:
        def look() -> Study | None:
            self.work(study_id)
            found: Study = self.storage.get_study(study_id)
            return found if found.state.finished else None

        return until(look, poll=0.01)

    def close(self) -> None:
        """Nothing of the test goes on behind it."""
        for study_id in self.made:
            for run in self.worker.list(study_id):
                self.worker.stop(study_id, run.name)
            until(lambda: all(run.phase.ended for run in self.worker.list(study_id)))  # noqa: B023 - called at once
        self.worker.close()
        self.storage.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    it = Desk(tmp_path)
    yield it
    it.close()


def running(desk: Desk, study_id: str, count: int = 1) -> list[Trial]:
    def look() -> list[Trial] | None:
        desk.work(study_id)
        found = [t for t in desk.storage.unfinished_trials(study_id) if t.state is TrialState.RUNNING]
        return found if len(found) == count else None

    return until(look, poll=0.01)


def test_a_change_made_through_another_connection_is_seen_by_the_next_pass(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    # From here on the pass could believe what it remembers.
    desk.work(study_id, 3)
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    other.apply(study_id, StudyChanges(stops=(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by another"),)))
    other.close()
    desk.finish(study_id)
    assert [(t.state, t.reason) for t in desk.trials(study_id)] == [(TrialState.KILLED, TrialReason.STOPPED_BY_USER)]


def test_a_pass_that_could_not_store_what_it_read_reads_it_again(desk: Desk) -> None:
    study_id = desk.create(study(script="echo acc=0.1; echo acc=0.7", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.storage.before = True
    with pytest.raises(UnavailableError):
        desk.work(study_id)
    desk.finish(study_id)
    observations, _ = desk.storage.latest_observations(trial.id, 10)
    assert [o.value for o in observations] == [0.1, 0.7]


def test_a_commit_whose_outcome_was_unknown_is_not_made_twice(desk: Desk) -> None:
    study_id = desk.create(study(script="echo acc=0.1; echo acc=0.7", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.storage.after = True
    with pytest.raises(UnavailableError):
        desk.work(study_id)
    ended = desk.finish(study_id)
    assert (ended.completed, ended.finished_trials) == (1, 1)
    observations, _ = desk.storage.latest_observations(trial.id, 10)
    assert [o.value for o in observations] == [0.1, 0.7]


def test_a_run_created_by_a_pass_that_could_not_say_so_is_adopted(desk: Desk, tmp_path: Path) -> None:
    script = f"echo begun >> {tmp_path}/begun; echo acc=1"
    study_id = desk.create(study(script=script, limits={"max_trials": 1}))
    until(lambda: desk.work(study_id) or desk.storage.unfinished_trials(study_id) or None, poll=0.01)
    (trial,) = desk.storage.unfinished_trials(study_id)
    if trial.state is TrialState.PENDING:
        desk.storage.before = True
        with pytest.raises(UnavailableError):
            desk.work(study_id)
    assert desk.finish(study_id).completed == 1
    assert (tmp_path / "begun").read_text() == "begun\n"


def test_a_manager_frozen_between_asking_and_inserting_adds_no_trial_too_many(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 2, "max_parallel": 2}))
    desk.service.hold = True
    until(lambda: desk.work(study_id) or desk.service.held or None, poll=0.01)
    # Frozen here. Another one goes ahead, with the same study at the same count.
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    new = [NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),)) for _ in range(2)]
    other.add_trials(study_id, 0, new, datetime.now(UTC))
    other.close()
    desk.service.release()
    desk.work(study_id, 3)
    assert sorted(t.id for t in desk.trials(study_id)) == sorted(t.id for t in new)
    assert desk.storage.get_study(study_id).suggested == 2


def test_a_manager_that_drives_the_study_no_more_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    usurper = Desk(tmp_path, OTHER)
    try:
        assert list(usurper.storage.claim_studies(OTHER, "", [ME], 10)) == [study_id]
        before = desk.storage.get_study(study_id)
        desk.work(study_id, 3)
        assert desk.storage.get_study(study_id) == before
        ended = usurper.finish(study_id)
        assert (ended.completed, ended.suggested) == (1, 1)
        assert [t.attempt for t in usurper.trials(study_id)] == [trial.attempt]
    finally:
        usurper.close()


@pytest.mark.long
def test_the_worker_that_is_away_is_a_reason_of_the_study_and_nothing_is_lost(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    create = desk.worker.create

    def away(_run: RunSpec) -> None:
        raise UnavailableError("no process can be started now")

    desk.worker.create = away  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == "WorkerUnavailable", poll=0.01)
    assert "no process can be started now" in desk.storage.get_study(study_id).message
    desk.worker.create = create  # type: ignore[method-assign]
    assert desk.finish(study_id).completed == 1


@pytest.mark.parametrize("away", [0, 2], ids=["the worker is there", "the worker was away first"])
def test_a_trial_that_the_worker_can_never_create_holds_up_no_other(desk: Desk, away: int) -> None:
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 4, "max_parallel": 4}))
    create, refused, tried = desk.worker.create, [], []

    def choosy(run: RunSpec) -> None:
        if not refused:
            refused.append(run.trial_id)
        if run.trial_id in refused or len(tried) < away:
            tried.append(run.trial_id)
            raise UnavailableError("a webhook of the cluster answers 500")
        create(run)

    desk.worker.create = choosy  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 3, poll=0.01)
    assert [t.id for t in desk.storage.unfinished_trials(study_id)] == refused
    desk.worker.create = create  # type: ignore[method-assign]
    assert desk.finish(study_id).completed == 4


def test_a_service_that_sends_more_than_the_study_may_have_gives_it_no_trial_too_many(desk: Desk) -> None:
    # The service above fills max_parallel and knows nothing of max_trials.
    study_id = desk.create(study(limits={"max_trials": 3, "max_parallel": 50}))
    assert desk.finish(study_id).completed == 3
    assert [t.number for t in desk.trials(study_id)] == [1, 2, 3]


def test_a_pass_that_fails_is_a_reason_of_the_study_until_one_succeeds(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    desk.reconciler.note_failure(study_id, ZeroDivisionError("oops"))
    noted = desk.storage.get_study(study_id)
    assert (noted.state, noted.reason) == (StudyState.RUNNING, "ControllerFailed")
    assert "ZeroDivisionError" in noted.message
    desk.work(study_id)
    assert desk.storage.get_study(study_id).reason == ""
    assert desk.finish(study_id).completed == 1


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
        desk.storage.report(trial.id, 0, [observation], "acc", MetricStrategy.LATEST)
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
    new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),))
    began = datetime.now(UTC) - timedelta(minutes=1)
    (trial,) = desk.storage.add_trials(study_id, 0, [new], began, client_id="me", running=True)
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


def test_the_last_suggestions_are_asked_for_again_when_they_could_not_be_stored(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(limits={"max_trials": 2}))
    desk.service.last = True
    desk.service.hold = True
    until(lambda: desk.work(study_id) or desk.service.held or None, poll=0.01)
    # Somebody adds a trial at the moment of their coming: they are not stored.
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),))
    other.add_trials(study_id, 0, [new], datetime.now(UTC))
    other.close()
    desk.service.release()
    desk.work(study_id)
    desk.service.hold = False
    ended = desk.finish(study_id)
    assert (ended.completed, ended.reason) == (2, StudyReason.MAX_TRIALS)


def test_while_the_worker_is_away_its_reason_stays_and_nothing_is_written_again_and_again(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))

    def away(_run: RunSpec) -> None:
        raise UnavailableError("no process can be started now")

    desk.worker.create = away  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == "WorkerUnavailable", poll=0.01)
    noted = desk.storage.get_study(study_id)
    desk.work(study_id, 20)
    assert desk.storage.get_study(study_id) == noted


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


class Rule:
    """An early-stopping service in this process that answers when it is let."""

    def __init__(self) -> None:
        self.answer: Future[Mapping[str, str]] = Future()

    def should_stop_delta(self, _rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        """At once that it is told, and the answer when it is let."""
        future: Future[StoppingAnswer] = Future()
        if delta.more:
            future.set_result(StoppingAnswer(None, delta.cursor, ("acc",)))
        else:
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
@pytest.mark.parametrize("act", ["stop", "delete", "fence"])
def test_a_worker_that_is_away_when_a_run_is_to_end_is_named_as_what_keeps_the_study(desk: Desk, act: str) -> None:
    script = "echo acc=1" if act == "delete" else "sleep 600"
    study_id = desk.create(study(script=script, limits={"max_trials": 1}))
    if act == "fence":
        new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),))
        (trial,) = desk.storage.add_trials(study_id, 0, [new], datetime.now(UTC))
    else:
        (trial,) = running(desk, study_id)
    if act != "delete":
        stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by a user")
        desk.storage.apply(study_id, StudyChanges(stops=(stop,)))
    tried: list[str] = []

    def away(_study_id: str, run: str) -> None:
        tried.append(run)
        raise UnavailableError("the cluster does not answer")

    method = "delete" if act == "delete" else "stop"
    real = getattr(desk.worker, method)
    setattr(desk.worker, method, away)

    def look() -> bool:
        try:
            desk.work(study_id)
        except UnavailableError as error:
            desk.reconciler.note_failure(study_id, error)
        return bool(tried)

    until(look, poll=0.01)
    noted = desk.storage.get_study(study_id)
    setattr(desk.worker, method, real)
    assert (noted.reason, noted.message) == (
        StudyReason.WORKER_UNAVAILABLE,
        "the cluster does not answer; it is tried again",
    )
    assert desk.finish(study_id).finished_trials == 1
