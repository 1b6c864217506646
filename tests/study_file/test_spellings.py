"""What a study file may say, in Katib 0.1's spelling and in today's, and what becomes of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec
from katib.domain.study_file import StudyFile, parse_study
from katib.domain.trial import Tag

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALLEST = """\
name: small
objective: {name: loss, type: minimize}
parameters:
  - {name: x, type: double, min: 0, max: 1}
"""


def with_lines(*lines: str) -> StudySpec:
    return parse_study(SMALLEST + "".join(f"{line}\n" for line in lines)).spec


def test_the_sample_of_katib_0_1_loads_unchanged() -> None:
    study = parse_study((EXAMPLES / "cifer10.yaml").read_bytes())
    assert study.warnings == ()
    assert study.spec == StudySpec(
        name="cifer10",
        owner="root",
        optimization=Objective.MAXIMIZE,
        goal=0.99,
        objective_name="Validation-accuracy",
        metrics=("accuracy",),
        algorithm="random",
        early_stopping="medianstopping",
        settings=(Setting("SuggestionNum", "6"), Setting("MaxParallel", "2")),
        image="mxnet/python",
        command=("python", "/mxnet/example/image-classification/train_mnist.py", "--batch-size=64"),
        scheduler="default-scheduler",
        parameters=(
            ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace(min="0.01", max="0.03")),
            ParameterConfig("--lr-factor", ParameterType.DOUBLE, FeasibleSpace(min="0.05", max="0.2")),
            ParameterConfig("--num-layers", ParameterType.INT, FeasibleSpace(min="2", max="5")),
            ParameterConfig("--num-epochs", ParameterType.INT, FeasibleSpace(min="1", max="3")),
            ParameterConfig("--optimizer", ParameterType.CATEGORICAL, FeasibleSpace(list=("sgd", "adam", "ftrl"))),
        ),
    )


# A folder of examples may have manifests too; those are named suggestion.yaml.
STUDIES = sorted(path for path in EXAMPLES.rglob("*.yaml") if path.name != "suggestion.yaml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_example_loads_without_a_warning(path: Path) -> None:
    assert parse_study(path.read_bytes(), path.name).warnings == ()


def test_every_field_of_katib_0_1_is_read() -> None:
    study = parse_study(
        """
name: s
owner: o
optimizationtype: 1
optimizationgoal: 1e-5
parameterconfigs:
  configs:
  - {name: x, parametertype: 3, feasible: {min: , max: '', list: [0.030, 1e-5]}}
accesspermissions: [ann, ben]
suggestalgorithm: grid
earlystoppingalgorithm: none
studytaskname: t
suggestionparameters:
- {name: DefaultGrid, value: 1}
earlystoppingparameters:
- {name: LeastStep, value: 020}
tags:
- {name: team, value: yes}
objectivevaluename: loss
metrics: [a, b]
image: i
command: [run, -v]
gpu: 2
scheduler: sch
mount: {pvc: nfs, path: /nfs}
pullsecret: key
"""
    )
    assert study.warnings == ()
    assert study.spec == StudySpec(
        name="s",
        owner="o",
        optimization=Objective.MINIMIZE,
        goal=1e-5,
        parameters=(ParameterConfig("x", ParameterType.DISCRETE, FeasibleSpace(list=("0.030", "1e-5"))),),
        access_permissions=("ann", "ben"),
        algorithm="grid",
        early_stopping="none",
        task_name="t",
        settings=(Setting("DefaultGrid", "1"),),
        early_stopping_settings=(Setting("LeastStep", "020"),),
        tags=(Tag("team", "yes"),),
        objective_name="loss",
        metrics=("a", "b"),
        image="i",
        command=("run", "-v"),
        gpu=2,
        scheduler="sch",
        mount=Mount("nfs", "/nfs"),
        pull_secret="key",
    )


def test_every_field_of_today_is_read() -> None:
    spec = parse_study(
        """
name: s
objective: {name: loss, type: minimize, goal: -.inf, strategy: min}
algorithm: {name: random, settings: {Seed: 1, Other: 2.50}}
early_stopping: {name: medianstopping, settings: [{name: LeastStep, value: 3}]}
parameters:
  - {name: a, type: double, min: 1e-5, max: 0.1, scale: log}
  - {name: b, type: int, min: 0, max: 10, step: 2}
  - {name: c, type: categorical, values: [yes, null, ~, 'x y']}
max_trials: 10
max_parallel: 2
max_failed_trials: 3
retry_limit: 0
trial_timeout: 1h30m
max_duration: 90
working_dir: train
metrics_collector: {format: json, step: iteration}
tags: {team: blue}
"""
    ).spec
    assert spec == StudySpec(
        name="s",
        objective_name="loss",
        optimization=Objective.MINIMIZE,
        goal=float("-inf"),
        objective_strategy=MetricStrategy.MIN,
        algorithm="random",
        settings=(Setting("Seed", "1"), Setting("Other", "2.50")),
        early_stopping="medianstopping",
        early_stopping_settings=(Setting("LeastStep", "3"),),
        parameters=(
            ParameterConfig("a", ParameterType.DOUBLE, FeasibleSpace(min="1e-5", max="0.1", scale=Scale.LOG)),
            ParameterConfig("b", ParameterType.INT, FeasibleSpace(min="0", max="10", step="2")),
            ParameterConfig("c", ParameterType.CATEGORICAL, FeasibleSpace(list=("yes", "null", "~", "x y"))),
        ),
        limits=Limits(10, 2, 3, 0, timedelta(minutes=90), timedelta(seconds=90)),
        working_dir="train",
        collector=MetricsCollector(MetricsFormat.JSON, step="iteration"),
        tags=(Tag("team", "blue"),),
    )


def test_a_pattern_says_what_the_format_is() -> None:
    spec = with_lines(r"metricsCollector: {pattern: 'loss (?P<value>\S+)'}")
    assert spec.collector == MetricsCollector(MetricsFormat.PATTERN, r"loss (?P<value>\S+)")


def test_a_file_of_metrics_is_named_with_who_reads_it() -> None:
    spec = with_lines("metrics_collector: {source: tensorboard, path: logs, reader: sdk}", "algorithm: random")
    wanted = MetricsCollector(source=MetricsSource.TENSORBOARD, path="logs", reader=MetricsReader.SDK)
    assert spec.collector == wanted


@pytest.mark.parametrize(
    ("key", "value"), [("optimizationtype", "2"), ("optimization_type", "maximize"), ("optimizationType", "MAXIMIZE")]
)
def test_a_key_is_known_in_each_spelling(key: str, value: str) -> None:
    text = SMALLEST.replace("objective: {name: loss, type: minimize}", f"objective: {{name: loss}}\n{key}: {value}")
    assert parse_study(text).spec.optimization is Objective.MAXIMIZE


def test_an_algorithm_may_be_a_plain_name_beside_its_settings() -> None:
    spec = with_lines("algorithm: grid", "suggestion_parameters: {DefaultGrid: 3}", "early_stopping: median")
    assert (spec.algorithm, spec.settings) == ("grid", (Setting("DefaultGrid", "3"),))
    assert spec.early_stopping == "medianstopping"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python train.py --epochs 3", ("python", "train.py", "--epochs", "3")),
        ("sh -c 'echo loss=$1' sh", ("sh", "-c", "echo loss=$1", "sh")),
        (">\n  python train.py\n  --epochs 3", ("python", "train.py", "--epochs", "3")),
        ("[python, train.py, 3, '']", ("python", "train.py", "3", "")),
        ("[sh, -c, 'a\n\n  b']", ("sh", "-c", "a\nb")),
    ],
)
def test_a_command_is_a_list_or_a_line(command: str, words: tuple[str, ...]) -> None:
    assert with_lines(f"command: {command}").command == words


def test_a_key_with_nothing_behind_it_gives_nothing() -> None:
    spec = with_lines("image:", "owner: ~", "gpu: null", "command:", "mount:", "max_trials:", "tags:")
    assert spec == with_lines()


def test_a_mount_of_nothing_is_none() -> None:
    assert with_lines("mount: {pvc: '', path: }").mount is None


def test_aliases_stand_for_what_they_name() -> None:
    spec = parse_study(
        """
name: &n s
objective: {name: *n, type: minimize}
parameters:
  - {name: a, type: categorical, list: &l [x, y]}
  - {name: b, type: categorical, list: *l}
"""
    ).spec
    assert spec.objective_name == "s"
    assert spec.parameters[1].feasible.list == ("x", "y")


@pytest.mark.parametrize("text", ["\ufeff" + SMALLEST, "---\n" + SMALLEST + "...\n", SMALLEST.replace("\n", "\r\n")])
def test_what_editors_and_tools_put_around_a_document_changes_nothing(text: str) -> None:
    assert parse_study(text.encode()).spec == with_lines()


def warnings_of(study: StudyFile) -> list[str]:
    return [warning.render(study.source) for warning in study.warnings]


OLD = """\
name: s
objectivevaluename: loss
optimizationtype: 1
parameterconfigs: {configs: [{name: x, parametertype: 1, feasible: {min: 0, max: 1}}]}
"""


def test_an_unknown_key_of_a_file_of_katib_0_1_is_a_warning() -> None:
    study = parse_study(OLD + "suggestalgoritm: random\nkind: x\nmount: {pvc: a, path: b, mode: c}\n")
    assert warnings_of(study) == [
        "study.yaml:5: suggestalgoritm: ignored: there is no such key (did you mean 'suggestalgorithm'?)",
        "study.yaml:6: kind: ignored: a study file is no Kubernetes object, and trials as TFJob, PyTorchJob or other "
        "resources are not supported yet: write the study's own keys, with image and command for its trials, "
        "or a Pod of theirs as pod.template",
        "study.yaml:7: mount.mode: ignored: there is no such key",
    ]


def test_where_a_file_has_both_the_early_stopping_algorithm_counts() -> None:
    study = parse_study(OLD + "earlystoppingalgorithm: none\nautostopalgorithm: median\n")
    assert study.spec.rule == ""
    assert warnings_of(study) == ["study.yaml:6: autostopalgorithm: ignored: the early-stopping algorithm is given"]


class TestTheDefaultAlgorithm:
    def test_what_a_file_with_max_trials_and_a_command_or_an_image_leaves_open_is_auto(self) -> None:
        assert with_lines("max_trials: 5", "command: [train]").algorithm == "auto"
        assert with_lines("max_trials: 5", "image: trainer").algorithm == "auto"
        seeded = with_lines("max_trials: 5", "command: [train]", "algorithm: {settings: {Seed: 3}}")
        assert (seeded.algorithm, seeded.settings) == ("auto", (Setting("Seed", "3"),))

    def test_a_file_can_say_that_there_is_none(self) -> None:
        assert with_lines("max_trials: 5", "command: [train]", 'algorithm: ""').algorithm == ""

    def test_a_study_whose_clients_run_the_trials_has_none(self) -> None:
        assert with_lines("max_trials: 5").algorithm == ""

    def test_a_file_of_katib_0_1_without_one_stays_idle(self) -> None:
        assert (
            with_lines("command: [train]", "suggestionparameters:", "- {name: SuggestionNum, value: 5}").algorithm == ""
        )
