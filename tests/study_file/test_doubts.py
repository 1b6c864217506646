"""What a study file says and its writer may not mean is told, and the study is what the file says."""

import pytest

from katib.domain.asked import ALGORITHM_TAG
from katib.domain.study_file import StudyFileError, parse_study
from katib.domain.study_file_writer import dump_study
from tests.study_file.test_spellings import OLD, SMALLEST

NOBODY = "the study's trials are run by nobody but clients that ask for them"
MEANT = "algorithm: '' says that it is meant so"
TEMPLATE = "pod: {template: {spec: {containers: [{name: trial, image: i, args: [x]}]}}}"


def doubts(*lines: str, head: str = SMALLEST) -> list[str]:
    study = parse_study(head + "".join(f"{line}\n" for line in lines), "f.yaml")
    return [remark.render(study.source) for remark in study.remarks]


@pytest.mark.parametrize("line", ["command: [train]", "image: trainer"])
def test_a_program_that_nobody_but_clients_would_run_is_told_with_what_makes_katib_run_it(line: str) -> None:
    key = line.partition(":")[0]
    assert doubts("owner: me", line) == [
        f"f.yaml:6: {key}: {NOBODY}: with max_trials or algorithm in the file Katib runs this; {MEANT}"
    ]
    assert parse_study(f"{SMALLEST}{line}\n").spec.algorithm == ""


def test_a_template_alone_needs_an_algorithm_to_be_run() -> None:
    for lines in ([TEMPLATE], [TEMPLATE, "max_trials: 5"]):
        assert doubts(*lines) == [f"f.yaml:5: pod: {NOBODY}: with algorithm in the file Katib runs this; {MEANT}"]


def test_a_number_of_trials_without_a_program_is_told_too() -> None:
    assert doubts("max_trials: 5") == [
        f"f.yaml:5: max_trials: {NOBODY}: with a command or an image in the file Katib runs it; {MEANT}"
    ]


def test_a_file_of_katib_0_1_that_names_a_program_and_no_algorithm_is_told() -> None:
    assert len(doubts("command: [train]", "suggestionparameters: [{name: SuggestionNum, value: 5}]", head=OLD)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["command: [train]", "max_trials: 5"],
        ["command: [train]", "algorithm: random"],
        ["command: [train]", 'algorithm: ""'],
        ["command: [train]", 'algorithm: {name: "", settings: {Seed: 1}}'],
        ["max_trials: 5", 'algorithm: ""'],
        ["max_trials: 5", f"tags: {{{ALGORITHM_TAG}: tpe}}"],
        ["owner: me"],
    ],
)
def test_who_runs_the_trials_is_no_doubt_where_the_file_says_it(lines: list[str]) -> None:
    assert doubts(*lines) == []


@pytest.mark.parametrize("lines", [["command: [train]"], ["max_trials: 5"], [TEMPLATE]])
def test_a_study_that_is_written_as_a_file_leaves_no_doubt(lines: list[str]) -> None:
    spec = parse_study(SMALLEST + "\n".join(lines)).spec
    again = parse_study(dump_study(spec))
    assert (again.spec, again.remarks) == (spec, ())


def test_what_is_wrong_with_a_file_comes_before_any_doubt() -> None:
    with pytest.raises(StudyFileError) as caught:
        parse_study(f"{SMALLEST}command: [train]\ngpu: -1\n", "f.yaml")
    assert str(caught.value) == "f.yaml:6: gpu: '-1': expected 0 to 1000"


LR = SMALLEST.replace("name: x", "name: --lr") + "algorithm: random\n"


@pytest.mark.parametrize(
    ("command", "where", "placeholder"),
    [
        ("python train.py --lr={lr}", "f.yaml:6: command", "{lr}"),
        ("[python, train.py, '--lr={{lr}}']", "f.yaml:6: command[2]", "{{lr}}"),
        ("\n- train\n- ${trialParameters.lr}", "f.yaml:8: command[1]", "${trialParameters.lr}"),
        ("[sh, -c, 'train --lr ${trialParameters.lr}']", "f.yaml:6: command[2]", "${trialParameters.lr}"),
        ("[train, '{--lr}']", "f.yaml:6: command[1]", "{--lr}"),
    ],
)
def test_a_command_into_which_nothing_is_put_is_told(command: str, where: str, placeholder: str) -> None:
    assert doubts(f"command: {command}", head=LR) == [
        f"{where}: nothing is put in the place of '{placeholder}': parameters are appended to the command, this one as "
        "'--lr=VALUE'; leave it out"
    ]


@pytest.mark.parametrize(
    "command",
    [
        "[train, '{}']",
        "[train, '{depth}']",
        "[sh, -c, 'lr=$1; train ${lr}']",
        "[python, -c, \"lr = 1; print(f'{lr}')\"]",
    ],
)
def test_braces_that_have_another_meaning_are_left_alone(command: str) -> None:
    assert doubts(f"command: {command}", head=LR) == []
