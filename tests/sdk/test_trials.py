"""A trial in the hands of a program: how it ends, and what is said against it that cannot be."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from katib.domain.study import Setting
from katib.domain.trial import TrialReason
from katib.sdk.held import Held, Keeper
from tests.e2e.harness import World, until, world
from tests.service.test_contract import idle

# Nothing is heard of such a one by its own signs within a test.
LONG_S = 86_400.0


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("trials")) as it:
        it.suggestion("random")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 2, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def states(study: katib.Study) -> list[tuple[str, str]]:
    return [(r.state, r.reason) for r in study.results()]


FORKS = """
import os, sys, katib
study = katib.open_study(sys.argv[2], server=sys.argv[1])
for trial in study.trials(limit=1):
    child = os.fork()
    if not child:
        for call in (lambda: trial.report(acc=0.1), trial.complete, lambda: trial.fail("no")):
            try:
                call()
            except katib.KatibError as error:
                assert "forked" in str(error), error
            else:
                os._exit(3)
        with trial:
            sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    trial.report(acc=0.5)
"""


@pytest.mark.long
def test_a_forked_child_can_neither_end_its_parents_trial_nor_report_in_vain(it: World) -> None:
    study = create(it, "forks")
    subprocess.run([sys.executable, "-c", FORKS, it.address, study.id], check=True, timeout=100)
    (result,) = study.results()
    assert (result.state, result.objective) == ("COMPLETED", 0.5)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.long
@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (OSError("no such file: caf\udce9.csv"), "OSError: no such file: caf?.csv"),
        (ValueError("x" * 70_000_000), "ValueError: xxx"),
        (UnprintableError(), "UnprintableError"),
    ],
    ids=["no UTF-8", "longer than a message", "without a text"],
)
def test_whatever_a_body_raises_is_noted_on_its_trial(
    it: World, raised: Exception, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pytest has captured of the log could not be passed on by a process of its own.
    monkeypatch.setattr(logging.getLogger("katib"), "propagate", False)
    study = create(it, f"raises {type(raised).__name__}")

    def body(trial: katib.Trial) -> float:
        if trial.number == 1:
            raise raised
        return 0.5

    study.run(body, on_error="continue")
    failed, done = study.results()
    assert (failed.state, failed.reason, done.state) == ("ERROR", TrialReason.FAILED_AT_CLIENT, "COMPLETED")
    assert failed.message.startswith(shown)


def test_what_goes_wrong_while_a_trial_is_given_up_hides_nothing(
    it: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def abandon_trial(*_arguments: object) -> None:
        raise TypeError("a defect")

    study = create(it, "hides nothing")
    monkeypatch.setattr(ManagerClient, "abandon_trial", abandon_trial)

    def loop() -> None:
        for trial in study.trials():
            with trial:
                raise KeyError("the body's own")

    with pytest.raises(KeyError, match="the body's own"):
        loop()
    assert "a defect" in caplog.text


def test_a_completion_that_was_interrupted_is_made_up_for(it: World, monkeypatch: pytest.MonkeyPatch) -> None:
    study = create(it, "interrupted")
    trials = study.trials()
    trial = next(trials)
    trial.report(acc=0.5)

    def complete_trial(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ManagerClient, "complete_trial", complete_trial)
        with pytest.raises(KeyboardInterrupt):
            trial.complete()
    assert not trial.over
    trial.complete()
    trial.complete()
    assert states(study) == [("COMPLETED", "")]


def test_a_trial_that_has_ended_takes_no_reports_and_says_so(it: World, caplog: pytest.LogCaptureFixture) -> None:
    study = create(it, "ended", max_trials=3)
    trials = study.trials()
    done = next(trials)
    done.report(acc=0.5)
    done.complete()
    with pytest.raises(FailedPreconditionError, match="it is completed"):
        done.report(acc=0.9)
    done.fail("no")
    assert "cannot fail any more: it is completed" in caplog.text
    failed = next(trials)
    failed.fail("broken")
    failed.complete()
    assert "cannot be completed: it has failed" in caplog.text
    # The iterator is gone as soon as it has given one.
    left = next(study.trials())
    with pytest.raises(FailedPreconditionError, match="its loop was left"):
        left.report(acc=0.5)
    assert [state for state, _ in states(study)] == ["COMPLETED", "ERROR", "KILLED"]


def test_to_leave_a_loop_is_no_failure(it: World, caplog: pytest.LogCaptureFixture) -> None:
    study = create(it, "no failure", max_failed_trials=1, max_trials=4)

    def raises(error: BaseException) -> None:
        for trial in study.trials():
            trial.report(acc=0.1)
            raise error

    for _ in study.trials():
        break
    for error in (KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            raises(error)
    assert states(study) == [("KILLED", TrialReason.ABANDONED)] * 3
    assert study.detail().summary.failed == 0
    assert "trial 1 is given up: its loop was left" in caplog.text
    for trial in study.trials():
        trial.report(acc=0.5)
    assert until(lambda: study.state == "COMPLETED")


class Number:
    """As those of array libraries."""

    def __float__(self) -> float:
        return 0.25


@pytest.mark.parametrize("value", [Number(), 1, float("inf")])
def test_whatever_is_a_number_may_be_returned(it: World, value: Any) -> None:
    study = create(it, "returned", max_trials=1)
    study.run(lambda _trial: value)
    (result,) = study.results()
    assert (result.state, result.objective) == ("COMPLETED", float(value))


@pytest.mark.parametrize("value", [None, True, "0.5", {}])
def test_a_body_that_returns_no_number_and_has_reported_none_does_not_end_a_run_that_goes_on(
    it: World, value: Any
) -> None:
    study = create(it, "nothing returned")
    study.run(lambda trial: value if trial.number == 1 else 0.5, on_error="continue")
    assert [state for state, _ in states(study)] == ["ERROR", "COMPLETED"]
    with pytest.raises(InvalidArgumentError, match=r"trial\.report\(acc="):
        create(it, "nothing returned").run(lambda _trial: value)


@pytest.mark.long
def test_who_asks_whether_to_stop_learns_of_it_soon_whatever_the_lease(it: World) -> None:
    study = create(it, "asks")
    with it.client() as client:
        for trial in study.trials(lease=LONG_S, limit=1):
            assert not trial.should_stop()
            client.stop_trial(trial.id)
            until(trial.should_stop)
            assert trial.should_stop()
    assert states(study) == [("KILLED", TrialReason.STOPPED_BY_USER)]


@pytest.mark.long
def test_the_rule_of_a_study_that_programs_drive_stops_their_trials(it: World) -> None:
    it.earlystopping("threshold")
    rule = {"early_stopping": "threshold", "early_stopping_settings": (Setting("Lower", "0.5"),)}
    with it.client() as client:
        study = katib.open_study(client.create_study(idle("ruled", **rule)), server=it.address)
    for trial in study.trials(lease=LONG_S, limit=2):
        trial.report(acc=0.1 if trial.number == 1 else 0.9, step=1)
        if trial.number == 1:
            until(trial.should_stop)
    assert states(study)[0] == ("KILLED", TrialReason.EARLY_STOPPED)
    assert states(study)[1][0] == "COMPLETED"


def test_a_trial_that_is_lost_keeps_nothing_that_is_reported_afterwards(it: World) -> None:
    study = create(it, "lost")
    with it.client() as client:
        (given,), _ = client.suggest_trials(study.id, client_id="me")
        held = Held(client, given.id, given.attempt)
        client.stop_trial(given.id)
        until(lambda: client.get_trial(given.id).trial.state.finished)
        held.add([("acc", 0.5)], 1)
        held.send(30)
        assert held.lost
        held.add([("acc", 0.5)], 2)
        assert not held.waiting


@pytest.mark.parametrize("step", [1.5, 2**63, "1", float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused_at_once_and_a_whole_float_is_one(it: World, step: Any) -> None:
    study = create(it, "steps", exist_ok=True, max_trials=None)
    for trial in study.trials(limit=1, client="the same"):
        with pytest.raises(InvalidArgumentError, match="whole number"):
            trial.report(acc=0.5, step=step)
        trial.report(acc=0.5, step=4.0)  # type: ignore[arg-type]
        trial.complete()
        with it.client() as client:
            assert [o.step for o in client.get_trial(trial.id).observations] == [4]


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), 1e12, None])
def test_a_lease_that_is_none_is_refused_before_anything_is_asked_for(it: World, lease: Any) -> None:
    study = create(it, "leases", exist_ok=True)
    with pytest.raises(InvalidArgumentError, match="lease"):
        study.trials(lease=lease)
    with pytest.raises(InvalidArgumentError, match="patience"):
        study.trials(patience=float("nan"))
    assert study.results() == []


def test_a_loop_that_begins_waits_for_a_manager_as_long_as_its_patience(
    it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = create(it, "away")
    asked = []

    def get_study(_client: ManagerClient, study_id: str) -> None:
        asked.append(study_id)
        raise UnavailableError("away")

    monkeypatch.setattr(ManagerClient, "get_study", get_study)
    with pytest.raises(UnavailableError):
        study.trials(patience=0)
    assert len(asked) == 1


@pytest.mark.long
def test_the_thread_that_keeps_a_lease_survives_what_it_did_not_expect(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "katib")
    held = Held(ManagerClient("unix:/nowhere/at/all"), "t000000000000000", 1)
    signs: list[int] = []

    def give_sign() -> None:
        signs.append(1)
        raise ZeroDivisionError

    held.give_sign = give_sign  # type: ignore[method-assign]
    with Keeper(timedelta(seconds=1)) as keeper:
        keeper.keep(held)
        until(lambda: len(signs) > 2)
    assert caplog.text.count("no sign of life") == 1


def test_a_trial_whose_completion_failed_is_killed_where_it_is_abandoned(
    it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = create(it, "abandoned after all", max_trials=1)
    complete = ManagerClient.complete_trial

    def refused(*_arguments: object, **_named: object) -> NoReturn:
        raise PermissionDeniedError("not now")

    monkeypatch.setattr(ManagerClient, "complete_trial", refused)
    trials = study.trials()
    trial = next(trials)
    trial.report(acc=0.5)
    with pytest.raises(PermissionDeniedError):
        trial.complete()
    monkeypatch.setattr(ManagerClient, "complete_trial", complete)
    trial.abandon()
    assert [result.state for result in study.results()] == ["KILLED"]
