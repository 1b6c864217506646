"""The commands against a manager: what they ask of it, print, refuse, and return."""

import json
import math
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from katib.api import calls
from katib.cli import session
from katib.domain.asked import ALGORITHM_TAG
from katib.domain.errors import FailedPreconditionError, FieldViolation, InvalidArgumentError
from katib.domain.study import Limits, Objective, Setting
from katib.domain.study_file import parse_study
from katib.domain.trial import Tag, TrialState
from katib.domain.views import ServiceKind, ServiceStatus
from tests.cli.conftest import ROOT, Cli
from tests.cli.scripted import SPEC, ScriptedManager, study, trial

A = "a" + "0" * 15
FILE = """\
name: digits
objective: {name: accuracy, type: maximize}
algorithm:
  name: random
  settings: {Seed: 1}
parameters:
  - {name: --lr, type: double, min: 0.01, max: 0.1}
command: [python, train.py]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(FILE)
    return path


def test_the_defaults_are_the_clients() -> None:
    assert (session.DEFAULT_SERVER, session.DEFAULT_TIMEOUT_S) == (calls.DEFAULT_ADDRESS, calls.DEFAULT_TIMEOUT_S)


# create-study


@pytest.mark.parametrize("spelling", [["create-study"], ["create", "study"]])
def test_a_study_is_created_with_the_sentence_of_katib_0_1(
    spelling: list[str], cli: Cli, manager: ScriptedManager, file: Path
) -> None:
    done = cli(*spelling, "-f", str(file))
    assert (done.code, done.out, done.err) == (0, "Study c000000000000000 is created.\n", "")
    (request,) = manager.calls
    assert request.study_config.name == "digits"
    assert request.study_config.working_dir == ""


def test_a_study_of_katib_0_1_is_created_and_what_was_passed_over_is_told(
    cli: Cli, manager: ScriptedManager, tmp_path: Path
) -> None:
    path = tmp_path / "old.yaml"
    path.write_text((ROOT / "examples" / "cifer10.yaml").read_text() + "colour: red\n")
    done = cli("create", "study", "-f", str(path))
    assert (done.code, done.out) == (0, "Study c000000000000000 is created.\n")
    assert done.err == f"{path}:52: warning: colour: ignored: there is no such key\n"


def test_a_study_that_nobody_would_run_is_created_and_that_is_told(
    cli: Cli, manager: ScriptedManager, file: Path
) -> None:
    file.write_text(FILE.replace("algorithm:\n  name: random\n  settings: {Seed: 1}\n", ""))
    done = cli("create-study", "-f", str(file))
    assert (done.code, done.out) == (0, "Study c000000000000000 is created.\n")
    assert done.err.startswith(f"{file}:5: warning: command: the study's trials are run by nobody but clients")
    assert "with max_trials or algorithm in the file Katib runs this" in done.err


def test_a_warning_is_told_once_where_the_manager_refuses_the_study(
    cli: Cli, manager: ScriptedManager, tmp_path: Path
) -> None:
    path = tmp_path / "old.yaml"
    path.write_text((ROOT / "examples" / "cifer10.yaml").read_text() + "colour: red\n")
    manager.refusal = InvalidArgumentError([FieldViolation("study_config.owner", "root", "expected ann")])
    lines = cli("create-study", "-f", str(path)).err.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "warning: colour: ignored: there is no such key",
        "owner: 'root': expected ann",
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [(".", "{folder}"), ("train/../run", "{folder}/run"), ("/opt/x", "/opt/x"), ("~/x", "{home}/x")],
)
def test_a_working_directory_is_seen_from_the_folder_of_the_file(
    written: str, meant: str, cli: Cli, manager: ScriptedManager, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent.parent)
    file.write_text(f"{FILE}working_dir: {written}\n")
    assert cli("create-study", "-f", os.path.join(file.parent.name, file.name)).code == 0
    expected = meant.format(folder=file.parent, home=os.path.expanduser("~"))
    assert manager.calls[0].study_config.working_dir == expected


def test_what_the_manager_refuses_is_told_with_the_lines_of_the_file(
    cli: Cli, manager: ScriptedManager, file: Path
) -> None:
    manager.refusal = InvalidArgumentError(
        [
            FieldViolation("study_config.parameter_configs.configs[0].feasible.max", "0.1", "expected less"),
            FieldViolation("study_config.suggestion_parameters[0].value", "1", "expected more"),
        ]
    )
    done = cli("create-study", "-f", str(file))
    assert done.code == 2
    assert done.err.splitlines() == [
        f"{file}:7: parameters[0].max: '0.1': expected less",
        f"{file}:5: algorithm.settings.Seed: '1': expected more",
    ]


def test_what_a_service_says_of_a_field_has_its_line_too(cli: Cli, manager: ScriptedManager, file: Path) -> None:
    manager.refusal = InvalidArgumentError("study_config.parameter_configs.configs[0]: lr: expected an int")
    done = cli("create-study", "-f", str(file))
    assert (done.code, done.err) == (2, f"{file}:7: parameters[0]: lr: expected an int\n")
    manager.refusal = InvalidArgumentError("I take no study on Mondays: sorry")
    done = cli("create-study", "-f", str(file))
    assert (done.code, done.err) == (2, f"{file}: I take no study on Mondays: sorry\n")


def test_a_refusal_for_the_state_of_things_is_one_sentence_and_code_1(
    cli: Cli, manager: ScriptedManager, file: Path
) -> None:
    manager.refusal = FailedPreconditionError("no service of the name random answers: deploy it")
    done = cli("create-study", "-f", str(file))
    assert (done.code, done.out, done.err) == (1, "", "Error: no service of the name random answers: deploy it\n")
    manager.refusal = FailedPreconditionError("study_config.suggest_algorithm: 'random': no service answers: deploy it")
    done = cli("create-study", "-f", str(file))
    assert (done.code, done.err) == (1, f"Error: {file}:4: algorithm.name: 'random': no service answers: deploy it\n")


def test_scripts_get_the_id_as_json_and_may_ask_twice(cli: Cli, manager: ScriptedManager, file: Path) -> None:
    done = cli("create-study", "-f", str(file), "-o", "json", "--request-id", "job-1")
    assert json.loads(done.out) == {"id": "c000000000000000"}
    assert manager.calls[0].request_id == "job-1"


# What STUDY and TRIAL mean


def test_studies_are_listed_with_what_holds_them_up(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(
        study(
            A,
            completed=3,
            failed=1,
            running=2,
            best_objective=0.931,
            reason="SuggestionServiceUnavailable",
            message="no service random answers",
        )
    )
    header, row = cli("list-studies").out.splitlines()
    assert header.split() == ["ID", "NAME", "OWNER", "STATE", "TRIALS", "RUNNING", "FAILED", "BEST", "AGE", "MESSAGE"]
    assert row.split()[:8] == [A, "digits", "ann", "RUNNING", "4/20", "2", "1", "0.931"]
    assert row.endswith("SuggestionServiceUnavailable: no service random answers")


def test_get_studies_of_katib_0_1_lists_those_that_match(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study("abcd" + "0" * 12, name="one"))
    manager.add(study("abce" + "0" * 12, name="two"))
    assert len(cli("get", "studies").out.splitlines()) == 3
    assert [s["name"] for s in json.loads(cli("get", "studies", "abc", "-o", "json").out)] == []
    assert [s["name"] for s in json.loads(cli("get-studies", "abce", "-o", "json").out)] == ["two"]
    assert [s["name"] for s in json.loads(cli("list", "studies", "one", "-o", "json").out)] == ["one"]
    assert cli("get", "studies", "none").err == "No study has the name or id 'none'.\n"


def test_an_empty_list_says_so_beside_the_output(cli: Cli) -> None:
    for command, said in (("studies", "No studies."), ("trials", "No trials."), ("algorithms", "The manager finds no")):
        done = cli("list", command)
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith(said)
        assert cli("list", command, "-o", "json").out == "[]\n"


@pytest.mark.long
def test_a_list_of_many_pages_is_whole_or_says_that_it_is_not(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.trials = [trial(n) for n in range(1, 2346)]
    assert len(json.loads(cli("list-trials", A, "-o", "json").out)) == 2345
    done = cli("list-trials", A, "-n", "7", "-o", "csv")
    assert len(done.out.splitlines()) == 8
    assert done.err == "The first 7 trials; --limit 0 shows all of them.\n"


def test_trials_of_all_studies_are_the_newest_with_their_study(cli: Cli, manager: ScriptedManager) -> None:
    manager.trials = [trial(n, "c" * 16) for n in range(1, 80)]
    done = cli("list", "trials")
    assert len(done.out.splitlines()) == 51
    assert done.out.splitlines()[1].split()[0] == "c" * 16
    assert done.err == "The first 50 trials; --limit 0 shows all of them.\n"


@pytest.mark.parametrize(
    ("optimization", "order"), [(Objective.MAXIMIZE, [3, 5, 2, 1, 4]), (Objective.MINIMIZE, [1, 2, 3, 5, 4])]
)
def test_the_best_trials_come_first_by_the_studys_direction(
    cli: Cli, manager: ScriptedManager, optimization: Objective, order: list[int]
) -> None:
    manager.add(study(A), replace(SPEC, optimization=optimization))
    objectives = {1: -math.inf, 2: 0.5, 3: 0.9, 4: math.nan, 5: 0.9}
    manager.trials = [trial(n, A, state=TrialState.COMPLETED, objective=value) for n, value in objectives.items()]
    manager.trials += [trial(6, A), trial(7, A, state=TrialState.KILLED, objective=0.99)]
    assert [t["number"] for t in json.loads(cli("list-trials", A, "--best", "-o", "json").out)] == order
    killed = cli("list-trials", A, "--best", "--state", "killed", "-o", "json")
    assert [t["number"] for t in json.loads(killed.out)] == [7]
    done = cli("list-trials", A, "--best", "-n", "2")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == [str(n) for n in order[:2]]
    assert done.err == "The first 2 best trials; --limit 0 shows all of them.\n"


@pytest.mark.parametrize("columns", [True, False], ids=["by columns", "of an older manager"])
def test_the_best_of_many_trials_are_found_without_listing_them(
    cli: Cli, manager: ScriptedManager, columns: bool
) -> None:
    manager.knows_columns = columns
    manager.add(study(A, completed=2500, killed=1, revision=3000))
    values = [(n * 7919 % 2503) / 2503 for n in range(1, 2501)]
    manager.trials = [trial(n, A, state=TrialState.COMPLETED, objective=v) for n, v in enumerate(values, 1)]
    manager.trials.append(trial(2501, A, state=TrialState.KILLED, objective=2.0))
    order = sorted(range(1, 2501), key=lambda n: -values[n - 1])
    done = cli("list-trials", A, "--best", "-n", "3")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == [str(n) for n in order[:3]]
    assert done.err == "The first 3 best trials; --limit 0 shows all of them.\n"
    killed = cli("list-trials", A, "--best", "--state", "killed", "-o", "json")
    assert [t["number"] for t in json.loads(killed.out)] == [2501]
    assert (manager.trials_given == 0) is columns
    assert len(json.loads(cli("list-trials", A, "--best", "-n", "0", "-o", "json").out)) == 2500


def test_the_best_of_many_trials_are_asked_for_at_once(cli: Cli, manager: ScriptedManager) -> None:
    """A hundred short calls to a manager that is far away are mostly waited for."""
    manager.add(study(A, completed=1_200, revision=2_000))
    manager.trials = [trial(n, A, state=TrialState.COMPLETED, objective=n / 2_000) for n in range(1, 1_201)]
    together = Barrier(16)
    manager.getting = lambda: together.wait(10)
    done = cli("list-trials", A, "--best", "-n", "32", "-o", "json")
    assert [found["number"] for found in json.loads(done.out)] == list(range(1_200, 1_168, -1))


def test_the_best_trials_are_ten_and_none_while_no_trial_has_an_objective(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.trials = [trial(1, A)]
    assert cli("list-trials", A, "--best").err == "No trials with an objective yet.\n"
    manager.trials = [trial(n, A, state=TrialState.COMPLETED, objective=float(n)) for n in range(1, 13)]
    done = cli("list-trials", A, "--best")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == [str(n) for n in range(12, 2, -1)]


def test_algorithms_are_listed_with_why_one_does_not_serve(cli: Cli, manager: ScriptedManager) -> None:
    manager.services = [
        ServiceStatus("grid", ServiceKind.SUGGESTION, "unix:/run/grid", serving=True),
        ServiceStatus("medianstopping", ServiceKind.EARLY_STOPPING, "x:6789", serving=False, message="refused"),
    ]
    _, first, second = cli("list-algorithms").out.splitlines()
    assert first.split() == ["grid", "algorithm", "yes", "unix:/run/grid", "-"]
    assert second.split() == ["medianstopping", "early", "stopping", "no", "x:6789", "refused"]
    assert json.loads(cli("list", "algorithms", "-o", "json").out)[1]["serving"] is False


# One study, one trial


def test_a_study_is_shown_with_what_was_asked_for(cli: Cli, manager: ScriptedManager) -> None:
    spec = replace(SPEC, goal=0.99, limits=Limits(20, 2, 3, 1, timedelta(minutes=2)))
    manager.add(study(A, best_trial_id="b" * 16), spec, trial(7, objective=0.97))
    text = cli("get-study", A).out
    assert "Objective:  maximize accuracy, goal 0.99" in text
    assert "max trials 20, max parallel 2, max failed trials 3, retry limit 1, trial timeout 2m" in text
    assert "accuracy 0.97 with --lr=0.012345678901234567 --layers=3 --opt=sgd" in text
    assert "--lr       double       0.01 .. 0.1" in text


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"algorithm": "tpe", "settings": ()}, "tpe"),
        ({"algorithm": "tpe"}, "tpe (Seed=1)"),
        ({"algorithm": "", "settings": ()}, "none: its clients ask for trials"),
        ({"algorithm": "", "tags": (Tag(ALGORITHM_TAG, "auto"),)}, "auto (Seed=1): its clients ask for trials"),
    ],
)
def test_a_study_is_shown_with_who_asks_which_algorithm_for_its_trials(
    cli: Cli, manager: ScriptedManager, changes: dict[str, Any], shown: str
) -> None:
    manager.add(study(A), replace(SPEC, **{"settings": (Setting("Seed", "1"),), **changes}))
    (line,) = [line for line in cli("get-study", A).out.splitlines() if line.startswith("Algorithm:")]
    assert line.removeprefix("Algorithm:").strip() == shown


@pytest.mark.parametrize(
    ("algorithm", "tags", "asked"),
    [("tpe", (), "tpe"), ("", (), None), ("", (Tag(ALGORITHM_TAG, "auto"),), "auto")],
)
def test_programs_see_which_algorithm_is_asked_and_that_clients_ask_it(
    cli: Cli, manager: ScriptedManager, algorithm: str, tags: tuple[Tag, ...], asked: str | None
) -> None:
    manager.add(study(A, algorithm=algorithm), replace(SPEC, algorithm=algorithm, tags=tags))
    found = json.loads(cli("get-study", A, "-o", "json").out)
    assert (found["algorithm"], found["asked_algorithm"]) == (algorithm, asked)


def test_the_file_of_a_study_creates_it_again(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A), SPEC)
    assert parse_study(cli("get-study", A, "--spec").out).spec == SPEC


def test_the_best_trial_is_shown_with_every_digit(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A), SPEC, trial(7, state=TrialState.COMPLETED, objective=0.9712345678901))
    done = cli("best", "digits")
    assert "accuracy: 0.9712345678901" in done.out
    assert "--lr:     0.012345678901234567" in done.out
    assert json.loads(cli("best", A, "-o", "json").out)["parameters"]["--layers"] == 3


def test_a_csv_of_one_trial_has_the_columns_that_a_list_has(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A), SPEC, trial(7, state=TrialState.COMPLETED, objective=0.97))
    manager.trials = [trial(7)]
    for words in (("best", A), ("get-trial", trial(7).id), ("list-trials", A)):
        header = cli(*words, "-o", "csv").out.splitlines()[0].split(",")
        assert {"--lr", "--layers"} <= set(header), words


def test_no_best_trial_yet_is_one_sentence_and_code_3(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    done = cli("best", A, "-o", "json")
    assert (done.code, done.out) == (3, "")
    assert (
        done.err
        == f"Error: no trial of study {A} has completed with a value of 'accuracy' yet; see katib-cli list trials {A}\n"
    )


def test_a_trial_is_shown(cli: Cli, manager: ScriptedManager) -> None:
    manager.trials = [trial(3)]
    assert f"Study:    {A}, number 3" in cli("get-trial", trial(3).id).out
    assert json.loads(cli("get", "trial", trial(3).id, "-o", "json").out)["observations"] == []
