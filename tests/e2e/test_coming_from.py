"""docs/coming-from.md: what it shows runs, and what it names of ours is there."""

import inspect
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import katib
from katib.domain.study_file import StudyFileError, parse_study
from tests.e2e.harness import World

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming-from.md").read_text()
PROGRAM, FILE = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL)
OURS = [line.split(" | ")[1] for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.long
def test_its_program_runs_and_finds_something(running: World) -> None:
    running.environment["KATIB_SERVER"] = running.address
    process = running.start(sys.executable, "-W", "error", "-c", PROGRAM, name="coming-from")
    assert process.popen.wait(100) == 0, process.output
    assert 0.5 < float(process.output.splitlines()[-1].split()[0]) < 1


def test_its_study_file_is_read_without_a_remark() -> None:
    assert parse_study(FILE).remarks == ()


def test_its_algorithms_and_rules_are_there() -> None:
    # Of the rows on samplers, on pruners and on schedulers, and what the study file asks for.
    (samplers,) = (ours for ours in OURS if ours.startswith('`algorithm="'))
    (pruners,) = (ours for ours in OURS if ours.startswith('`early_stopping="'))
    algorithms = {*re.findall(r'"(\w+)"', samplers), "hyperband", "random"}
    rules = {*re.findall(r'"(\w+)"', pruners), "asha", "medianstopping"}
    assert (len(algorithms), len(rules)) == (8, 6)
    assert algorithms <= {entry.name for entry in entry_points(group="katib.suggestions")}
    assert rules == {entry.name for entry in entry_points(group="katib.earlystopping")}


def test_its_arguments_are_taken_and_its_methods_are_there() -> None:
    arguments = {name for ours in OURS for name in re.findall(r"`(\w+)=", ours)} - {"accuracy"}
    taken = {*inspect.signature(katib.create_study).parameters, *inspect.signature(katib.Study.run).parameters}
    assert len(arguments) > 8
    assert arguments - taken == set()
    assert [m for ours in OURS for m in re.findall(r"`?study\.(\w+)", ours) if not hasattr(katib.Study, m)] == []
    assert [m for ours in OURS for m in re.findall(r"`trial\.(\w+)", ours) if not hasattr(katib.Trial, m)] == []
    assert [m for ours in OURS for m in re.findall(r"`katib\.(\w+)", ours) if not hasattr(katib, m)] == []


def test_whoever_writes_the_keys_of_an_experiment_is_told_those_of_a_study_file() -> None:
    theirs = (
        "name: s\nobjective: {type: maximize, objectiveMetricName: a, additionalMetricNames: [b]}\n"
        "algorithm: {algorithmName: random, algorithmSettings: []}\nparallelTrialCount: 3\nmaxTrialCount: 12\n"
        "maxFailedTrialCount: 3\nmetricsCollectorSpec: {}\n"
        "parameters:\n  - name: x\n    parameterType: double\n    feasibleSpace: {min: 0, max: 1}\n"
    )
    with pytest.raises(StudyFileError) as error:
        parse_study(theirs)
    assert re.findall(r"here it is '(.*)'", str(error.value)) == [
        "name",
        "metrics, beside objective",
        "name",
        "settings",
        "max_parallel",
        "max_trials",
        "max_failed_trials",
        "metrics_collector",
        "min, max, step or list",
    ]
    assert "did you mean" not in str(error.value)
