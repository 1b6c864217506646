"""What a trial and a tick cost, counted at the database: after a thousand finished trials the same as after a few."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from katib.domain.study import StudyState
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.controller.claims import Identity
from katib.manager.controller.loop import Controller
from katib.manager.ports import ManagerRecord
from tests.controller.desk import ME, Desk
from tests.e2e.harness import study, until
from tests.storage.builders import completed, make_study

MEASURED, FINISHED = 6, 1000
# Storing the suggestion; RUNNING; and taking in, COMPLETED and the next one's RUNNING in one.
TRANSACTIONS_PER_TRIAL = 3


class Statements:
    """What SQLite was asked to do, by the statements' first words, and the steps of its virtual machine."""

    def __init__(self, desk: Desk) -> None:
        self.kinds: Counter[str] = Counter()
        self.steps = 0
        engine = desk.storage.database._connections.engine
        event.listen(engine, "connect", self._watch)
        # What is open already has nobody watching it.
        engine.dispose()

    def _watch(self, connection: Any, _entry: object) -> None:
        connection.set_trace_callback(lambda sql: self.kinds.update([sql.split(None, 1)[0].upper()]))
        connection.set_progress_handler(self._step, 1)

    def _step(self) -> None:
        self.steps += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.kinds, self.steps = Counter(), 0
        yield


def let_trials_end(desk: Desk, study_id: str, count: int) -> None:
    """Passes as the controller makes them: one when a run has ended, and one for each wake of its own."""
    until_finished = desk.storage.get_study(study_id).finished_trials + count
    while desk.storage.get_study(study_id).finished_trials < until_finished:
        until(lambda: all(run.phase.ended for run in desk.worker.list(study_id)), poll=0.002)
        desk.work(study_id)


@pytest.mark.long
def test_a_trial_costs_the_same_few_statements_after_a_thousand_finished_ones(desk: Desk) -> None:
    statements = Statements(desk)
    study_id = desk.create(study(script="echo acc=0.5", limits={"max_trials": FINISHED + 100, "max_parallel": 1}))
    found = []
    for finished in (0, FINISHED):
        for _ in range(0, finished, 250):
            completed(desk.storage, desk.storage.get_study(study_id), *[0.1] * 250)
        # The first question after a start reads the whole history, once.
        let_trials_end(desk, study_id, 3)
        with statements.counted():
            let_trials_end(desk, study_id, MEASURED)
        found.append((statements.kinds.copy(), statements.steps))
    (few, few_steps), (many, many_steps) = found
    assert many == few
    assert many_steps < few_steps * 1.2
    assert few["COMMIT"] <= TRANSACTIONS_PER_TRIAL * MEASURED
    # The test's own looks at the study are among them.
    assert few["SELECT"] <= 12 * MEASURED


@pytest.mark.slow
def test_a_tick_costs_the_same_with_a_thousand_finished_trials_and_many_finished_studies(desk: Desk) -> None:
    statements = Statements(desk)
    driven = [desk.create(study(algorithm="", limits={})) for _ in range(5)]
    found = []
    for finished in (0, FINISHED):
        if finished:
            completed(desk.storage, desk.storage.get_study(driven[0]), *[0.1] * FINISHED)
            for _ in range(100):
                ended = desk.storage.create_study(make_study(manager=ME))
                desk.storage.apply(ended.id, StudyChanges(study=StudyMove(StudyState.STOPPED, "StoppedByUser", "")))
        controller = Controller(Identity(ManagerRecord(ME, "h", "1")), desk.outside)
        controller.start()
        # The studies are looked at once; from then on nothing happens but ticks.
        time.sleep(2.0)
        with statements.counted():
            time.sleep(3.0)
            ticks = (statements.kinds.copy(), statements.steps)
        controller.stop()
        found.append(ticks)
    (few, few_steps), (many, many_steps) = found
    assert few["SELECT"] >= 3
    # Four ticks at most fall into the time, with four looks each; now and then one more.
    assert few["SELECT"] <= 40
    assert many["SELECT"] <= 40
    assert many_steps < few_steps * 2
