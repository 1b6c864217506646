"""What many studies and many live trials cost, counted at the database: a tick by the manager, a pass by what has changed."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.controller.worker import SimulatedWorker
from katib.domain.study import StudyState
from katib.manager.controller.claims import Identity
from katib.manager.controller.loop import Controller
from katib.manager.controller.means import Means
from katib.manager.controller.reconcile import Reconciler
from katib.manager.ports import ManagerRecord
from katib.worker.base import WorkerSettings
from tests.controller.desk import ME, Desk
from tests.controller.test_cost import Statements
from tests.e2e.harness import study, until
from tests.storage.builders import make_study, running


class Manager:
    """A controller at work on a worker whose runs are entries in a table."""

    def __init__(self, desk: Desk, folder: Path, **options: str) -> None:
        self.worker = SimulatedWorker(WorkerSettings(folder, options))
        self.controller = Controller(Identity(ManagerRecord(ME, "h", "1")), replace(desk.outside, worker=self.worker))
        self.controller.start()

    def stop(self) -> None:
        self.controller.stop()
        self.worker.close()


def at_rest(statements: Statements) -> bool:
    """Whether there was no more than a few looks' reading for two seconds."""
    with statements.counted():
        time.sleep(2.0)
        return statements.kinds["SELECT"] <= 20


@pytest.mark.slow
def test_a_tick_is_the_same_few_statements_with_many_studies_at_rest_and_one_heartbeat(
    desk: Desk, tmp_path: Path
) -> None:
    statements = Statements(desk)
    found: list[Counter[str]] = []
    for more in (5, 300):
        for _ in range(more):
            made = desk.storage.create_study(make_study(manager=ME))
            running(desk.storage, made, 2)
        manager = Manager(desk, tmp_path / str(more))
        # The first passes over all of them take as long as the machine makes them.
        until(lambda: at_rest(statements), 150)
        with statements.counted():
            time.sleep(5.0)
            found.append(statements.kinds.copy())
        manager.stop()
    few, many = found
    # Six ticks at most: managers, drivers, studies to claim, studies driven, and now and then the stranded ones.
    assert 4 <= many["SELECT"] <= few["SELECT"] + 8 <= 40
    # The manager's one row, every quarter of its lease, whatever it drives.
    assert 1 <= few["UPDATE"] <= 3
    assert 1 <= many["UPDATE"] <= 3


@pytest.mark.long
def test_a_runs_end_costs_the_same_statements_beside_many_live_trials(desk: Desk, tmp_path: Path) -> None:
    statements = Statements(desk)
    found = []
    for parallel in (2, 60):
        worker = SimulatedWorker(WorkerSettings(tmp_path / str(parallel), {}))
        study_id = desk.create(study(limits={"max_trials": 100_000, "max_parallel": parallel}))
        reconciler = Reconciler(Means(ME, replace(desk.outside, worker=worker), desk.woken.append))

        def all_run(reconciler=reconciler, worker=worker, study_id=study_id, parallel=parallel) -> bool:  # type: ignore[no-untyped-def]
            reconciler.reconcile(study_id)
            return len(worker.list(study_id)) == parallel

        until(all_run, poll=0.001)
        for _ in range(3):
            reconciler.reconcile(study_id)
        worker.finish(study_id, worker.list(study_id)[0].name)
        with statements.counted():
            # Its end is stored and the next one asked for; that one is stored, and begins.
            for _ in range(3):
                reconciler.reconcile(study_id)
        found.append(statements.kinds.copy())
        now = desk.storage.get_study(study_id)
        assert (now.completed, now.running, now.state) == (1, parallel, StudyState.RUNNING)
        desk.made.remove(study_id)
        worker.close()
    assert found[0] == found[1]
    assert found[0]["COMMIT"] <= 4
