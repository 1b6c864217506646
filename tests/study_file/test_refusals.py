"""What is wrong with a study file is said with its line, its path as written, and what to write instead."""

import codecs

import pytest

from katib.domain.errors import FieldViolation, InvalidArgumentError
from katib.domain.model_file import parse_model
from katib.domain.study_file import StudyFileError, locate, parse_study
from katib.domain.study_file_keys import KeySet
from katib.domain.study_file_yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES

HEAD = "name: s\nobjective: {name: loss, type: minimize}\n"
BODY = "parameters:\n  - {name: x, type: double, min: 0, max: 1}\n"


def refusal(data: str | bytes) -> str:
    with pytest.raises(StudyFileError) as caught:
        parse_study(data, "f.yaml")
    assert isinstance(caught.value, InvalidArgumentError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "f.yaml: the file holds no study"),
        ("# nothing\n", "f.yaml: the file holds no study"),
        ("~", "f.yaml: the file holds no study"),
        ("\n- a\n", "f.yaml:2: expected a study, 'key: value' on each line; found a list"),
        ("study", "f.yaml:1: expected a study, 'key: value' on each line; found plain text"),
        (HEAD + "---\n" + HEAD, "f.yaml:3: a second document begins here; write one study to a file"),
        (HEAD + "\timage: x\n", "f.yaml:3: a tab stands where only spaces may: indent with spaces"),
        ("name: [a\nimage: b\n", "f.yaml:2: not valid YAML: expected ',' or ']', but got ':' while parsing"),
        ("name: a: b\n", "f.yaml:1: not valid YAML: mapping values are not allowed here; is the line indented"),
        ("name: x\n image: y\n", "f.yaml:2: not valid YAML: mapping values are not allowed here"),
        ("name: x\nimage\n", "f.yaml:3: not valid YAML: could not find expected ':'"),
        ("name: @x\n", "f.yaml:1: not valid YAML: found character '@' that cannot start any token"),
        ("name: *x\n", "f.yaml:1: not valid YAML: found undefined alias 'x'"),
        ('name: "\n', "f.yaml:2: not valid YAML: found unexpected end of stream"),
        ("name: x\nname: y\n", "f.yaml:2: name: stands on line 1 already: keep one of the two"),
        ("[a]: x\n", "f.yaml:1: expected a key of plain text; found a list or mapping"),
        ("<<: {name: x}\n", "f.yaml:1: <<: merge keys are not supported: write the keys out"),
        (b"name: x\nowner: caf\xe9\n", "f.yaml:2: byte 0xe9 is not UTF-8: save the file as UTF-8"),
        (codecs.BOM_UTF16_LE + HEAD.encode("utf-16-le"), "f.yaml:1: the file is UTF-16: save it as UTF-8"),
        (codecs.BOM_UTF32_BE + HEAD.encode("utf-32-be"), "f.yaml:1: the file is UTF-32: save it as UTF-8"),
        ("name: x\nowner: a\x1b[31m\n", "f.yaml:2: the invisible character U+001B has no place in a study file"),
        ("name: x\ufeff\n", "f.yaml:1: the invisible character U+FEFF"),
        ("name: x\u2028\n", "f.yaml:1: the invisible character U+2028"),
        (b"name: x\0\n", "f.yaml:1: the invisible character U+0000"),
        ("name: !!python/name:os.system x\n", "f.yaml:1: the tag 'tag:yaml.org,2002:python/name:os.system' means"),
        ("name: !secret x\n", "f.yaml:1: the tag '!secret' means nothing in a study file: delete it"),
    ],
)
def test_a_file_that_is_no_study_is_refused_in_one_line(data: str | bytes, expected: str) -> None:
    message = refusal(data)
    assert message.startswith(expected)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "optimisation_goal: 1",
            "f.yaml:5: optimisation_goal: there is no such key (did you mean 'optimization_goal'?)",
        ),
        ("max-trials: 3", "f.yaml:5: max-trials: there is no such key (did you mean 'max_trials'?)"),
        ("zzz: 1", "f.yaml:5: zzz: there is no such key"),
        ("direction: minimize", "f.yaml:5: direction: there is no such key (here it is 'objective.type')"),
        ("nTrials: 5", "f.yaml:5: nTrials: there is no such key (here it is 'max_trials')"),
        ("timeout: 5", "f.yaml:5: timeout: there is no such key (here it is 'trial_timeout or max_duration')"),
        ("mount: {pvc: a, path: b, rw: 1}", "f.yaml:5: mount.rw: there is no such key"),
        (
            "max_trials: 1\nmaxTrials: 2",
            "f.yaml:6: maxTrials: says the same as max_trials on line 5: keep one of the two",
        ),
        (
            "optimization_type: 1",
            "f.yaml:5: optimization_type: says the same as objective.type on line 2: keep one of the two",
        ),
        ("max_trials: ten", "f.yaml:5: max_trials: 'ten': expected a whole number"),
        ("max_trials: 1.0", "f.yaml:5: max_trials: '1.0': expected a whole number"),
        ("max_trials: 0", "f.yaml:5: max_trials: '0': expected a whole number from 1 on"),
        (f"max_trials: {'9' * 100}", f"f.yaml:5: max_trials: '{'9' * 77}...': expected a whole number"),
        ("gpu: -1", "f.yaml:5: gpu: '-1': expected 0 to 1000"),
        ("gpu: [1]", "f.yaml:5: gpu: expected one value, found a list"),
        (
            "trial_timeout: 1w",
            "f.yaml:5: trial_timeout: '1w': expected a period such as 90s, 10m, 2h or 1h30m, or a number of seconds",
        ),
        ("trial_timeout: 0", "f.yaml:5: trial_timeout: '0s': expected more than 0, at most 3650 days"),
        (f"max_duration: {'9' * 30}d", "f.yaml:5: max_duration: '8.64e+13s': expected more than 0, at most 3650 days"),
        ("metrics: accuracy", "f.yaml:5: metrics: 'accuracy': expected a list, '- item' on each line or [item, item]"),
        ("metrics: [a, b=c]", "f.yaml:5: metrics[1]: 'b=c': expected printable characters without spaces and '='"),
        ("metrics: [a, {b: c}]", "f.yaml:5: metrics[1]: expected one value, found a mapping"),
        (
            "command: sh -c 'x",
            'f.yaml:5: command: "sh -c \'x": expected a command line, or a list of its words: no closing quotation',
        ),
        (r'command: [a, "\uD800"]', r"f.yaml:5: command[1]: '\\ud800': expected no NUL character and no half of a"),
        (r'command: [a, "\0"]', r"f.yaml:5: command[1]: '\x00': expected no NUL character and no half of a"),
        ("mount: {pvc: a}", "f.yaml:5: mount.path: expected a path"),
        ("mount: /data", "f.yaml:5: mount: '/data': expected 'key: value' on each line"),
        (
            "algorithm: Random_Search",
            "f.yaml:5: algorithm: 'Random_Search': expected lower-case letters, digits and hyph",
        ),
        ("algorithm: {settings: {a: [1]}}", "f.yaml:5: algorithm.settings.a: expected one value, found a list"),
        (
            "suggestion_parameters:\n- {name: SuggestionNum, value: many}",
            "f.yaml:6: suggestion_parameters[0].value: 'many': expected a whole number for SuggestionNum",
        ),
        (
            "algorithm:\n  settings:\n    Seed: 1\n    MaxParallel: few",
            "f.yaml:8: algorithm.settings.MaxParallel: 'few': expected a whole number for MaxParallel",
        ),
        ("tags: {'': x}", "f.yaml:5: tags.: expected a name"),
    ],
)
def test_a_wrong_entry_is_named_with_its_line(lines: str, expected: str) -> None:
    message = refusal(HEAD + BODY + lines)
    assert message.startswith(expected)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("{name: x, type: float, min: 0, max: 1}", "f.yaml:4: parameters[0].type: 'float': expected double (1), int (2), "
         "discrete (3) or categorical (4) (did you mean 'double'?)"),
        ("{name: x, type: categorial, list: [a]}", "f.yaml:4: parameters[0].type: 'categorial': expected double (1), int "
         "(2), discrete (3) or categorical (4) (did you mean 'categorical'?)"),
        ("{name: x, min: 0, max: 1}", "f.yaml:4: parameters[0].type: expected double, int, discrete or"),
        ("{name: x, type: double, min: 0}", "f.yaml:4: parameters[0].max: expected a finite number"),
        ("{name: x, type: double, min: 2, max: 1}", "f.yaml:4: parameters[0].min: '2': expected at most max, which is 1"),
        ("{name: x, type: double,\n     min: 0, max: a}", "f.yaml:5: parameters[0].max: 'a': expected a finite number"),
        ("{name: x, type: int, feasible: {min: 0}}", "f.yaml:4: parameters[0].feasible.max: expected a whole number"),
        ("{name: x, type: discrete, list: [1, a]}", "f.yaml:4: parameters[0].list[1]: 'a': expected a finite number"),
        ("{name: x, type: discrete, list: [1], values: [2]}", "f.yaml:4: parameters[0].values: says the same as "
         "parameters[0].list on line 4: keep one of the two"),
        ("{name: x, type: double, min: 0, max: 1, when: y}", "f.yaml:4: parameters[0].when: conditional parameters are "
         "not supported yet"),
        ("{name: x, type: double, min: 0, max: 1, scale: loguniform}", "f.yaml:4: parameters[0].scale: 'loguniform': "
         "expected linear (0) or log (1) (did you mean 'log'?)"),
        ("x", "f.yaml:4: parameters[0]: 'x': expected 'key: value' on each line"),
        ("{name: x, 1: 2}", "f.yaml:4: parameters[0].1: there is no such key"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_its_line(parameter: str, expected: str) -> None:
    message = refusal(f"{HEAD}parameters:\n  - {parameter}\n")
    assert message.startswith(expected)
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        f"name: s\nobjective: [{{name: a, type: minimize}}]\n{BODY}",
        f"name: s\nobjectives: {{a: minimize}}\n{BODY}",
        f"name: s\nobjective_value_name: [a, b]\n{BODY}",
    ],
)
def test_several_objectives_are_refused_politely(text: str) -> None:
    assert "f.yaml:2: " in refusal(text)
    assert "several objectives are not supported yet: name the one to optimize" in refusal(text)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("low", "min"),
        ("high", "max"),
        ("log", "scale: log"),
        ("choices", "values"),
        ("q", "step"),
        ("feasible: {lower", "min"),
        ("feasible: {choices", "list"),
    ],
)
def test_a_parameter_in_the_words_of_other_tools_is_told_ours(theirs: str, ours: str) -> None:
    ending = "}" if "{" in theirs else ""
    path = theirs.replace(": {", ".")
    message = refusal(f"{HEAD}parameters:\n  - {{name: x, type: double, {theirs}: 1{ending}}}\n")
    assert message == f"f.yaml:4: parameters[0].{path}: there is no such key (here it is '{ours}')"


@pytest.mark.parametrize("blanks", [" ", "   "])
def test_a_name_of_blanks_is_none(blanks: str) -> None:
    said = f"name: {blanks!r}: expected a name for the study"
    assert refusal(HEAD.replace("name: s", f"name: '{blanks}'") + BODY) == f"f.yaml:1: {said}"


def test_the_direction_of_an_objective_is_its_type() -> None:
    said = "objective.direction: there is no such key (here it is 'type')"
    assert f"f.yaml:2: {said}" in refusal(HEAD.replace("type", "direction") + BODY)


def test_a_kubernetes_object_is_refused_politely() -> None:
    assert "f.yaml:1: kind: a study file is no Kubernetes object" in refusal("kind: TFJob\n" + HEAD + BODY)


def test_every_problem_is_told_at_once_in_the_order_of_the_lines() -> None:
    assert refusal("colour: red\n" + HEAD + "gpu: x\nparameters: 1\nmax_trials: y\n").splitlines() == [
        "f.yaml:1: colour: there is no such key",
        "f.yaml:4: gpu: 'x': expected a whole number",
        "f.yaml:5: parameters: '1': expected a list, '- item' on each line or [item, item]",
        "f.yaml:6: max_trials: 'y': expected a whole number",
    ]


def test_what_is_missing_has_no_line_and_todays_name() -> None:
    assert refusal("owner: me\n").splitlines() == [
        "f.yaml: name: expected a name for the study",
        "f.yaml: objective.name: expected the name of the metric to optimize",
        "f.yaml: objective.type: expected minimize (1) or maximize (2)",
        "f.yaml: parameters: expected at least one parameter",
    ]


def test_what_is_missing_in_a_file_of_katib_0_1_is_told_after_the_key_that_was_meant() -> None:
    text = "name: s\nobjectivevaluname: loss\noptimizationtype: 1\nparameterconfigs: {configs: []}\n"
    assert refusal(text).splitlines() == [
        "f.yaml:2: warning: objectivevaluname: ignored: there is no such key (did you mean 'objectivevaluename'?)",
        "f.yaml: objectivevaluename: expected the name of the metric to optimize",
        "f.yaml:4: parameterconfigs.configs: expected at least one parameter",
    ]


def test_a_great_number_of_problems_is_cut_short() -> None:
    text = HEAD + "parameters:\n" + "  - {name: x, type: floot}\n" * 40
    lines = refusal(text).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "f.yaml: and 20 more"


# Limits


def test_a_file_over_the_size_is_refused_unparsed() -> None:
    comment = "#" * MAX_BYTES
    assert refusal(HEAD + BODY + comment).startswith("f.yaml: the file has 1048")
    assert refusal((HEAD + BODY + comment).encode()).startswith("f.yaml: the file has 1048")
    assert refusal("ä" * (MAX_BYTES // 2 + 1)).startswith("f.yaml: the file has 1048578 bytes")


def test_deep_nesting_is_refused() -> None:
    expected = f"f.yaml:1: nested more than {MAX_DEPTH} levels deep"
    assert refusal("[" * 100_000) == expected
    assert refusal("? " * 10_000) == expected
    assert refusal("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).startswith(
        "f.yaml:1: a: there is no such key"
    )


@pytest.mark.long
def test_too_many_values_are_refused() -> None:
    assert refusal("x:\n" + "- 1\n" * MAX_NODES).startswith(f"f.yaml:{MAX_NODES - 1}: more than {MAX_NODES} values")


def test_an_alias_counts_as_what_it_stands_for() -> None:
    bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 40))
    assert refusal(bomb).startswith(f"f.yaml:5: more than {MAX_NODES} values, aliases counted as what they stand for")


def test_an_alias_inside_of_itself_is_refused() -> None:
    assert refusal("name: &a [*a]") == "f.yaml:1: *a stands inside of itself"


@pytest.mark.parametrize(
    "text", ["? " + "a" * 100_000 + "\n: 1\n", "name: !" + "a" * 100_000 + " x", "*" + "a" * 100_000]
)
def test_no_message_repeats_a_long_text(text: str) -> None:
    assert len(refusal(text)) < 600


# Lines for what the manager says


def test_a_refusal_of_the_manager_gets_the_line_of_the_file() -> None:
    study = parse_study("# a study\n" + HEAD + BODY + "algorithm:\n  name: grid\n  settings:\n    Seed: 1\n", "f.yaml")
    refused = study.refused(
        [
            FieldViolation("study_config.parameter_configs.configs[0].feasible.min", "0", "expected more"),
            FieldViolation("study_config.parameter_configs.configs[0].feasible.step", "", "expected a step"),
            FieldViolation("study_config.suggestion_parameters[0].value", "1", "expected 2"),
            FieldViolation("study_config.suggestion_parameters.Seed", "1", "expected 3"),
            FieldViolation("study_config.suggestion_parameters[9].value", "", "expected DefaultGrid"),
            FieldViolation("study_config.early_stopping_algorithm", "", "expected a rule"),
            FieldViolation("request_id", "x", "expected another"),
        ]
    )
    assert str(refused).splitlines() == [
        "f.yaml:5: parameters[0].min: '0': expected more",
        "f.yaml:5: parameters[0].step: expected a step",
        "f.yaml:9: algorithm.settings.Seed: '1': expected 2",
        "f.yaml:9: algorithm.settings.Seed: '1': expected 3",
        "f.yaml:8: algorithm.settings[9].value: expected DefaultGrid",
        "f.yaml: early_stopping_algorithm: expected a rule",
        "f.yaml: request_id: 'x': expected another",
    ]


@pytest.mark.parametrize("field", ["", ".", "[", "]]]", "a[b.c]", "study_config.", "a." * 5000])
def test_any_path_can_be_looked_up(field: str) -> None:
    (problem,) = locate([FieldViolation(field, "", "expected x")], {})
    assert problem.line is None


@pytest.mark.parametrize("key", ["max_trials", "max_parallel", "trial_timeout", "max_duration", "retry_limit"])
def test_an_empty_text_as_of_a_variable_that_is_not_set_is_no_limit(key: str) -> None:
    assert refusal(f'{HEAD}{BODY}command: [x]\n{key}: ""\n').startswith(f"f.yaml:6: {key}: expected a")
    for nothing in ("", "~", "null"):
        parse_study(f"{HEAD}{BODY}command: [x]\n{key}: {nothing}\n")


@pytest.mark.parametrize("text", ["", "# nothing\n", "~"])
def test_an_empty_file_of_a_model_is_told_what_a_model_is(text: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        parse_model(text, "m.yaml")
    assert (
        str(caught.value) == "m.yaml: the file holds no model: write at least its study_name, trial_id and model_path"
    )


def test_of_a_file_of_mistakes_as_many_are_guessed_at_as_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    nearest = KeySet.nearest

    def counted(keys: KeySet, key: str, *, old: bool) -> str | None:
        asked.append(key)
        return nearest(keys, key, old=old)

    monkeypatch.setattr(KeySet, "nearest", counted)
    text = refusal("".join(f"max_failed_trial{i}: 1\n" for i in range(3000)))
    assert "did you mean 'max_failed_trials'" in text
    assert len(asked) < 100


def test_what_is_wrong_with_a_parameter_is_said_in_the_words_of_the_file() -> None:
    names = "".join(f"  - {{name: {name}, type: int, min: 0, max: 1}}\n" for name in "pqq")
    file = HEAD + "command: [x]\nparameters:\n" + names.replace(" type: int,", "", 1)
    assert refusal(file).splitlines() == [
        "f.yaml:5: parameters[0].type: expected double, int, discrete or categorical",
        "f.yaml:7: parameters[2].name: 'q': expected another name: parameter number 2 has this one",
    ]


def test_what_can_be_read_is_judged_beside_what_cannot_and_nothing_is_said_that_follows_from_that() -> None:
    data = (
        "name: s\nobjectve: {name: loss, type: minimize}\ncomand: [train]\nmetrics_collector: {source: file}\nmax_trials: 0\n"
        "parameters:\n  - {name: x, type: double, min: 3, max: 1}\n  - {name: y, typ: double, min: 0, max: o}\n"
        "  - {name: z, type: int, min: 1, max: 2, scale: lgo, step: 0}\n"
    )
    assert [line.partition(": ")[0:3:2] for line in refusal(data).splitlines()] == [
        ("f.yaml:2", "objectve: there is no such key (did you mean 'objective'?)"),
        ("f.yaml:3", "comand: there is no such key (did you mean 'command'?)"),
        ("f.yaml:5", "max_trials: '0': expected a whole number from 1 on"),
        ("f.yaml:7", "parameters[0].min: '3': expected at most max, which is 1"),
        ("f.yaml:8", "parameters[1].typ: there is no such key (did you mean 'type'?)"),
        ("f.yaml:9", "parameters[2].scale: 'lgo': expected linear (0) or log (1) (did you mean 'log'?)"),
    ]
