"""The loop makes one call for a trial: its end, with what is left to report and the question for the next one."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.api.failover import Failover
from katib.domain.errors import AbortedError, InvalidArgumentError, UnavailableError
from tests.e2e.harness import World, until, world


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("one-call")) as it:
        it.suggestion("random")
        it.manager()
        yield it


@dataclass
class Calls:
    """What the program itself has called, not its thread. `lose`: of so many ends the answers never come."""

    made: list[tuple[str, Any]] = field(default_factory=list)
    lose: int = 0

    @property
    def ends(self) -> list[Any]:
        return [request for name, request in self.made if name == "CompleteTrial"]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.made]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    seen, real = Calls(), Failover.call

    def call(self: Failover, method: str, request: Any, *arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            seen.made.append((method, request))
        reply = real(self, method, request, *arguments, **named)
        if method == "CompleteTrial" and seen.lose:
            seen.lose -= 1
            raise UnavailableError("the answer was lost")
        return reply

    monkeypatch.setattr(Failover, "call", call)
    return seen


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the loop does nothing within a test."""
    monkeypatch.setattr("katib.sdk.held._INTERVAL_S", 3600.0)


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 3, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def drive(study: katib.Study, limit: int | None = None) -> None:
    for trial in study.trials(limit=limit):
        trial.report(acc=trial["x"], loss=1.0, step=1)


def states(study: katib.Study) -> list[str]:
    return [r.state for r in study.results()]


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    "loop", [drive, lambda study: study.run(lambda trial: trial["x"])], ids=["for trial in study.trials()", "study.run"]
)
def test_a_trial_costs_one_call_and_the_last_answer_ends_the_loop(
    it: World, calls: Calls, loop: Callable[[katib.Study], None]
) -> None:
    study = create(it, "one call", max_trials=5)
    calls.made.clear()
    loop(study)
    # Then it looks whether the study has ended, once or until it has.
    assert calls.names[:7] == ["GetStudy", "SuggestTrials", *["CompleteTrial"] * 5]
    assert set(calls.names[7:]) == {"GetStudy"}
    assert [(len(r.observations) > 0, r.HasField("next")) for r in calls.ends] == [(True, True)] * 5
    results = study.results()
    assert [(r.state, r.objective) for r in results] == [("COMPLETED", r.parameters["x"]) for r in results]


def test_a_loop_with_a_limit_does_not_ask_for_one_more(it: World, calls: Calls) -> None:
    study = create(it, "limited", max_trials=10)
    drive(study, 2)
    assert [r.HasField("next") for r in calls.ends] == [True, False]
    assert states(study) == ["COMPLETED", "COMPLETED"]
    drive(study, 1)
    drive(study, 0)
    assert states(study) == ["COMPLETED"] * 3


def test_a_trial_that_is_completed_before_a_break_is_followed_by_none(it: World, calls: Calls) -> None:
    study = create(it, "break")
    for trial in study.trials():
        trial.report(acc=0.5)
        trial.complete()
        break
    assert [r.HasField("next") for r in calls.ends] == [False]
    assert states(study) == ["COMPLETED"]


def test_a_body_that_completes_its_trial_itself_is_given_the_next_one_when_it_comes_back(
    it: World, calls: Calls
) -> None:
    study = create(it, "itself", max_trials=2)
    for trial in study.trials():
        trial.report(acc=0.5)
        trial.complete()
    assert [name for name in calls.names if name in ("SuggestTrials", "CompleteTrial")][:4] == [
        *("SuggestTrials", "CompleteTrial"),
        *("SuggestTrials", "CompleteTrial"),
    ]
    assert states(study) == ["COMPLETED", "COMPLETED"]


@pytest.mark.long
def test_what_a_body_reports_arrives_while_it_goes_on(it: World) -> None:
    study = create(it, "meanwhile", max_trials=2)
    with it.client() as client:
        for trial in study.trials():
            trial.report(acc=0.25, step=1)
            until(lambda trial=trial: client.get_trial(trial.id).observations)  # type: ignore[misc]
            trial.report(acc=0.5, step=2)
        for result in study.results():
            detail = client.get_trial(result.id)
            assert [(o.value, o.step) for o in detail.observations] == [(0.25, 1), (0.5, 2)]
            assert detail.trial.objective == 0.5


@pytest.mark.long
@pytest.mark.usefixtures("silent")
def test_more_than_one_call_takes_is_sent_before_the_end_and_nothing_is_lost(it: World, calls: Calls) -> None:
    study = create(it, "much", max_trials=2)
    for trial in study.trials():
        for i in range(2500):
            trial.report(acc=i)
    assert calls.names.count("ReportMetrics") == 4
    assert [len(r.observations) for r in calls.ends] == [500, 500]
    with it.client() as client:
        for result in study.results():
            assert result.objective == 2499
            items = client.list_observations(result.id, page_size=5000).items
            assert [o.value for o in items] == [float(i) for i in range(len(items))]
            assert len(items) >= 1000


def test_a_study_that_reaches_its_goal_leaves_no_trial_behind(it: World, caplog: pytest.LogCaptureFixture) -> None:
    study = create(it, "goal", max_trials=20, goal=0.9)
    for trial in study.trials():
        trial.report(acc=0.95 if trial.number == 3 else 0.1)
    assert states(study) == ["COMPLETED"] * 3
    assert until(lambda: study.state == "COMPLETED")
    assert "not this program's" not in caplog.text


@pytest.mark.usefixtures("silent")
def test_an_end_whose_answer_was_lost_is_sent_again_and_the_loop_goes_on_with_the_trial_that_was_in_it(
    it: World, calls: Calls
) -> None:
    study = create(it, "lost answer", max_trials=3)
    calls.lose = 1
    numbers = []
    for trial in study.trials():
        numbers.append((trial.number, trial.attempt))
        trial.report(acc=trial["x"])
    assert numbers == [(1, 1), (2, 1), (3, 1)]
    assert len(calls.ends) == 4
    assert calls.ends[0] == calls.ends[1]
    with it.client() as client:
        assert [len(client.get_trial(r.id).observations) for r in study.results()] == [1, 1, 1]


def test_an_end_without_an_answer_to_its_question_is_followed_by_the_question_alone(
    it: World, monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    real = ManagerClient.complete_and_ask

    def complete_and_ask(client: ManagerClient, *arguments: Any) -> None:
        real(client.within(30), *arguments[:-4], "somebody else", *arguments[-3:])

    study = create(it, "no answer", max_trials=None)
    monkeypatch.setattr(ManagerClient, "complete_and_ask", complete_and_ask)
    drive(study, 3)
    assert calls.names.count("SuggestTrials") == 3
    assert states(study).count("COMPLETED") == 3


def test_a_trial_that_was_lost_is_told_of_and_the_loop_goes_on(
    it: World, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "katib")
    study = create(it, "lost", max_trials=2)
    with it.client() as client:
        for trial in study.trials():
            if trial.number == 1:
                client.stop_trial(trial.id)
                until(lambda trial=trial: client.get_trial(trial.id).trial.state.finished)  # type: ignore[misc]
            trial.report(acc=0.5)
    assert states(study) == ["KILLED", "COMPLETED"]
    assert caplog.text.count("trial 1 is not this program's any more") == 1


@pytest.mark.long
def test_a_loop_whose_study_is_paused_in_the_middle_of_a_body_goes_on_when_it_does(it: World) -> None:
    study = create(it, "paused", max_trials=2)
    with it.client() as client:
        resume = threading.Timer(0.5, lambda: client.update_study(study.id, paused=False))
        for trial in study.trials():
            if trial.number == 1:
                client.update_study(study.id, paused=True)
                resume.start()
            trial.report(acc=trial["x"])
        resume.join()
    assert states(study) == ["COMPLETED", "COMPLETED"]


def test_what_was_reported_of_other_metrics_is_kept_where_the_objective_is_missing(it: World) -> None:
    study = create(it, "no objective")

    def loop() -> None:
        for trial in study.trials():
            trial.report(loss=1.0)

    with pytest.raises(InvalidArgumentError, match=r"trial\.report\(acc="):
        loop()
    (result,) = study.results()
    assert (result.state, result.message) == ("ERROR", "its body ended without reporting acc")
    with it.client() as client:
        assert [(o.name, o.value) for o in client.get_trial(result.id).observations] == [("loss", 1.0)]


def test_an_end_that_others_were_faster_than_is_tried_again(it: World, monkeypatch: pytest.MonkeyPatch) -> None:
    study = create(it, "faster", max_trials=2)
    failures: list[Exception] = [AbortedError("other clients were faster"), UnavailableError("away")]
    real = ManagerClient.complete_and_ask

    def complete_and_ask(client: ManagerClient, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(client, *arguments)

    monkeypatch.setattr(ManagerClient, "complete_and_ask", complete_and_ask)
    drive(study)
    assert states(study) == ["COMPLETED", "COMPLETED"]
