"""Two managers on one database and one data folder; one is frozen at the worst moment, and wakes up behind the other."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from katib.domain.errors import FailedPreconditionError, NotFoundError, UnavailableError
from katib.domain.names import new_id, run_name
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Intent, Limits, Study, StudyState
from katib.domain.trial import NewTrial, Trial, TrialReason, TrialState
from katib.manager.controller.reconcile import LeaseOverError
from katib.worker.base import RunPhase, RunSpec
from tests.controller.test_reconcile import ME, OTHER, Desk, running
from tests.e2e.harness import Value, study, until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    it = Desk(tmp_path)
    yield it
    it.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Desk]:
    it = Desk(tmp_path, OTHER)
    yield it
    it.close()


def take_over(desk: Desk, study_id: str, from_: str = ME) -> None:
    """As the controller does it when a lease has run out."""
    assert list(desk.storage.claim_studies(desk.manager_id, "", [from_], 10)) == [study_id]
    desk.reconciler.forget(study_id)


def once(desk: Desk, method: str, meanwhile: Callable[[], object], *, before: bool = True) -> None:
    """The next call of a method of the worker or the storage: frozen right before it begins, or right after it has returned."""
    owner: Any = desk.worker if hasattr(desk.worker, method) else desk.storage
    real = getattr(owner, method)

    def frozen(*arguments: Any, **named: Any) -> Any:
        setattr(owner, method, real)
        if before:
            meanwhile()
        result = real(*arguments, **named)
        if not before:
            meanwhile()
        return result

    setattr(owner, method, frozen)


def work_until(desk: Desk, study_id: str, what: Callable[[], Value | None]) -> Value:
    def look() -> Value | None:
        desk.work(study_id)
        return what()

    return until(look, poll=0.01)


def asked(desk: Desk, study_id: str) -> None:
    """Goes on until the service has been asked for suggestions, which have not come yet."""
    desk.service.hold = True
    work_until(desk, study_id, lambda: desk.service.held)


def counting(folder: Path, script: str = "echo acc=1") -> str:
    return f'echo "$TRIAL_ID-$KATIB_ATTEMPT" >> {folder}/begun; {script}'


def begun(folder: Path) -> list[str]:
    path = folder / "begun"
    return path.read_text().split() if path.exists() else []


def test_a_lease_that_runs_out_in_the_middle_of_a_pass_ends_it_before_anything_is_done(
    desk: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))
    asked(desk, study_id)
    desk.service.release()
    desk.service.hold = False
    desk.lease = False
    for _ in range(3):
        with pytest.raises(LeaseOverError):
            desk.work(study_id)
    (trial,) = desk.storage.unfinished_trials(study_id)
    assert (trial.state, desk.worker.list(study_id)) == (TrialState.PENDING, [])
    desk.lease = True
    assert desk.finish(study_id).completed == 1
    assert begun(tmp_path) == [run_name(trial.id, 1)]


def test_a_lease_that_ran_out_lets_no_run_be_stopped_and_no_study_be_removed(desk: Desk) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    running(desk, study_id)
    desk.storage.update_study(study_id, lambda s: replace(s, intent=Intent.DELETE))
    desk.lease = False
    for _ in range(3):
        with pytest.raises(LeaseOverError):
            desk.work(study_id)
    (run,) = desk.worker.list(study_id)
    assert run.phase is RunPhase.RUNNING
    desk.lease = True
    work_until(desk, study_id, lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.lease = False
    folder = Path(desk.worker._data) / "runs" / study_id
    for _ in range(3):
        with pytest.raises(LeaseOverError):
            desk.work(study_id)
    assert folder.is_dir()
    desk.lease = True
    work_until(desk, study_id, lambda: not folder.is_dir())


def frozen_in_create(desk: Desk, other: Desk, study_id: str, meanwhile: Callable[[], object]) -> None:
    """`desk` has stored the trial and is about to create its run; `other` takes over; then the run is created."""
    asked(desk, study_id)

    def taken_over() -> None:
        take_over(other, study_id)
        meanwhile()

    once(desk, "create", taken_over)
    desk.service.release()
    desk.work(study_id)


def test_a_run_created_late_is_the_one_that_the_other_manager_has_executed(
    desk: Desk, other: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))
    frozen_in_create(desk, other, study_id, lambda: other.finish(study_id))
    ended = other.storage.get_study(study_id)
    (trial,) = other.trials(study_id)
    desk.work(study_id, 3)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    assert begun(tmp_path) == [run_name(trial.id, 1)]
    assert other.storage.get_study(study_id) == ended
    assert (ended.completed, ended.finished_trials) == (1, 1)


def test_a_run_created_late_whose_trial_was_stopped_before_it_began_executes_nothing(
    desk: Desk, other: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))

    def stop() -> None:
        other.storage.update_study(study_id, lambda s: replace(s, intent=Intent.STOP))
        assert other.finish(study_id).killed == 1

    frozen_in_create(desk, other, study_id, stop)
    assert all(run.phase.ended for run in desk.worker.list(study_id))
    assert begun(tmp_path) == []


def test_a_run_created_late_whose_study_was_deleted_executes_nothing(desk: Desk, other: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))

    def delete() -> None:
        other.storage.update_study(study_id, lambda s: replace(s, intent=Intent.DELETE))
        work_until(other, study_id, lambda: is_gone(other, study_id))

    with pytest.raises(FailedPreconditionError, match="deleted"):
        frozen_in_create(desk, other, study_id, delete)
    desk.work(study_id)
    assert desk.worker.list(study_id) == []
    assert begun(tmp_path) == []
    assert not (tmp_path / "runs" / study_id).is_dir()


def is_gone(desk: Desk, study_id: str) -> bool:
    try:
        desk.storage.get_study(study_id)
    except NotFoundError:
        return True
    return False


@pytest.mark.slow
def test_a_stop_that_comes_late_leaves_the_next_attempt_alone(desk: Desk, other: Desk, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done; echo acc=1"
    script = counting(tmp_path, f'[ "$KATIB_ATTEMPT" = 1 ] && exec sleep 600; {wait}')
    limits = {"max_trials": 1, "retry_limit": 1, "trial_timeout": timedelta(seconds=5)}
    study_id = desk.create(study(script=script, limits=limits))
    (trial,) = running(desk, study_id)

    def second_attempt() -> None:
        take_over(other, study_id)
        (now,) = running_at(other, study_id, attempt=2)
        assert now.id == trial.id
        until(lambda: len(begun(tmp_path)) == 2)

    # Between storing that its time is over and stopping it.
    once(desk, "stop", second_attempt)
    work_until(desk, study_id, lambda: len(begun(tmp_path)) == 2)
    assert {r.name: r.phase for r in other.worker.list(study_id)}[run_name(trial.id, 2)] is RunPhase.RUNNING
    gate.touch()
    ended = other.finish(study_id)
    assert (ended.completed, ended.failed) == (1, 0)
    assert begun(tmp_path) == [run_name(trial.id, 1), run_name(trial.id, 2)]


def running_at(desk: Desk, study_id: str, attempt: int) -> list[Trial]:
    def look() -> list[Trial] | None:
        desk.work(study_id)
        found = desk.storage.unfinished_trials(study_id)
        return [t for t in found if t.state is TrialState.RUNNING and t.attempt == attempt] or None

    return until(look, poll=0.01)


def gated(tmp_path: Path, max_trials: int) -> dict[str, Any]:
    """Trials one after the other, each of which ends when the file of its number is there."""
    script = f"while [ ! -e {tmp_path}/gate-$TRIAL_ID ]; do sleep 0.02; done; echo acc=1"
    return {"script": counting(tmp_path, script), "limits": {"max_trials": max_trials, "max_parallel": 1}}


def let_end(tmp_path: Path, trial: Trial) -> None:
    (tmp_path / f"gate-{trial.id}").touch()


def test_a_manager_that_drives_a_study_again_keeps_the_runs_that_began_meanwhile(
    desk: Desk, other: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(**gated(tmp_path, max_trials=2)))
    (first,) = running(desk, study_id)
    # Its worker looks at the folder, and not again for a while.
    desk.work(study_id)
    take_over(other, study_id)
    let_end(tmp_path, first)
    (second,) = until(lambda: [t for t in running(other, study_id) if t.id != first.id])
    until(lambda: run_name(second.id, 1) in begun(tmp_path))
    # Back again, within the time in which the worker believes its list.
    take_over(desk, study_id, OTHER)
    desk.work(study_id, 5)
    assert {r.name: r.phase for r in desk.worker.list(study_id)}[run_name(second.id, 1)] is RunPhase.RUNNING
    let_end(tmp_path, second)
    ended = desk.finish(study_id)
    assert (ended.completed, ended.failed) == (2, 0)
    assert sorted(begun(tmp_path)) == sorted([run_name(first.id, 1), run_name(second.id, 1)])


@pytest.mark.long
def test_a_run_that_is_on_its_way_when_its_study_is_taken_over_is_waited_for(
    desk: Desk, other: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))
    create = desk.worker.create
    on_its_way: list[threading.Timer] = []

    def slow(run: RunSpec) -> None:
        # The process has been started, and has not come to its first act.
        on_its_way.append(threading.Timer(0.7, create, [run]))
        on_its_way[0].start()

    desk.worker.create = slow  # type: ignore[method-assign]
    work_until(desk, study_id, lambda: on_its_way)
    (trial,) = desk.storage.unfinished_trials(study_id)
    assert trial.state is TrialState.RUNNING
    take_over(other, study_id)
    ended = other.finish(study_id)
    on_its_way[0].join()
    assert (ended.completed, ended.failed) == (1, 0)
    assert begun(tmp_path) == [run_name(trial.id, 1)]


@pytest.mark.long
@pytest.mark.parametrize("lease", [True, False])
def test_a_pass_that_was_frozen_right_at_its_beginning_ends_no_run_of_the_other(
    desk: Desk, other: Desk, tmp_path: Path, lease: bool
) -> None:
    study_id = desk.create(study(**gated(tmp_path, max_trials=2)))
    (first,) = running(desk, study_id)
    desk.work(study_id)
    second: list[Trial] = []

    def meanwhile() -> None:
        take_over(other, study_id)
        let_end(tmp_path, first)
        second.extend(until(lambda: [t for t in running(other, study_id) if t.id != first.id]))
        until(lambda: run_name(second[0].id, 1) in begun(tmp_path))
        desk.lease = lease

    desk.reconciler.forget(study_id)
    once(desk, "get_study", meanwhile, before=False)
    try:
        desk.work(study_id)
    except LeaseOverError:
        assert not lease
    desk.work(study_id, 3)
    assert {r.name: r.phase for r in other.worker.list(study_id)}[run_name(second[0].id, 1)] is RunPhase.RUNNING
    let_end(tmp_path, second[0])
    assert other.finish(study_id).completed == 2


@pytest.mark.long
@pytest.mark.parametrize("how", ["lives", "has ended"])
def test_a_run_that_the_other_began_after_the_trials_were_read_is_neither_ended_nor_let_go(
    desk: Desk, other: Desk, tmp_path: Path, how: str
) -> None:
    """Whatever the frozen one believes of its lease."""
    study_id = desk.create(study(**gated(tmp_path, max_trials=2)))
    (first,) = running(desk, study_id)
    second: list[Trial] = []

    def meanwhile() -> None:
        take_over(other, study_id)
        let_end(tmp_path, first)
        second.extend(until(lambda: [t for t in running(other, study_id) if t.id != first.id]))
        name = run_name(second[0].id, 1)
        until(lambda: name in begun(tmp_path))
        if how == "has ended":
            let_end(tmp_path, second[0])
            until(lambda: {r.name: r.phase for r in other.worker.list(study_id)}[name].ended)

    # The same manager, whose worker looks at the folder for the first time: the look shows all of it.
    frozen = Desk(tmp_path, ME)
    once(frozen, "list", meanwhile)
    acts: list[str] = []
    for act in ("stop", "delete"):
        once(frozen, act, partial(acts.append, act))
    frozen.work(study_id, 3)
    assert acts == []
    frozen.close()
    let_end(tmp_path, second[0])
    ended = other.finish(study_id)
    assert (ended.completed, ended.failed) == (2, 0)
    assert begun(tmp_path) == [run_name(first.id, 1), run_name(second[0].id, 1)]


def more(study_: Study) -> Study:
    """As when a user raises the limit of a finished study by one."""
    most = study_.finished_trials + 1
    return replace(
        study_,
        state=StudyState.RUNNING,
        ended_at=None,
        reason="",
        message="",
        spec=replace(study_.spec, limits=replace(study_.spec.limits, max_trials=most)),
    )


def test_a_manager_that_believes_a_resumed_study_to_be_finished_leaves_its_runs_alone(
    desk: Desk, other: Desk, tmp_path: Path
) -> None:
    study_id = desk.create(study(**gated(tmp_path, max_trials=1)))
    (first,) = running(desk, study_id)
    let_end(tmp_path, first)
    desk.finish(study_id)
    second: list[Trial] = []

    def meanwhile() -> None:
        other.storage.update_study(study_id, more)
        take_over(other, study_id)
        second.extend(running(other, study_id))

    # Its worker looks at the folder for the first time.
    frozen = Desk(tmp_path, ME)
    once(frozen, "list", meanwhile)
    frozen.work(study_id, 3)
    frozen.close()
    let_end(tmp_path, second[0])
    ended = other.finish(study_id)
    assert (ended.completed, ended.failed) == (2, 0)


def test_a_manager_whose_lease_is_over_does_not_tidy_up_behind_a_finished_study(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    desk.finish(study_id)
    trial_id = new_id()
    late = RunSpec(run_name(trial_id, 1), study_id, trial_id, 1, ("sleep", "600"), (), study())
    desk.worker.create(late)
    desk.lease = False
    with pytest.raises(LeaseOverError):
        desk.work(study_id)
    desk.lease = True
    work_until(desk, study_id, lambda: not desk.worker.list(study_id))


def test_a_lease_that_lapsed_and_was_renewed_in_the_middle_of_a_pass_ends_it(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script=counting(tmp_path), limits={"max_trials": 1}))
    asked(desk, study_id)
    desk.service.release()
    desk.service.hold = False

    def renewed() -> None:
        desk.term += 1

    once(desk, "list", renewed)
    with pytest.raises(LeaseOverError):
        desk.work(study_id)
    assert desk.worker.list(study_id) == []
    # The next one begins in the new term.
    assert desk.finish(study_id).completed == 1


def test_a_pass_that_could_not_be_stored_leaves_no_fence_behind(desk: Desk) -> None:
    goal_reached = study(script="echo acc=0.95", goal=0.9, limits={"max_trials": 2, "max_parallel": 1})
    study_id = desk.create(goal_reached)
    new = [NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),)) for _ in range(2)]
    desk.storage.add_trials(study_id, 0, new, datetime.now(UTC))
    running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.storage.before = True
    with pytest.raises(UnavailableError):
        desk.work(study_id)
    # Before the next pass there is no goal to have reached any more.
    desk.storage.update_study(study_id, lambda s: replace(s, spec=replace(s.spec, goal=2.0)))
    ended = desk.finish(study_id)
    assert (ended.completed, ended.failed, ended.killed) == (2, 0, 0)


def test_the_trials_that_wait_when_a_study_ends_are_killed_with_its_reason(desk: Desk) -> None:
    study_id = desk.create(study(script="echo acc=0.95", goal=0.9, limits={"max_trials": 3, "max_parallel": 1}))
    new = [NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),)) for _ in range(3)]
    desk.storage.add_trials(study_id, 0, new, datetime.now(UTC))
    ended = desk.finish(study_id)
    assert (ended.completed, ended.killed) == (1, 2)
    assert [t.reason for t in desk.trials(study_id) if t.state is TrialState.KILLED] == [TrialReason.STUDY_ENDED] * 2
    assert ended.spec.limits == Limits(3, 1)
