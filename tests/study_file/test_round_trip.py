"""What is written is read back as the same study, and no input at all leads to anything but a study or a refusal."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy
from katib.domain.pod import MAX_START_TIMEOUT, PodSettings, Toleration
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale
from katib.domain.study import (
    CHECK_INTERVAL,
    MAX_PARALLEL,
    SUGGESTION_NUM,
    Limits,
    Mount,
    Objective,
    Setting,
    StudySpec,
)
from katib.domain.study_checks import MAX_PERIOD, check_study
from katib.domain.study_file import StudyFileError, parse_study
from katib.domain.study_file_writer import dump_study
from katib.domain.trial import Tag
from tests.examples import examples

AWKWARD = st.sampled_from(
    ["yes", "null", "~", "", "0.030", "1e-5", "0o7", "0x1f", "1_000", "2001-01-01", "<<", "=", ".inf", "- a", "a: b", "#",
     "*a", "&a", "!a", "%", "@", "`", "'", '"', "{", "[", "a #b", "?", "true", "12:30", " a ", "\u00e9", "\U0001f40d"]
)  # fmt: skip
PRINTABLE = st.characters(categories=["L", "M", "N", "P", "S"])
TEXT = AWKWARD | st.text(PRINTABLE | st.just(" "), max_size=20)
FULL_TEXT = TEXT.map(lambda text: text or "x")
NAME = st.sampled_from(["--lr", "yes", "null", "1e-5", "<<", "*a"]) | st.text(
    PRINTABLE.map(lambda c: c.replace("=", "e")), min_size=1, max_size=20
)
SERVICE = st.sampled_from(["random", "grid", "tpe", "0", "1e5", "null", "no"])
NUMBER = st.sampled_from(["0", "1", "-3", "+4", "1e-5", ".5", "1.", "007"])
WORD = TEXT | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def named(make: type[Setting] | type[Tag]) -> st.SearchStrategy[tuple[Setting, ...] | tuple[Tag, ...]]:
    # The manager's own settings take numbers only.
    name = FULL_TEXT.map(lambda text: f"{text}x" if text in (SUGGESTION_NUM, MAX_PARALLEL, CHECK_INTERVAL) else text)
    return st.lists(st.builds(make, name, TEXT), max_size=3).map(tuple)


def texts(text: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(text, max_size=3).map(tuple)


NUMERIC = st.builds(
    FeasibleSpace,
    min=NUMBER,
    max=st.sampled_from(["10000", "2e3", "1234"]),
    step=st.sampled_from(["", "1", "2.0"]),
    scale=st.just(Scale.LINEAR),
) | st.builds(FeasibleSpace, min=st.just("1"), max=st.just("9"), scale=st.just(Scale.LOG))
PARAMETER = (
    st.builds(ParameterConfig, NAME, st.just(ParameterType.DOUBLE), NUMERIC)
    | st.builds(
        ParameterConfig,
        NAME,
        st.just(ParameterType.CATEGORICAL),
        st.builds(FeasibleSpace, list=st.lists(TEXT, min_size=1, max_size=4, unique=True).map(tuple)),
    )
    | st.builds(
        ParameterConfig,
        NAME,
        st.just(ParameterType.DISCRETE),
        st.builds(FeasibleSpace, list=st.lists(NUMBER, min_size=1, max_size=4, unique_by=float).map(tuple)),
    )
)
KEY = st.sampled_from(["a", "yes", "null", "1", "1e5", "kueue.x-k8s.io/queue-name", "x.y/z"])
COLLECTOR = (
    st.builds(MetricsCollector, st.sampled_from([MetricsFormat.TEXT, MetricsFormat.JSON]), step=st.just("") | NAME)
    | st.builds(MetricsCollector, st.just(MetricsFormat.PATTERN), FULL_TEXT)
    | st.builds(
        MetricsCollector,
        source=st.just(MetricsSource.FILE),
        path=st.sampled_from(["metrics.txt", "a b/~", "null"]),
        reader=st.sampled_from(MetricsReader),
    )
    | st.just(MetricsCollector(source=MetricsSource.TENSORBOARD))
)
LABELS = st.dictionaries(KEY, st.sampled_from(["", "a", "yes", "1", "0.030", "true", "a_b.c"]), max_size=3)
TREE = st.recursive(
    WORD | st.booleans() | st.none() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORD, inner, max_size=2),
    max_leaves=6,
)
POD = st.builds(
    PodSettings,
    namespace=st.sampled_from(["", "a", "1", "null"]),
    labels=LABELS,
    annotations=st.dictionaries(KEY, WORD, max_size=3),
    environment=st.dictionaries(st.sampled_from(["a", "yes", "_1"]), WORD, max_size=3),
    requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "0.5", "5e2"]), max_size=2),
    node_selector=LABELS,
    tolerations=texts(st.sampled_from(["", "1", "true"])).map(
        lambda values: tuple(Toleration("k", "Equal", value, "NoExecute", 0) for value in values)
    ),
    service_account=st.sampled_from(["", "a", "1"]),
    start_timeout=st.none() | st.timedeltas(timedelta(microseconds=1), MAX_START_TIMEOUT),
    template=st.just("") | TREE.map(lambda tree: json.dumps({"spec": {"a": tree}}, separators=(",", ":"))),
)
COUNT = st.none() | st.integers(1, 2**31 - 1)
PERIOD = st.none() | st.timedeltas(timedelta(microseconds=1), MAX_PERIOD)
SPECS = st.builds(
    StudySpec,
    name=FULL_TEXT,
    objective_name=NAME,
    optimization=st.sampled_from(Objective),
    parameters=st.lists(PARAMETER, min_size=1, max_size=4, unique_by=lambda p: p.name).map(tuple),
    owner=TEXT,
    goal=st.none() | st.floats(allow_nan=False),
    access_permissions=texts(TEXT),
    algorithm=st.just("") | SERVICE,
    early_stopping=st.just("") | SERVICE,
    task_name=TEXT,
    settings=named(Setting),
    early_stopping_settings=named(Setting),
    tags=named(Tag),
    metrics=texts(NAME),
    image=TEXT,
    command=st.just(()) | st.tuples(FULL_TEXT, WORD, WORD),
    gpu=st.integers(0, 1000),
    scheduler=TEXT,
    mount=st.none() | st.builds(Mount, FULL_TEXT, FULL_TEXT),
    pull_secret=TEXT,
    limits=st.builds(
        Limits, COUNT, COUNT, COUNT, st.none() | st.integers(0, 9), trial_timeout=PERIOD, max_duration=PERIOD
    ),
    working_dir=TEXT,
    objective_strategy=st.sampled_from(MetricStrategy),
    pod=st.just(PodSettings()) | POD,
    collector=COLLECTOR,
).map(
    # Nobody runs the trials of a study without an algorithm.
    lambda spec: spec if spec.algorithm else replace(spec, collector=MetricsCollector())
)


@pytest.mark.long
@given(SPECS)
@settings(max_examples=examples(100), deadline=None)
def test_a_study_that_is_written_reads_back_the_same(spec: StudySpec) -> None:
    check_study(spec)
    text = dump_study(spec)
    study = parse_study(text)
    assert study.spec == spec
    assert study.warnings == ()
    assert parse_study(text.encode()).spec == spec


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\x7f", "\x9f", "\ufeff"])
def test_an_invisible_character_is_written_as_an_escape(character: str) -> None:
    spec = parse_study(SMALLEST).spec
    spec = replace(spec, pod=replace(spec.pod, environment={"a": f"ö{character}"}))
    check_study(spec)
    assert character not in dump_study(spec)
    assert parse_study(dump_study(spec)).spec == spec


def test_settings_of_one_name_keep_their_order() -> None:
    spec = parse_study(SMALLEST).spec
    spec = replace(spec, settings=(Setting("a", "1"), Setting("b", "2"), Setting("a", "3")))
    assert parse_study(dump_study(spec)).spec == spec


SMALLEST = "name: s\nobjective: {name: loss, type: minimize}\nparameters: [{name: x, type: double, min: 0, max: 1}]\n"

PIECES = st.sampled_from(
    ["name", "objective", "parameters", "algorithm", "settings", "command", "mount", "tags", "metrics", "type", "min",
     "feasible", "optimizationtype", "parameterconfigs", "configs", "max_trials", "trial_timeout", "goal", ": ", ":", "- ",
     "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "&a ", "*a", "!!str ", "<<", "?", "|\n", ">", "'", '"', "#", "\t",
     "x", "1", "1.5", "~", "---\n", "...\n", "%YAML 1.1\n", "\\", "é"]
)  # fmt: skip


def refusal(data: str | bytes) -> str:
    try:
        check_study(parse_study(data, "f.yaml").spec)
    except StudyFileError as error:
        return str(error)
    return ""


@pytest.mark.long
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
@settings(max_examples=examples(200), deadline=None)
def test_any_text_is_read_or_refused_with_the_file_named(text: str) -> None:
    for data in (text, SMALLEST + text):
        assert all(line.startswith("f.yaml") for line in refusal(data).splitlines())


@given(st.binary(max_size=60))
@settings(max_examples=examples(100), deadline=None)
def test_any_bytes_are_read_or_refused_with_the_file_named(data: bytes) -> None:
    assert all(line.startswith("f.yaml") for line in refusal(data).splitlines())
