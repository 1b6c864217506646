"""The loop of a program that drives a study, against a manager and services as a user starts them."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, UnavailableError
from katib.domain.study import StudyReason, StudyState
from katib.domain.trial import TrialReason
from katib.sdk.held import Held, Keeper
from tests.e2e.harness import World, until, world
from tests.e2e.harness import study as driven_by_the_manager

DRIVER = Path(__file__).with_name("driver.py")
LEASE_S = 2.0


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("loop")) as it:
        for algorithm in ("auto", "random", "grid"):
            it.suggestion(algorithm)
        it.manager()
        yield it


def create(it: World, name: str, **changes: object) -> katib.Study:
    arguments: dict[str, object] = {"maximize": "acc", "max_trials": 3, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, server=it.address, **arguments)  # type: ignore[arg-type]


class Driver:
    """One of the programs."""

    def __init__(self, it: World, study: katib.Study, seconds: float, lease: float = LEASE_S, client: str = "") -> None:
        words = [sys.executable, str(DRIVER), it.address, study.id, str(seconds), str(lease), client]
        self.popen = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def line(self) -> list[str]:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().split()

    def rest(self) -> list[list[str]]:
        out, _ = self.popen.communicate(timeout=60)
        return [line.split() for line in out.splitlines()]

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.mark.long
def test_the_loop_of_five_lines(it: World) -> None:
    parameters = {
        "x": katib.Double(0, 1, step=0.25),
        "layers": katib.Int(1, 4),
        "batch": katib.Discrete(16, 32),
        "rate": katib.Discrete(0.5, 1.5),
        "kind": katib.Categorical("a", "b"),
    }
    study = katib.create_study("five", parameters, maximize="acc", max_trials=4, server=it.address)
    for trial in study.trials():
        assert [type(value) for value in trial.parameters.values()] == [float, int, int, float, str]
        trial.report(acc=trial["x"], loss=1.0, step=1)
        trial.report({"acc": trial["layers"]}, step=2)
        assert not trial.should_stop()
    results = study.results()
    assert [(r.number, r.state, r.objective) for r in results] == [
        (n, "COMPLETED", float(results[n - 1].parameters["layers"])) for n in (1, 2, 3, 4)
    ]
    best = study.best_trial
    assert best is not None
    assert best.objective == max(r.objective for r in results if r.objective is not None)
    assert best.parameters in [r.parameters for r in results]
    assert until(lambda: study.state == "COMPLETED")
    assert list(study.trials()) == []
    # Nobody named an algorithm.
    chosen = study.detail().best_trial
    assert chosen is not None
    assert "bayesianoptimization" in {tag.value for tag in chosen.tags}
    said = "auto uses bayesianoptimization: of 4 trials each is worth a model of all those before"
    assert study.detail().summary.message == f"4 trials have finished; {said}"


@pytest.mark.long
def test_a_program_says_where_the_models_of_its_trials_are(it: World) -> None:
    study = katib.create_study(
        "models", {"x": katib.Int(1, 3)}, maximize="acc", max_trials=2, algorithm="random", server=it.address
    )
    for trial in study.trials():
        trial.report(acc=trial["x"])
        trial.report_model("s3://models/first")
        trial.report_model(Path("/models") / str(trial.number))
        with pytest.raises(InvalidArgumentError, match="printable"):
            trial.report_model("a\nb")
    with closing(ManagerClient(it.address)) as client:
        assert until(lambda: {m.number for m in client.saved_models("models").items} == {1, 2})
        models = client.saved_models("models").items
    assert {(m.model_path, m.objective) for m in models} == {
        (f"/models/{r.number}", r.objective) for r in study.results()
    }


def test_the_algorithm_goes_with_the_study(it: World) -> None:
    study = katib.create_study("swept", {"x": katib.Int(1, 3)}, minimize="acc", algorithm="grid", server=it.address)
    opened = katib.open_study("swept", server=it.address)
    assert (opened.id, opened.name) == (study.id, "swept")
    seen = []
    for trial in opened.trials():
        seen.append(trial["x"])
        trial.report(acc=trial["x"])
    assert sorted(seen) == [1, 2, 3]
    assert opened.best_trial is not None
    assert opened.best_trial.parameters == {"x": 1}
    # Nobody else can end it: it has no limit.
    summary = opened.detail().summary
    assert (summary.state, summary.reason) == (StudyState.COMPLETED, StudyReason.EXHAUSTED)
    assert "grid has nothing more to try" in summary.message


def test_a_body_that_raises_leaves_its_trial_in_error_and_ends_the_loop_or_not(it: World) -> None:
    study = create(it, "raises")

    def body(trial: katib.Trial) -> float:
        if trial.number == 2:
            raise ValueError("no such layer")
        return float(trial["x"])

    with pytest.raises(ValueError, match="no such layer"):
        study.run(body)
    study.run(body, on_error="continue")
    assert [(r.state, r.reason, r.message) for r in study.results()] == [
        ("COMPLETED", "", ""),
        ("ERROR", TrialReason.FAILED_AT_CLIENT, "ValueError: no such layer"),
        ("COMPLETED", "", ""),
    ]
    with pytest.raises(InvalidArgumentError, match="on_error"):
        study.run(body, on_error="ignore")


def test_a_loop_that_is_left_in_the_middle_gives_its_trial_up(it: World) -> None:
    study = create(it, "left")

    def divide() -> None:
        for trial in study.trials():
            trial.report(acc=1 / 0)

    def interrupted() -> None:
        for trial in study.trials():
            with trial:
                raise KeyboardInterrupt

    with pytest.raises(ZeroDivisionError):
        divide()
    for trial in study.trials():
        trial.report(acc=0.5)
        trial.complete()
        break
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    states = [(r.state, r.reason) for r in study.results()]
    assert states == [
        ("KILLED", TrialReason.ABANDONED),
        ("COMPLETED", ""),
        ("KILLED", TrialReason.ABANDONED),
    ]


def test_a_body_that_does_not_report_the_objective_is_told_which_one(it: World) -> None:
    study = create(it, "silent")

    def loop() -> None:
        for trial in study.trials():
            trial.report(loss=1.0)

    with pytest.raises(InvalidArgumentError, match=r"trial\.report\(acc="):
        loop()
    (result,) = study.results()
    assert (result.state, result.message) == ("ERROR", "its body ended without reporting acc")


@pytest.mark.parametrize("bad", [{"a b": 1.0}, {"acc": "much"}, {"": 1.0}, {"acc": None}])
def test_what_cannot_be_reported_is_refused_at_once(it: World, bad: dict[str, float]) -> None:
    study = create(it, "bad values", max_trials=1, exist_ok=True)
    for trial in study.trials(limit=1, client="the same"):
        with trial, pytest.raises(InvalidArgumentError):
            trial.report(bad)
        trial.report(acc=float("nan"))
        trial.complete()


@pytest.mark.long
def test_mistakes_are_named(it: World) -> None:
    with pytest.raises(NotFoundError, match="no study named 'nothing'"):
        katib.open_study("nothing", server=it.address)
    create(it, "the only one, perhaps")
    for empty in ("", " "):
        with pytest.raises(InvalidArgumentError, match=r"study: .*expected the id or the name of a study"):
            katib.open_study(empty, server=it.address)
    for _ in range(2):
        create(it, "twice")
    with pytest.raises(InvalidArgumentError, match="several studies"):
        katib.open_study("twice", server=it.address)
    with it.client() as client, pytest.raises(FailedPreconditionError, match="driven by the manager"):
        next(iter(katib.open_study(client.create_study(driven_by_the_manager()), server=it.address).trials()))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        katib.open_study("twice", server="unix:/nowhere/at/all")


@pytest.mark.slow
def test_settings_that_the_algorithm_refuses_create_no_study_and_where_it_is_not_there_yet_they_do(it: World) -> None:
    with pytest.raises(InvalidArgumentError, match="did you mean DefaultGrid"):
        create(it, "wrong settings", algorithm="grid", settings={"defaultgrid": 3})
    with pytest.raises(InvalidArgumentError, match="'0': expected a whole number from 1 on for DefaultGrid"):
        create(it, "wrong settings", algorithm="grid", settings={"DefaultGrid": 0})
    with it.client() as client:
        assert not client.list_studies(name="wrong settings").items
    assert create(it, "settings later", algorithm="tpe", settings={"MySetting": 0}).state == "RUNNING"


@pytest.mark.long
def test_many_that_create_the_same_study_get_one(it: World) -> None:
    found = {create(it, "shared", exist_ok=True).id for _ in range(3)}
    assert len(found) == 1
    with pytest.raises(InvalidArgumentError, match="other parameters"):
        katib.create_study("shared", {"y": katib.Int(1, 2)}, maximize="acc", exist_ok=True, server=it.address)
    for changes, named in (
        ({"maximize": "f1"}, "its objective is to maximize acc, not to maximize f1"),
        ({"maximize": "", "minimize": "acc"}, "its objective is to maximize acc, not to minimize acc"),
        ({"algorithm": "tpe"}, "its algorithm is random, not tpe"),
        ({"settings": {"Seed": 1}}, "its setting is left to the algorithm, not Seed=1"),
    ):
        with pytest.raises(InvalidArgumentError, match=named):
            create(it, "shared", exist_ok=True, **changes)
    # What can be changed later may differ.
    assert create(it, "shared", exist_ok=True, max_trials=50, goal=0.5).id in found


def test_a_study_that_is_being_deleted_is_not_opened_in_place_of_a_new_one(it: World) -> None:
    with it.client() as client:
        # How long it takes until one is gone is chance.
        for _ in range(5):
            study = create(it, "deleted", exist_ok=True)
            client.delete_study(study.id)
            another = create(it, "deleted", exist_ok=True)
            assert another.id != study.id
            assert katib.open_study("deleted", server=it.address).id == another.id
            client.delete_study(another.id)
            with pytest.raises(NotFoundError, match="no study named 'deleted'"):
                katib.open_study("deleted", server=it.address)


@pytest.mark.long
def test_what_a_killed_program_had_goes_to_another_after_the_lease(it: World) -> None:
    study = create(it, "killed", max_trials=1)
    first = Driver(it, study, 600)
    assert first.line() == ["begin", "1", "1"]
    second = Driver(it, study, 0.1)
    time.sleep(LEASE_S * 1.5)
    # As long as it lives its trial is its own, however long it computes.
    assert study.results()[0].reason == ""
    first.kill()
    begin = time.monotonic()
    assert second.line() == ["begin", "1", "2"]
    assert time.monotonic() - begin < LEASE_S + 10
    assert second.rest() == [["end", "1", "2"], ["over"]]
    (result,) = study.results()
    assert (result.state, result.objective) == ("COMPLETED", result.parameters["x"])


@pytest.mark.slow
def test_a_program_that_starts_again_under_its_name_goes_on_with_its_trial_at_once(it: World) -> None:
    study = create(it, "again", max_trials=1)
    first = Driver(it, study, 600, 3600, "worker-1")
    assert first.line() == ["begin", "1", "1"]
    first.kill()
    second = Driver(it, study, 0, 3600, "worker-1")
    assert second.rest() == [["begin", "1", "1"], ["end", "1", "1"], ["over"]]


@pytest.mark.slow
def test_one_that_was_frozen_for_longer_than_its_lease_learns_that_its_trial_is_anothers(it: World) -> None:
    study = create(it, "frozen", max_trials=2)
    first = Driver(it, study, 2)
    assert first.line() == ["begin", "1", "1"]
    first.popen.send_signal(signal.SIGSTOP)
    second = Driver(it, study, 0.1)
    lines = second.rest()
    first.popen.send_signal(signal.SIGCONT)
    # It comes to the end of its body, which counts for nothing, and finds the study ended.
    assert first.rest()[-1] == ["over"]
    assert ["begin", "1", "2"] in lines
    assert [r.state for r in study.results()] == ["COMPLETED", "COMPLETED"]
    with it.client() as client:
        detail = client.get_trial(study.results()[0].id)
    assert [(o.attempt, o.step) for o in detail.observations] == [(2, 1), (2, 2)]


@pytest.mark.long
def test_eight_programs_share_a_study_and_no_trial_is_given_twice(it: World) -> None:
    study = create(it, "eight", max_trials=40)
    drivers = [Driver(it, study, 0.02, 60) for _ in range(8)]
    lines = [line for driver in drivers for line in driver.rest()]
    assert sorted(int(number) for word, number, *_ in ((*line, "") for line in lines) if word == "begin") == list(
        range(1, 41)
    )
    assert sorted(int(number) for word, number, *_ in ((*line, "") for line in lines) if word == "end") == list(
        range(1, 41)
    )
    assert [line for line in lines if line == ["over"]] == [["over"]] * 8
    assert {r.state for r in study.results()} == {"COMPLETED"}


def test_a_study_that_is_stopped_ends_its_loops(it: World) -> None:
    study = create(it, "stopped", max_trials=100)
    seen = []
    for trial in study.trials(lease=1.0):
        seen.append(trial.number)
        trial.report(acc=0.5)
        study.stop()
        until(trial.should_stop)
    assert seen == [1]
    assert study.state == "STOPPED"


@pytest.mark.slow
def test_a_manager_that_restarts_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "katib")
    with world(tmp_path) as it:
        it.suggestion("random")
        manager = it.manager()
        study = create(it, "restarts", max_trials=2)

        def start_again() -> None:
            until(lambda: "trying again for up to 60 s" in caplog.text, 50)
            it.manager()

        starter = threading.Thread(target=start_again)
        for trial in study.trials(patience=60):
            if trial.number == 1:
                manager.kill()
                starter.start()
            trial.report(acc=trial["x"])
        starter.join()
        assert [r.state for r in study.results()] == ["COMPLETED", "COMPLETED"]


@pytest.mark.slow
def test_a_thread_keeps_the_lease_alive_and_ends_with_the_body(it: World) -> None:
    study = create(it, "kept", max_trials=1)
    with it.client() as client:
        (trial,), _ = client.suggest_trials(study.id, client_id="me", lease=timedelta(seconds=1))
        with Keeper(timedelta(seconds=1)) as keeper:
            keeper.keep(Held(client, trial.id, 1))
            time.sleep(2.5)
            seen = client.get_trial(trial.id).trial
            assert (seen.reason, seen.attempt) == ("", 1)
        until(lambda: client.get_trial(trial.id).trial.reason == TrialReason.LEASE_EXPIRED)
