"""The observations of a study for other programs, and names of metrics that it has not."""

import csv
import io
import json
import signal
import subprocess
from threading import Barrier, Event

import pytest

from katib.domain.metrics import Observation
from tests.cli.conftest import PROGRAM, Cli
from tests.cli.scripted import NOW, ScriptedManager, study, trial

A = "a" + "0" * 15


def observation(name: str, value: float, attempt: int = 1) -> Observation:
    return Observation(name, value, NOW, attempt, "output", 1)


@pytest.fixture
def observed(manager: ScriptedManager) -> ScriptedManager:
    manager.add(study(A))
    manager.trials = [trial(1), trial(2, attempt=2)]
    manager.observations = {
        trial(1).id: [observation("accuracy", 0.5), observation("own", 7.0)],
        trial(2).id: [observation("accuracy", 0.6, attempt=2)],
    }
    return manager


def names(text: str) -> list[str]:
    return [row["name"] for row in csv.DictReader(io.StringIO(text))]


def test_everything_is_exported_or_the_metrics_that_are_named(cli: Cli, observed: ScriptedManager) -> None:
    done = cli("export", A)
    assert (done.code, names(done.out), done.err) == (0, ["accuracy", "own", "accuracy"], "")
    # What a client reports under a name of its own is there as well.
    assert names(cli("export", A, "--metric", "own").out) == ["own"]
    found = json.loads(cli("export", A, "--metric", "accuracy", "-o", "json").out)
    assert [row["trial_number"] for row in found] == [1, 2]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_metric_that_the_study_has_not_is_refused_with_those_that_it_has(
    form: str, cli: Cli, observed: ScriptedManager
) -> None:
    done = cli("export", A, "--metric", "acuracy", "--metric", "\x1b", "-o", form)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"Error: no trial of study {A} has a value of 'acuracy', '\\x1b'; the study's metrics are 'accuracy'\n"
    )


def test_of_several_metrics_those_without_a_value_are_told_beside_the_output(
    cli: Cli, observed: ScriptedManager
) -> None:
    done = cli("export", A, "--metric", "accuracy", "--metric", "acuracy")
    assert (done.code, names(done.out)) == (0, ["accuracy", "accuracy"])
    assert done.err == "No trial has a value of 'acuracy'.\n"


def test_many_trials_are_asked_for_at_once(cli: Cli, observed: ScriptedManager) -> None:
    """Thousands of short calls are mostly waited for, the more so the further away the manager is."""
    together = Barrier(16)
    observed.observing = lambda: together.wait(10)
    observed.trials = [trial(number) for number in range(1, 33)]
    observed.observations = {trial(n).id: [observation("accuracy", n / 10)] for n in range(1, 33)}
    found = csv.DictReader(io.StringIO(cli("export", A).out))
    assert [(row["trial_number"], row["value"]) for row in found] == [(str(n), str(n / 10)) for n in range(1, 33)]


def test_of_trials_of_many_values_few_are_asked_for_at_once_and_more_of_each(
    cli: Cli, observed: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("katib.cli.export._SHORT", (4, 2))
    monkeypatch.setattr("katib.cli.export._LONG", (2, 4))
    observed.trials = [trial(number) for number in range(1, 15)]
    values = {n: [float(k) for k in range(5 if 3 <= n <= 8 else 1)] for n in range(1, 15)}
    observed.observations = {trial(n).id: [observation("accuracy", v) for v in of] for n, of in values.items()}
    found = csv.DictReader(io.StringIO(cli("export", A).out))
    assert [(int(row["trial_number"]), float(row["value"])) for row in found] == [
        (n, v) for n, of in values.items() for v in of
    ]
    first = {}
    for trial_id, size in observed.observations_asked:
        first.setdefault(trial_id, size)
    # The third is the first that has many, and three were under way behind it; the ninth is the first that has few again.
    assert [first[trial(n).id] for n in values] == [2] * 6 + [4] * 4 + [2] * 4


@pytest.mark.long
def test_an_interrupt_waits_for_none_of_what_was_asked_for(server: str, observed: ScriptedManager) -> None:
    asked, ended = Event(), Event()
    observed.observing = lambda: (asked.set(), ended.wait(30))
    process = subprocess.Popen([str(PROGRAM), "-s", server, "export", A], stderr=subprocess.PIPE, text=True)
    assert asked.wait(30)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
        ended.set()
    assert (process.returncode, err.strip()) == (130, "Interrupted.")


def test_a_metric_of_the_study_that_nobody_has_reported_is_no_error(cli: Cli, observed: ScriptedManager) -> None:
    observed.observations.clear()
    done = cli("export", A, "--metric", "accuracy", "-o", "json")
    assert (done.code, done.out, done.err) == (0, "[]\n", "No trial has a value of 'accuracy'.\n")
