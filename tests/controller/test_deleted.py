"""What a worker still names of a study that the database does not have."""

import pytest

from katib.domain.names import new_id, run_name
from katib.manager.controller.means import LeaseOverError
from katib.worker.base import RunPhase, RunSpec
from tests.controller.desk import Desk, running
from tests.e2e.harness import study, until


@pytest.mark.long
def test_the_runs_of_a_study_that_was_deleted_are_ended_and_go(desk: Desk) -> None:
    """As after a manager that did not live to take them away."""
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    running(desk, study_id)
    desk.storage.delete_study(study_id)
    until(lambda: desk.work(study_id) or not desk.worker.list(study_id))


@pytest.mark.long
def test_the_runs_of_a_study_that_the_database_never_had_are_left_alone(desk: Desk) -> None:
    """They may be those of another database."""
    study_id, trial_id = new_id(), new_id()
    desk.made.append(study_id)
    run = RunSpec(run_name(trial_id, 1), study_id, trial_id, 1, ("sleep", "600"), (), study())
    desk.worker.create(run)
    desk.work(study_id, 3)
    (status,) = desk.worker.list(study_id)
    assert status.phase is RunPhase.RUNNING


@pytest.mark.long
def test_a_manager_whose_lease_is_over_ends_nothing_of_a_study_that_was_deleted(desk: Desk) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    running(desk, study_id)
    desk.storage.delete_study(study_id)
    desk.lease = False
    with pytest.raises(LeaseOverError):
        desk.work(study_id)
    (status,) = desk.worker.list(study_id)
    assert status.phase is RunPhase.RUNNING
    desk.lease = True
