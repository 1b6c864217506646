"""From the nodes of a study file to a StudySpec: which key becomes which field."""

import shlex
from dataclasses import replace
from typing import TypeVar

from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy
from katib.domain.search_space import FeasibleSpace, ParameterConfig, Scale
from katib.domain.study import Limits, Mount, Setting, StudySpec
from katib.domain.study_file_doubts import warn_of_doubts
from katib.domain.study_file_errors import Place
from katib.domain.study_file_keys import (
    ALGORITHM,
    AUTO_STOP,
    COLLECTOR,
    FEASIBLE,
    MOUNT,
    NAME_VALUE,
    OBJECTIVE,
    PARAMETER,
    PARAMETER_CONFIGS,
    SEVERAL_OBJECTIVES,
    STUDY,
)
from katib.domain.study_file_pod import read_pod
from katib.domain.study_file_values import (
    DEFAULT_ALGORITHM,
    FORMATS,
    OBJECTIVES,
    PARAMETER_TYPES,
    READERS,
    SCALES,
    SOURCES,
    STRATEGIES,
    leaves_algorithm_open,
)
from katib.domain.study_file_walk import Entries, Entry, Walk
from katib.domain.trial import Tag

N = TypeVar("N", Setting, Tag)

# Of the examples of Katib 0.1; the rule's name is that of its service.
_RULE_NAMES = {"median": "medianstopping"}
# What is required and missing is named as our documents name it, or as 0.1 did.
_SHORT_NAMES = {
    "parameter_configs.configs": "parameters",
    "objective_value_name": "objective.name",
    "optimization_type": "objective.type",
}


def read_study(root: MappingNode, walk: Walk) -> StudySpec:
    """The study as it stands in the file; what is wrong with it is in `walk`."""
    top = walk.mapping(Entry(Place(1, ""), root), STUDY)
    _unify(top, walk)
    walk.places.update((name, entry.place) for name, entry in top.items())
    spec = StudySpec(
        name=walk.text(top.get("name")),
        owner=walk.text(top.get("owner")),
        objective_name=walk.text(top.get("objective_value_name")),
        optimization=walk.word(top.get("optimization_type"), OBJECTIVES),
        goal=walk.number(top.get("optimization_goal")),
        objective_strategy=walk.word(top.get("objective_strategy"), STRATEGIES) or MetricStrategy.LATEST,
        parameters=tuple(_parameter(entry, i, walk) for i, entry in enumerate(walk.items(top.get("configs")))),
        access_permissions=_texts(top, "access_permissions", walk),
        algorithm=walk.text(top.get("suggest_algorithm")),
        settings=_named(top, "suggestion_parameters", Setting, walk),
        early_stopping=_rule(top.get("early_stopping_algorithm"), walk),
        early_stopping_settings=_named(top, "early_stopping_parameters", Setting, walk),
        task_name=walk.text(top.get("study_task_name")),
        tags=_named(top, "tags", Tag, walk),
        metrics=_texts(top, "metrics", walk),
        image=walk.text(top.get("image")),
        command=_command(top, walk),
        gpu=walk.whole(top.get("gpu")) or 0,
        scheduler=walk.text(top.get("scheduler")),
        mount=_mount(top, walk),
        pull_secret=walk.text(top.get("pull_secret")),
        working_dir=walk.text(top.get("working_dir")),
        pod=read_pod(top.get("pod"), walk),
        collector=_collector(top.get("metrics_collector"), walk),
        keep_models=walk.text(top.get("keep_models")),
        limits=Limits(
            max_trials=walk.whole(top.get("max_trials")),
            max_parallel=walk.whole(top.get("max_parallel")),
            max_failed_trials=walk.whole(top.get("max_failed_trials")),
            retry_limit=walk.whole(top.get("retry_limit")),
            trial_timeout=walk.period(top.get("trial_timeout")),
            max_duration=walk.period(top.get("max_duration")),
        ),
    )
    if "suggest_algorithm" not in top and leaves_algorithm_open(spec):
        spec = replace(spec, algorithm=DEFAULT_ALGORITHM)
    warn_of_doubts(spec, top, walk)
    walk.finish()
    return spec


def _unify(top: Entries, walk: Walk) -> None:
    """Brings the short ways of saying something to the wire's own names."""
    for name in ("objective", "objective_value_name"):
        if name in top and isinstance(top[name].node, SequenceNode):
            walk.refuse(top.pop(name).place, "", SEVERAL_OBJECTIVES)
    walk.spread(
        top,
        "objective",
        OBJECTIVE,
        {
            "name": "objective_value_name",
            "type": "optimization_type",
            "goal": "optimization_goal",
            "strategy": "objective_strategy",
        },
    )
    for name, algorithm, settings in (
        ("algorithm", "suggest_algorithm", "suggestion_parameters"),
        ("early_stopping", "early_stopping_algorithm", "early_stopping_parameters"),
    ):
        if name in top and isinstance(top[name].node, ScalarNode):
            walk.rename(top, name, algorithm)
        walk.spread(top, name, ALGORITHM, {"name": algorithm, "settings": settings})
    # 0.1 passed over the one and read the other: so do we where a file has both.
    if AUTO_STOP in top and "early_stopping_algorithm" in top:
        walk.warn(top.pop(AUTO_STOP).place, "ignored: the early-stopping algorithm is given")
    walk.rename(top, AUTO_STOP, "early_stopping_algorithm")
    if "parameter_configs" in top:
        walk.places["parameter_configs"] = top["parameter_configs"].place
    walk.spread(top, "parameter_configs", PARAMETER_CONFIGS, {"configs": "configs"})
    walk.rename(top, "parameters", "configs")
    walk.places.pop("configs", None)
    if "configs" in top:
        walk.places["parameter_configs.configs"] = top["configs"].place
    for path, short in _SHORT_NAMES.items():
        walk.places.setdefault(path, Place(None, path.replace("_", "") if walk.old else short))


def _parameter(entry: Entry, index: int, walk: Walk) -> ParameterConfig:
    at = f"parameter_configs.configs[{index}]"
    # Without a mapping of its own, the feasible space stands among the parameter's keys.
    walk.places[at] = walk.places[f"{at}.feasible"] = entry.place
    found = walk.mapping(entry, PARAMETER)
    if "feasible" in found:
        walk.places[f"{at}.feasible"] = found["feasible"].place
    walk.spread(found, "feasible", FEASIBLE, {name: name for name in FEASIBLE.names.values()}, f"{at}.feasible.")
    walk.rename(found, "type", "parameter_type")
    # Where it is missing, by the name that a file has for it.
    walk.places[f"{at}.parameter_type"] = Place(
        entry.place.line, f"{entry.place.path}.{'parametertype' if walk.old else 'type'}"
    )
    walk.rename(found, "values", "list")
    for name, value in found.items():
        walk.places[f"{at}.{name}" if name in ("name", "parameter_type") else f"{at}.feasible.{name}"] = value.place
    return ParameterConfig(
        walk.text(found.get("name")),
        walk.word(found.get("parameter_type"), PARAMETER_TYPES),
        FeasibleSpace(
            min=walk.text(found.get("min")),
            max=walk.text(found.get("max")),
            list=_list(found.get("list"), f"{at}.feasible.list", walk),
            step=walk.text(found.get("step")),
            scale=walk.word(found.get("scale"), SCALES) or Scale.LINEAR,
        ),
    )


def _named(top: Entries, name: str, make: type[N], walk: Walk) -> tuple[N, ...]:
    """Settings or tags: a list of names and values, or a mapping."""
    entry = top.get(name)
    if entry is None:
        return ()
    found = []
    if isinstance(entry.node, SequenceNode):
        for i, item in enumerate(walk.items(entry)):
            pair = walk.mapping(item, NAME_VALUE)
            walk.places[f"{name}[{i}]"] = item.place
            walk.places.update((f"{name}[{i}].{key}", value.place) for key, value in pair.items())
            found.append(make(walk.text(pair.get("name")), walk.text(pair.get("value"))))
    else:
        for i, (key, value) in enumerate(walk.pairs(entry)):
            for path in ("", ".name", ".value"):
                walk.places[f"{name}[{i}]{path}"] = value.place
            found.append(make(key, walk.text(value) if value.given else ""))
    # A service knows its settings by name.
    for i, setting in enumerate(found):
        walk.places[f"{name}.{setting.name}"] = walk.places[f"{name}[{i}]"]
    return tuple(found)


def _texts(top: Entries, name: str, walk: Walk) -> tuple[str, ...]:
    return _list(top.get(name), name, walk)


def _list(entry: Entry | None, at: str, walk: Walk) -> tuple[str, ...]:
    texts = []
    for i, item in enumerate(walk.items(entry)):
        walk.places[f"{at}[{i}]"] = item.place
        texts.append(walk.text(item))
    return tuple(texts)


def _command(top: Entries, walk: Walk) -> tuple[str, ...]:
    """A list of words, or one line that is split as a shell would; no shell ever sees it."""
    entry = top.get("command")
    if entry is None or not isinstance(entry.node, ScalarNode):
        return _texts(top, "command", walk)
    line = walk.text(entry)
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        walk.refuse(entry.place, line, f"expected a command line, or a list of its words: {str(error).lower()}")
        return ()


def _rule(entry: Entry | None, walk: Walk) -> str:
    name = walk.text(entry)
    return _RULE_NAMES.get(name, name)


def _mount(top: Entries, walk: Walk) -> Mount | None:
    entry = top.get("mount")
    if entry is None:
        return None
    found = walk.mapping(entry, MOUNT)
    walk.places.update((f"mount.{name}", value.place) for name, value in found.items())
    mount = Mount(walk.text(found.get("pvc")), walk.text(found.get("path")))
    return mount if mount.pvc or mount.path else None


def _collector(entry: Entry | None, walk: Walk) -> MetricsCollector:
    if entry is None:
        return DEFAULT_COLLECTOR
    found = walk.mapping(entry, COLLECTOR)
    walk.places.update((f"metrics_collector.{name}", value.place) for name, value in found.items())
    pattern = walk.text(found.get("pattern"))
    # A pattern says by itself what the format is.
    default = MetricsFormat.PATTERN if pattern else MetricsFormat.TEXT
    return MetricsCollector(
        walk.word(found.get("format"), FORMATS) or default,
        pattern,
        walk.text(found.get("step")),
        walk.word(found.get("source"), SOURCES) or MetricsSource.OUTPUT,
        walk.text(found.get("path")),
        walk.word(found.get("reader"), READERS) or MetricsReader.MANAGER,
    )
