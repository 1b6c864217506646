"""A loop whose reports the manager refuses for good goes on, keeps its trials, and completes them."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import InvalidArgumentError, ResourceExhaustedError, violation
from katib.domain.metrics import MetricStrategy, Observation
from tests.e2e.harness import World, world
from tests.e2e.harness import study as a_study

MOST = 5


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("refused")) as it:
        it.suggestion("random")
        it.manager("--max-observations-per-trial", str(MOST))
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 2, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def ends(study: katib.Study) -> list[tuple[str, float | None]]:
    return [(r.state, r.objective) for r in study.results()]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_trial_that_reports_more_than_is_kept_is_completed_with_its_latest_value(
    it: World, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    study = create(it, f"beyond {limit}", max_trials=limit)
    for trial in study.trials(limit=limit):
        for step in range(2 * MOST):
            trial.report(acc=step, step=step)
    assert ends(study) == [("COMPLETED", 2.0 * MOST - 1)] * limit
    assert caplog.text.count("--max-observations-per-trial") == limit


@pytest.mark.slow
def test_a_loop_whose_reports_are_refused_keeps_its_lease(it: World, caplog: pytest.LogCaptureFixture) -> None:
    study = create(it, "lease", max_trials=1)
    with it.client() as client:
        for trial in study.trials(lease=2.0):
            for part in range(3):
                for step in range(2000):
                    trial.report(acc=step, step=step)
                time.sleep(1.5)
                seen = client.get_trial(trial.id).trial
                assert (seen.reason, seen.attempt, part) == ("", 1, part)
            trial.report(acc=0.25)
            assert not trial.should_stop()
    assert ends(study) == [("COMPLETED", 0.25)]
    assert caplog.text.count("are refused") == 1


def test_a_trial_that_is_given_up_after_its_reports_were_refused_is_killed_or_in_error(it: World) -> None:
    study = create(it, "given up")
    for trial in study.trials():
        for step in range(2 * MOST):
            trial.report(acc=step, step=step)
        if trial.number == 2:
            break
        trial.fail("broken")
    assert [(r.state, r.message) for r in study.results()] == [
        ("ERROR", "broken"),
        ("KILLED", "its client gave it up"),
    ]


def test_the_best_value_counts_where_the_strategy_of_the_study_says_so(it: World) -> None:
    with it.client() as client:
        spec = a_study(
            "strategy", algorithm="", command=(), objective_strategy=MetricStrategy.MAX, limits={"max_trials": 1}
        )
        study = katib.open_study(client.create_study(spec), server=it.address)
    for trial in study.trials():
        for value in (*range(2 * MOST), 0.5):
            trial.report(acc=value)
    assert ends(study) == [("COMPLETED", 2.0 * MOST - 1)]


def test_reports_that_are_no_arguments_to_the_manager_are_dropped_and_the_trial_is_completed(
    it: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a manager of another version may see it."""
    real = ManagerClient.complete_trial

    def complete_trial(
        client: ManagerClient,
        study_id: str,
        trial_id: str,
        objective: Any,
        attempt: int,
        rest: Sequence[Observation],
        by: str,
    ) -> None:
        if rest:
            raise InvalidArgumentError([violation("observations[0].step", 3, "expected something else")])
        real(client, study_id, trial_id, objective, attempt, rest, by)

    monkeypatch.setattr(ManagerClient, "complete_trial", complete_trial)
    study = create(it, "no arguments", max_trials=1)
    for trial in study.trials(limit=1):
        trial.report(acc=0.5, step=3)
    assert ends(study) == [("COMPLETED", 0.5)]
    assert "expected something else" in caplog.text


def test_reports_that_are_refused_for_now_are_not_dropped(
    it: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def complete_trial(*_arguments: object) -> None:
        raise ResourceExhaustedError("too many calls", retry_after=1.0)

    study = create(it, "for now", max_trials=1)
    trials = study.trials(limit=1)
    trial = next(trials)
    trial.report(acc=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(ManagerClient, "complete_trial", complete_trial)
        with pytest.raises(ResourceExhaustedError):
            trial.complete()
    trial.complete()
    assert ends(study) == [("COMPLETED", 0.5)]
    assert "are refused" not in caplog.text
