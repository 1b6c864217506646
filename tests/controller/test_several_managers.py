"""Two managers on one database and one data folder; one is frozen at the worst moment, and wakes up behind the other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from katib.domain.errors import FailedPreconditionError, NotFoundError, UnavailableError
from katib.domain.names import new_id, run_name
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Intent, Limits
from katib.domain.trial import NewTrial, TrialReason, TrialState
from katib.manager.controller.means import LeaseOverError
from katib.worker.base import RunPhase, RunSpec
from tests.controller.desk import Desk, running
from tests.controller.managers import asked, begun, counting, once, running_at, take_over, work_until
from tests.e2e.harness import study, until


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
