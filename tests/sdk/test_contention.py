"""Loops that meet one another, and a study that is paused and resumed under them."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import AbortedError, FailedPreconditionError
from katib.domain.trial import Trial
from katib.sdk.patience import patiently
from tests.e2e.harness import World, world

pytestmark = pytest.mark.long

LOOPS = 12


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("contention")) as it:
        it.suggestion("random")
        it.suggestion("tpe")
        it.manager()
        yield it


def create(it: World, name: str, max_trials: int, algorithm: str = "random") -> katib.Study:
    return katib.create_study(
        name, {"x": katib.Double(0, 1)}, maximize="acc", max_trials=max_trials, algorithm=algorithm, server=it.address
    )


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_many_loops_share_an_algorithm_and_none_of_them_ends_early(it: World, algorithm: str) -> None:
    study = create(it, f"many {algorithm}", 3 * LOOPS, algorithm)
    begin = threading.Barrier(LOOPS)
    failures: list[BaseException] = []

    def loop() -> None:
        begin.wait()
        try:
            for trial in study.trials():
                trial.report(acc=trial["x"])
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            failures.append(error)

    threads = [threading.Thread(target=loop) for _ in range(LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    results = study.results()
    assert [r.state for r in results] == ["COMPLETED"] * 3 * LOOPS
    assert len({r.parameters["x"] for r in results}) == 3 * LOOPS


def refuses(monkeypatch: pytest.MonkeyPatch, study: katib.Study, times: int) -> list[FailedPreconditionError]:
    """The study is paused when it is asked, the first `times`, and resumed before anybody looks at it."""
    told: list[FailedPreconditionError] = []
    ask = ManagerClient.suggest_trials

    def suggest_trials(
        client: ManagerClient, study_id: str, count: int, name: str, algorithm: str, lease: timedelta
    ) -> tuple[list[Trial], bool]:
        if len(told) >= times:
            given, completed = ask(client, study_id, count, name, algorithm, lease)
            return list(given), completed
        client.update_study(study_id, paused=True)
        try:
            ask(client, study_id, count, name, algorithm, lease)
        except FailedPreconditionError as error:
            told.append(error)
            raise
        finally:
            client.update_study(study_id, paused=False)
        raise AssertionError("a paused study gave a trial")

    monkeypatch.setattr(ManagerClient, "suggest_trials", suggest_trials)
    assert study.state == "RUNNING"
    return told


def test_a_study_that_is_resumed_before_the_loop_has_looked_goes_on(it: World, monkeypatch: pytest.MonkeyPatch) -> None:
    study = create(it, "resumed", 2)
    told = refuses(monkeypatch, study, 3)
    for trial in study.trials():
        trial.report(acc=trial["x"])
    assert len(told) == 3
    assert [r.state for r in study.results()] == ["COMPLETED", "COMPLETED"]


def test_a_running_study_that_refuses_for_ever_is_told_of_after_the_patience(
    it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = create(it, "refuses", 1)
    told = refuses(monkeypatch, study, 1000)
    with pytest.raises(FailedPreconditionError, match="PAUSED"):
        list(study.trials(patience=0.5))
    assert len(told) > 1


def test_what_another_was_faster_with_is_asked_for_again_and_told_of_only_when_that_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [AbortedError("other clients were faster")] * 2

    def call() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert patiently(call, 30, "asking") == "done"
    assert caplog.text == ""
    failures += [AbortedError("other clients were faster")] * 4
    assert patiently(call, 30, "asking") == "done"
    assert caplog.text.count("trying again for up to 30 s") == 1
    failures.append(AbortedError("other clients were faster"))
    with pytest.raises(AbortedError):
        patiently(call, 0, "asking")
