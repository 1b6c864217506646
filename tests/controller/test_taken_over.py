"""A study that a manager drives again, after another one did."""

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from katib.domain.names import run_name
from katib.domain.study import Study, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.controller.means import LeaseOverError
from katib.worker.base import RunPhase, RunSpec
from tests.controller.desk import ME, OTHER, Desk, running
from tests.controller.managers import begun, counting, once, take_over, work_until
from tests.e2e.harness import study, until


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
