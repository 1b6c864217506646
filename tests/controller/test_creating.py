"""The runs of one pass: several at once, not for long, and whatever goes wrong with one of them."""

import threading
import time
from datetime import UTC, datetime

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import TrialMove
from katib.manager.controller.creating import create_all

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_S = 30.0


def trials(count: int) -> list[Trial]:
    return [
        Trial(f"t{i:015x}", "s000000000000001", i, 1, TrialState.PENDING, (), NOW, revision=1)
        for i in range(1, count + 1)
    ]


def move(trial: Trial) -> TrialMove:
    return TrialMove(trial.id, 1, TrialState.PENDING, TrialState.RUNNING, run=f"{trial.id}-1", at=NOW)


def test_so_many_are_created_at_once():
    together = threading.Barrier(4)

    def one(trial):
        together.wait(LONG_S)
        return move(trial)

    created = create_all(trials(8), one, 4, LONG_S)
    assert sorted(m.trial_id for m in created.moves) == [t.id for t in trials(8)]
    assert (created.left, created.trouble) == (0, "")


def test_a_worker_that_waits_for_nobody_is_called_by_the_pass_alone_and_in_order():
    callers, order = set(), []

    def one(trial):
        callers.add(threading.get_ident())
        order.append(trial.number)
        return move(trial)

    create_all(trials(20), one, 1, LONG_S)
    assert callers == {threading.get_ident()}
    assert order == list(range(1, 21))


def test_when_the_time_is_over_the_rest_is_left_and_what_had_begun_is_waited_for():
    def one(trial):
        time.sleep(0.05)
        return move(trial)

    created = create_all(trials(100), one, 2, 0.2)
    assert 2 <= len(created.moves) < 100
    assert len(created.moves) + created.left == 100


def test_one_is_created_however_long_the_one_before_took():
    created = create_all(trials(3), move, 1, 0.0)
    assert ([m.trial_id for m in created.moves], created.left) == ([trials(1)[0].id], 2)


def test_a_worker_that_is_away_for_some_is_told_and_the_others_are_created():
    def one(trial):
        if trial.number % 2:
            raise UnavailableError("the cluster is away")
        return move(trial)

    created = create_all(trials(10), one, 3, LONG_S)
    assert created.trouble == "the cluster is away"
    assert sorted(created.failed) == [t.id for t in trials(10) if t.number % 2]
    assert sorted(m.trial_id for m in created.moves) == [t.id for t in trials(10) if t.number % 2 == 0]


@pytest.mark.parametrize("at_once", [1, 4])
def test_any_other_error_is_raised_when_all_that_had_begun_have_ended_and_no_more_is_begun(at_once):
    begun, ended = [], []

    def one(trial):
        begun.append(trial.number)
        if trial.number == 2:
            raise ValueError("a defect")
        time.sleep(0.05)
        ended.append(trial.number)
        return move(trial)

    with pytest.raises(ValueError, match="a defect"):
        create_all(trials(50), one, at_once, LONG_S)
    assert sorted(begun) == sorted([*ended, 2])
    assert len(begun) < 20


def test_where_the_system_gives_no_threads_those_that_there_are_create_all(monkeypatch):
    start = threading.Thread.start
    started = []

    def scarce(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    created = create_all(trials(20), move, 8, LONG_S)
    assert (len(created.moves), created.left) == (20, 0)
    assert not any(thread.is_alive() for thread in started)
