"""What a loop says while it has no trial, and how the study stands when it has ended."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import katib
from katib.domain.errors import UnavailableError
from katib.domain.study import Setting, StudyState
from katib.domain.trial import TrialReason
from katib.sdk.lull import wait_until_ended
from tests.e2e.harness import World, until, world
from tests.service.test_contract import idle


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("lull")) as it:
        it.suggestion("random")
        it.suggestion("grid")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 2, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Int(1, 3)}, maximize="acc", server=it.address, **arguments)


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "trials"),
    [({"max_trials": 2}, 2), ({"goal": 0.5}, 1), ({"algorithm": "grid", "max_trials": None}, 3)],
    ids=["all its trials", "its goal", "its whole space"],
)
def test_when_there_is_nothing_more_to_try_the_study_has_ended_with_the_loop(
    it: World, changes: dict[str, Any], trials: int
) -> None:
    for i in range(5):
        study = create(it, f"ended {i}", **changes)
        study.run(lambda _trial: 0.75)
        assert (study.state, len(study.results())) == ("COMPLETED", trials)


@pytest.mark.long
def test_where_others_still_have_trials_the_loop_does_not_wait_for_them(it: World) -> None:
    study = create(it, "others")
    with it.client() as client:
        # Without a name: nobody else ever gets this one.
        client.suggest_trials(study.id)
    study.run(lambda _trial: 0.5, limit=1)
    begin = time.monotonic()
    assert list(study.trials()) == []
    assert time.monotonic() - begin < 1.5
    assert study.state == "RUNNING"


@pytest.mark.long
def test_a_study_that_another_algorithm_would_end_is_not_waited_for(it: World) -> None:
    study = create(it, "another's", max_trials=None)
    seen = []
    for trial in study.trials(algorithm="grid"):
        trial.report(acc=0.5)
        seen.append(trial["x"])
        begin = time.monotonic()
    assert time.monotonic() - begin < 1.5
    assert (sorted(seen), study.state) == ([1, 2, 3], "RUNNING")


class StubbornManager:
    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error

    def within(self, _seconds: float) -> "StubbornManager":
        return self

    def get_study(self, _study_id: str) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return SimpleNamespace(summary=SimpleNamespace(state=StudyState.RUNNING, pending=0, running=0))


@pytest.mark.long
def test_a_manager_that_does_not_end_the_study_is_waited_for_two_seconds() -> None:
    manager = StubbornManager()
    begin = time.monotonic()
    wait_until_ended(manager, "s")  # type: ignore[arg-type]
    assert 1 < time.monotonic() - begin < 4
    assert manager.asked < 20


def test_a_manager_that_goes_away_at_the_end_of_a_loop_is_no_error_of_it() -> None:
    manager = StubbornManager(UnavailableError("away"))
    wait_until_ended(manager, "s")  # type: ignore[arg-type]
    assert manager.asked == 1


@pytest.mark.long
def test_a_loop_whose_study_is_paused_says_so_once_and_who_can_resume_it(
    it: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "katib")
    study = create(it, "paused")
    with it.client() as client:
        client.update_study(study.id, paused=True)
        resume = threading.Timer(1.5, lambda: client.update_study(study.id, paused=False))
        resume.start()
        study.run(lambda _trial: 0.5)
        resume.join()
    assert [(r.levelname, r.message) for r in caplog.records if "paused" in r.message] == [
        (
            "WARNING",
            f"study {study.id} is paused, and this loop waits until it is resumed: by its owner or whoever may operate it, "
            f"with katib-cli resume study {study.id} or on the dashboard",
        )
    ]
    assert "others run" not in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("leaves", [False, True], ids=["the body ends", "the loop is left"])
def test_that_a_trial_was_stopped_is_no_warning_where_its_program_was_told(
    it: World, caplog: pytest.LogCaptureFixture, leaves: bool
) -> None:
    caplog.set_level(logging.INFO, "katib")
    study = create(it, f"told {leaves}")
    with it.client() as client:
        for trial in study.trials(limit=2):
            trial.report(acc=0.5)
            if trial.number == 1:
                client.stop_trial(trial.id)
                until(trial.should_stop)
                if leaves:
                    break
    states = [(r.state, r.reason) for r in study.results()]
    assert states == [("KILLED", TrialReason.STOPPED_BY_USER), ("COMPLETED", "")][: 1 if leaves else 2]
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []
    lines = [r.message for r in caplog.records if "ended early" in r.message]
    assert [line.partition(":")[0] for line in lines] == ["trial 1 ended early, as its program was told"]


@pytest.mark.long
def test_what_a_rule_has_stopped_is_told_with_the_rules_reason(it: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "katib")
    it.earlystopping("threshold")
    rule = {"early_stopping": "threshold", "early_stopping_settings": (Setting("Lower", "0.5"),)}
    with it.client() as client:
        study = katib.open_study(client.create_study(idle("ruled", **rule)), server=it.address)
    for trial in study.trials(limit=1):
        trial.report(acc=0.1, step=1)
        until(trial.should_stop)
    (line,) = [r for r in caplog.records if "trial 1 " in r.message]
    assert (line.levelname, line.message.partition(":")[0]) == (
        "INFO",
        "trial 1 ended early, as its program was told",
    )
    assert study.results()[0].message in line.message


@pytest.mark.long
def test_a_program_that_was_not_told_reads_why_its_trial_was_stopped(
    it: World, caplog: pytest.LogCaptureFixture
) -> None:
    study = create(it, "untold", max_trials=1)
    with it.client() as client:
        for trial in study.trials():
            client.stop_trial(trial.id)
            until(lambda: study.results()[0].state == "KILLED")
            trial.report(acc=0.5)
    (line,) = [r.message for r in caplog.records if "trial 1 " in r.message]
    assert line == f"trial 1 is not this program's any more, and its result is not taken: {study.results()[0].message}"
    assert study.results()[0].reason == TrialReason.STOPPED_BY_USER


@pytest.mark.long
def test_that_another_program_has_the_trial_is_news_also_where_it_was_told_to_stop(
    it: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No signs of life.
    monkeypatch.setattr("katib.sdk.held._INTERVAL_S", 3600.0)
    monkeypatch.setattr("katib.sdk.held._SIGNS", 0.001)
    study = create(it, "anothers", max_trials=1)
    with it.client() as client:
        for trial in study.trials(lease=1.0, limit=1):
            given = until(lambda: client.suggest_trials(study.id, 1, "another", lease=timedelta(seconds=60))[0])
            assert [(t.id, t.attempt) for t in given] == [(trial.id, 2)]
            trial.report(acc=0.5)
            trial._held.send(10)
            assert trial.should_stop()
            client.stop_trial(trial.id)
    assert caplog.text.count("trial 1 is not this program's any more, and its result is not taken") == 1
