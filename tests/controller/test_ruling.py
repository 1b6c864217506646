"""A study's conversation with its early-stopping service: what a question costs, and services that know less or lose it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from katib.domain.errors import InternalError, ResourceExhaustedError, UnavailableError
from katib.domain.study import StudyReason
from katib.earlystopping.rules.medianstopping import MedianStopping
from katib.earlystopping.told import Told
from katib.manager.controller import ruling, telling
from katib.manager.controller.ruling import asked_to_stop
from tests.controller.ruled import STEPS, Desk
from tests.storage.builders import RUNNING, go, observe, running


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    it = Desk(tmp_path)
    yield it
    it.storage.close()


@pytest.mark.long
def test_a_question_costs_the_same_rows_and_bytes_after_a_hundred_more_finished_trials(desk: Desk) -> None:
    first, second = running(desk.storage, desk.study, 2)
    costs = []
    for finished in (10, 100):
        desk.finish(finished)
        desk.ask()
        desk.report(first, 0.6)
        desk.report(second, 0.6)
        desk.storage.rows, desk.service.sizes[:] = 0, []
        desk.ask()
        costs.append((desk.storage.rows, desk.service.sizes))
    (few_rows, few_sizes), (many_rows, many_sizes) = costs
    # Two trials, and one value of each: the metric that the rule does not look at is not read.
    assert few_rows == many_rows == 4
    assert len(few_sizes) == len(many_sizes) == 1
    assert abs(many_sizes[0] - few_sizes[0]) < 20
    assert many_sizes[0] < 1500


def test_a_new_manager_tells_everything_in_bounded_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST_VALUES", 50)
    desk.finish(30)
    (trial,) = running(desk.storage, desk.study)
    desk.report(trial, *(0.1 for _ in range(120)))
    before = desk.storage.rows

    assert desk.ask() == [trial.id]

    values = 30 * STEPS + 120
    assert desk.service.asked.count("more") >= values // 50
    assert desk.service.asked[-1] == "delta"
    # Each value and trial was read once, but for what a piece left over.
    assert desk.storage.rows - before <= values + 31 + desk.service.asked.count("more")
    assert max(desk.service.sizes) < 6000


def test_each_value_is_told_once_and_the_answer_is_right_as_trials_go_on(desk: Desk) -> None:
    desk.finish(3)
    good, bad = running(desk.storage, desk.study, 2)
    stopped = []
    for step in range(1, 6):
        desk.report(good, 0.9)
        desk.report(bad, 0.1)
        stopped.append(desk.ask())
        assert desk.service.asked[-1] == "delta", step
    # LeastStep is 3.
    assert stopped == [[], [], [bad.id], [bad.id], [bad.id]]


def test_a_service_that_was_replaced_unnoticed_is_told_anew(desk: Desk) -> None:
    desk.finish(3)
    (bad,) = running(desk.storage, desk.study)
    desk.report(bad, 0.1)
    assert desk.ask() == []
    desk.service.told = Told(MedianStopping())
    desk.report(bad, 0.1, 0.1)

    assert desk.ask() == [bad.id]
    assert desk.ruling.trouble is None


def test_a_service_that_keeps_nothing_is_asked_in_full(desk: Desk) -> None:
    desk.service.told = Told(MedianStopping(), most=1)
    desk.finish(3)
    trials = running(desk.storage, desk.study, 2)
    for _ in range(10):
        desk.report(trials[0], 0.6)
        desk.ask()

    assert desk.service.asked[-2:] == ["in full", "in full"]
    assert desk.ask() == [trials[1].id]


def test_a_service_that_keeps_nothing_of_a_study_too_long_for_a_message_is_said_to_need_more_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ruling, "_MOST_IN_FULL", 50)
    desk.service.told = Told(MedianStopping(), most=1)
    desk.finish(5)
    running(desk.storage, desk.study, 2)
    for _ in range(10):
        desk.ask()
        if desk.ruling.trouble:
            break

    assert "in full" not in desk.service.asked
    assert desk.ruling.trouble is not None
    reason, message = desk.ruling.trouble
    assert reason == StudyReason.EARLY_STOPPING_FAILED
    assert (
        "of which it had been told 100: begin it with a larger --curves-cache-mib (KATIB_CURVES_CACHE_MIB)" in message
    )
    # To tell it everything each time is dear.
    assert not desk.ruling.due(desk.read(), desk.now + timedelta(minutes=2))
    desk.service.told = Told(MedianStopping())
    desk.now += timedelta(minutes=5)
    desk.ask()
    assert desk.ruling.trouble is None


def test_a_service_of_katib_0_1_is_told_its_settings_and_asked_in_full(desk: Desk) -> None:
    desk.service.old = True
    first, second = running(desk.storage, desk.study, 2)
    desk.report(first, 0.5)

    assert desk.ask() == [second.id]
    assert desk.ask() == [second.id]
    assert desk.service.asked == ["more", "settings", "in full", "in full"]
    assert desk.service.values > 0


def test_a_question_in_full_that_takes_long_to_make_is_made_seldom(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hundred thousand values it takes a second, and new ones come all the time."""
    desk.service.old = True
    trial, _ = running(desk.storage, desk.study, 2)
    desk.report(trial, 0.5)
    monkeypatch.setattr(desk.storage, "finished_trials", lambda _study: time.sleep(0.2) or [])
    desk.ask()
    asked = desk.now

    desk.ruling.metrics_came()

    next_time = desk.ruling.next_time(desk.read(), asked)
    assert next_time is not None
    assert timedelta(seconds=1.8) <= next_time - asked < timedelta(minutes=1)


def test_a_question_in_full_that_takes_long_to_make_is_made_as_seldom_where_it_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that no message can hold, of which that is known when it has been made."""
    desk.service.old = True
    trial, _ = running(desk.storage, desk.study, 2)
    desk.report(trial, 0.5)
    monkeypatch.setattr(desk.storage, "finished_trials", lambda _study: time.sleep(0.5) or [])
    desk.ask()
    monkeypatch.setattr(desk.service, "should_stop", lambda *_: desk.service._future("in full", lambda: 1 / 0))
    desk.service.error = ResourceExhaustedError("it is too long")
    desk.ruling.metrics_came()
    desk.now += timedelta(minutes=1)
    desk.ruling.ask(desk.read(), desk.storage.unfinished_trials(desk.study.id), desk.now)
    desk.ruling.take(desk.read(), desk.now)
    failed = desk.now
    desk.service.error = None
    for _ in range(2):
        desk.now = desk.ruling.next_time(desk.read(), desk.now) or desk.now
        desk.ruling.ask(desk.read(), desk.storage.unfinished_trials(desk.study.id), desk.now)
        desk.ruling.take(desk.read(), desk.now)

    next_time = desk.ruling.next_time(desk.read(), desk.now)
    assert desk.service.asked[-4:] == ["in full", "in full", "more", "settings"]
    assert next_time is not None
    assert timedelta(seconds=4.5) <= next_time - failed < timedelta(minutes=1)


def test_after_a_failure_it_is_told_its_settings_again_and_the_study_says_so_meanwhile(desk: Desk) -> None:
    desk.service.old = True
    running(desk.storage, desk.study, 2)
    desk.ask()
    desk.service.error = UnavailableError("nothing answers at x:6789")
    desk.ask()
    assert desk.ruling.trouble == (
        StudyReason.EARLY_STOPPING_UNAVAILABLE,
        "earlystopping-medianstopping: nothing answers at x:6789; no trial is stopped early until it answers, the study "
        "goes on",
    )
    desk.service.error = UnavailableError("earlystopping-medianstopping is ending: it drains")
    desk.ask()
    assert desk.ruling.trouble[1].startswith("earlystopping-medianstopping is ending: it drains; no trial is stopped")
    assert not desk.ruling.due(desk.read(), desk.now + timedelta(seconds=1))
    assert desk.ruling.due(desk.read(), desk.now + timedelta(seconds=2))
    desk.service.error = None
    desk.service.asked.clear()
    desk.ask()
    assert desk.service.asked == ["more", "settings", "in full"]
    assert desk.ruling.trouble is None


def test_a_retried_trial_is_told_from_its_new_attempt_on(desk: Desk) -> None:
    desk.finish(3)
    (trial,) = running(desk.storage, desk.study)
    desk.report(trial, 0.1, 0.1)
    assert desk.ask() == []
    current = desk.storage.get_trial(trial.id)
    (waiting,) = go(desk.storage, current, to=type(current.state).PENDING)
    (again,) = go(desk.storage, waiting, to=RUNNING)
    desk.storage.report(again.id, 2, [replace(observe(0.1), attempt=2)])

    assert desk.ask() == []


@pytest.mark.parametrize("old", [False, True], ids=["deltas", "in full"])
def test_an_answer_is_of_the_attempts_that_the_question_told_of(desk: Desk, old: bool) -> None:
    desk.service.old = old
    desk.finish(3)
    first, second = running(desk.storage, desk.study, 2)
    for trial in (first, second):
        desk.report(trial, 0.1, 0.1)
    desk.ask()
    desk.report(second, 0.1)
    desk.ruling.metrics_came()
    desk.now += timedelta(minutes=1)
    desk.ruling.ask(desk.read(), desk.storage.unfinished_trials(desk.study.id), desk.now)
    now = desk.storage.get_trial(second.id)
    (again,) = go(desk.storage, *go(desk.storage, now, to=type(now.state).PENDING), to=RUNNING)

    stops = desk.ruling.take(desk.read(), desk.now)
    assert [(s.trial_id, s.attempt) for s in stops] == [(second.id, 1)]
    assert asked_to_stop([now], stops, {})[1] == stops
    assert asked_to_stop([again], stops, {}) == ([again], [])


def test_a_database_that_goes_away_while_a_question_is_made_loses_no_value(desk: Desk) -> None:
    desk.finish(3)
    (bad,) = running(desk.storage, desk.study)
    desk.report(bad, 0.1)
    desk.ask()
    desk.report(bad, 0.1, 0.1)
    read = desk.storage._storage.observations_after

    def away(*_arguments: object) -> None:
        raise UnavailableError("the database is away")

    desk.storage._storage.observations_after = away
    with pytest.raises(UnavailableError):
        desk.ask()
    desk.storage._storage.observations_after = read

    assert desk.ask() == [bad.id]


def test_a_service_that_goes_on_failing_is_asked_less_and_less_often(desk: Desk) -> None:
    running(desk.storage, desk.study)
    desk.service.error = InternalError("a defect")
    waits = []
    for _ in range(8):
        desk.ask()
        due = [s for s in range(60) if desk.ruling.due(desk.read(), desk.now + timedelta(seconds=s))]
        waits.append(due[0])
    assert desk.ruling.trouble is not None
    assert desk.ruling.trouble[0] == StudyReason.EARLY_STOPPING_FAILED
    assert waits[0] <= 2
    assert 18 <= waits[-1] <= 30
