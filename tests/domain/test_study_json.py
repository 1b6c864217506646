"""A study as JSON: everything comes back, and what was stored by an earlier version can be read."""

import dataclasses
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy
from katib.domain.pod import PodSettings, Toleration
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec
from katib.domain.study_json import (
    parameters_from_json,
    parameters_to_json,
    spec_from_json,
    spec_to_json,
    tags_from_json,
    tags_to_json,
)
from katib.domain.trial import Tag

texts = st.text(max_size=12)
counts = st.none() | st.integers(0, 2**31)
periods = st.none() | st.timedeltas(timedelta(0), timedelta(days=4000))


def tuples(items, most=3):
    return st.lists(items, max_size=most).map(tuple)


configs = st.builds(
    ParameterConfig,
    texts,
    st.none() | st.sampled_from(ParameterType),
    st.builds(FeasibleSpace, texts, texts, tuples(texts), texts, st.sampled_from(Scale)),
)
settings = tuples(st.builds(Setting, texts, texts))
tags = tuples(st.builds(Tag, texts, texts))
mappings = st.dictionaries(texts, texts, max_size=3)
specs = st.builds(
    StudySpec,
    name=texts,
    objective_name=texts,
    optimization=st.none() | st.sampled_from(Objective),
    parameters=tuples(configs),
    owner=texts,
    goal=st.none() | st.floats(allow_nan=False),
    access_permissions=tuples(texts),
    algorithm=texts,
    early_stopping=texts,
    task_name=texts,
    settings=settings,
    early_stopping_settings=settings,
    tags=tags,
    metrics=tuples(texts),
    image=texts,
    command=tuples(texts),
    gpu=st.integers(0, 1000),
    scheduler=texts,
    mount=st.none() | st.builds(Mount, texts, texts),
    pull_secret=texts,
    limits=st.builds(Limits, counts, counts, counts, counts, periods, periods),
    working_dir=texts,
    objective_strategy=st.sampled_from(MetricStrategy),
    collector=st.builds(
        MetricsCollector,
        st.sampled_from(MetricsFormat),
        texts,
        texts,
        st.sampled_from(MetricsSource),
        texts,
        st.sampled_from(MetricsReader),
    ),
    pod=st.builds(
        PodSettings,
        namespace=texts,
        labels=mappings,
        annotations=mappings,
        environment=mappings,
        requests=mappings,
        limits=mappings,
        node_selector=mappings,
        tolerations=tuples(st.builds(Toleration, texts, texts, texts, texts, st.none() | st.integers(-9, 9))),
        service_account=texts,
        start_timeout=periods,
        template=texts,
    ),
)

FULL = StudySpec(
    name="digits 🎲",
    objective_name="accuracy",
    optimization=Objective.MINIMIZE,
    parameters=(
        ParameterConfig("rate", ParameterType.DOUBLE, FeasibleSpace("1e-5", "0.030", step="1e-6", scale=Scale.LOG)),
        ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "yes"))),
    ),
    owner="me",
    goal=float("-inf"),
    access_permissions=("everybody",),
    algorithm="random",
    early_stopping="medianstopping",
    task_name="task",
    settings=(Setting("SuggestionNum", "7"),),
    early_stopping_settings=(Setting("LeastStep", "5"),),
    tags=(Tag("team", "a"),),
    metrics=("accuracy", "loss"),
    image="image:1",
    command=("python", "train.py"),
    gpu=2,
    scheduler="volcano",
    mount=Mount("claim", "/data"),
    pull_secret="secret",
    limits=Limits(1, 2, 3, 0, timedelta(seconds=1.5), timedelta(days=2)),
    working_dir="/work",
    objective_strategy=MetricStrategy.MIN,
    collector=MetricsCollector(MetricsFormat.JSON, step="n"),
    pod=PodSettings(
        namespace="team",
        labels={"kueue.x-k8s.io/queue-name": "gpus"},
        annotations={"note": "a\nb"},
        environment={"OMP_NUM_THREADS": "1"},
        requests={"cpu": "500m"},
        limits={"memory": "8Gi"},
        node_selector={"disk": "ssd"},
        tolerations=(Toleration("gpu", "Exists", "", "NoExecute", 0), Toleration("spot", value="yes")),
        service_account="trainer",
        start_timeout=timedelta(hours=2),
        template='{"spec":{}}',
    ),
)
# As it stands in databases: a change of the code must go on reading it.
STORED = (
    '{"name":"digits \\ud83c\\udfb2","owner":"me","objective_name":"accuracy","optimization":"minimize","goal":"-inf",'
    '"parameters":[{"name":"rate","type":"double","min":"1e-5","max":"0.030","step":"1e-6","scale":"log"},'
    '{"name":"kind","type":"categorical","list":["a","yes"]}],"access_permissions":["everybody"],"algorithm":"random",'
    '"early_stopping":"medianstopping","task_name":"task","settings":[["SuggestionNum","7"]],'
    '"early_stopping_settings":[["LeastStep","5"]],"tags":[["team","a"]],"metrics":["accuracy","loss"],'
    '"image":"image:1","command":["python","train.py"],"gpu":2,"scheduler":"volcano","mount":["claim","/data"],'
    '"pull_secret":"secret","limits":{"max_trials":1,"max_parallel":2,"max_failed_trials":3,"retry_limit":0,'
    '"trial_timeout_us":1500000,"max_duration_us":172800000000},"working_dir":"/work","objective_strategy":"min",'
    '"pod":{"namespace":"team","labels":{"kueue.x-k8s.io/queue-name":"gpus"},"annotations":{"note":"a\\nb"},'
    '"environment":{"OMP_NUM_THREADS":"1"},"requests":{"cpu":"500m"},"limits":{"memory":"8Gi"},'
    '"node_selector":{"disk":"ssd"},"tolerations":[["gpu","Exists","","NoExecute",0],["spot","","yes","",null]],'
    '"service_account":"trainer","template":"{\\"spec\\":{}}","start_timeout_us":7200000000},'
    '"metrics_collector":{"format":"json","step":"n"}}'
)


@pytest.mark.long
@given(specs)
def test_every_spec_comes_back(spec):
    text = spec_to_json(spec)
    assert spec_from_json(text) == spec
    assert text.isascii()


@given(tuples(st.builds(Parameter, texts, st.sampled_from(ParameterType), texts), 5), tags)
def test_parameters_and_tags_come_back(parameters, tags):
    assert parameters_from_json(parameters_to_json(parameters)) == parameters
    assert tags_from_json(tags_to_json(tags)) == tags


def test_what_is_stored_can_be_read():
    assert spec_from_json(STORED) == FULL
    assert spec_to_json(FULL) == STORED


def test_what_was_stored_before_there_were_pods_can_be_read():
    before = STORED[: STORED.index(',"pod"')] + "}"
    assert spec_from_json(before) == dataclasses.replace(FULL, pod=PodSettings(), collector=MetricsCollector())


@pytest.mark.parametrize(
    "type_", [StudySpec, Limits, Mount, FeasibleSpace, ParameterConfig, PodSettings, MetricsCollector]
)
def test_no_field_is_forgotten(type_):
    """A field that is added to the domain and not to the codec would be lost: each, changed alone, must change the text."""
    whole = {
        StudySpec: (FULL, lambda value: value),
        Limits: (FULL.limits, lambda value: dataclasses.replace(FULL, limits=value)),
        Mount: (FULL.mount, lambda value: dataclasses.replace(FULL, mount=value)),
        FeasibleSpace: (
            dataclasses.replace(FULL.parameters[0].feasible, list=("x",)),
            lambda value: dataclasses.replace(FULL, parameters=(ParameterConfig("p", ParameterType.INT, value),)),
        ),
        ParameterConfig: (FULL.parameters[0], lambda value: dataclasses.replace(FULL, parameters=(value,))),
        PodSettings: (FULL.pod, lambda value: dataclasses.replace(FULL, pod=value)),
        MetricsCollector: (FULL.collector, lambda value: dataclasses.replace(FULL, collector=value)),
    }
    value, into_spec = whole[type_]
    text = spec_to_json(into_spec(value))
    for field in dataclasses.fields(type_):
        present = getattr(value, field.name)
        other = {str: "other", int: 17, float: 0.25}.get(type(present))
        if other is None:
            other = type(present)() if isinstance(present, tuple | dict | PodSettings) else _another(present)
        changed = into_spec(dataclasses.replace(value, **{field.name: other}))
        assert spec_to_json(changed) != text, field.name
        assert spec_from_json(spec_to_json(changed)) == changed, field.name


def _another(value):
    others = {
        Objective.MINIMIZE: Objective.MAXIMIZE,
        MetricStrategy.MIN: MetricStrategy.LATEST,
        ParameterType.DOUBLE: ParameterType.INT,
        Scale.LOG: Scale.LINEAR,
        FULL.mount: None,
        FULL.collector: MetricsCollector(),
        MetricsFormat.JSON: MetricsFormat.PATTERN,
        MetricsSource.OUTPUT: MetricsSource.FILE,
        MetricsReader.MANAGER: MetricsReader.SDK,
        FULL.limits: Limits(),
        FULL.parameters[0].feasible: FeasibleSpace(),
    }
    return timedelta(1) if isinstance(value, timedelta) else others[value]


def test_defaults_take_no_room():
    text = spec_to_json(StudySpec("n", "o", Objective.MAXIMIZE, ()))
    assert json.loads(text) == {
        "name": "n",
        "objective_name": "o",
        "optimization": "maximize",
        "objective_strategy": "latest",
    }


def test_an_absent_goal_and_a_goal_of_zero_are_not_the_same():
    for goal in (None, 0.0):
        spec = dataclasses.replace(FULL, goal=goal)
        assert spec_from_json(spec_to_json(spec)).goal == goal


def test_what_a_newer_version_has_added_is_passed_over():
    assert spec_from_json('{"new":[1],"objective_name":"o","objective_strategy":"max"}').objective_name == "o"


@pytest.mark.parametrize("text", ["", "{", "[]x", '{"objective_strategy":"other"}'])
def test_what_is_no_spec_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        spec_from_json(text)
