"""A StudySpec as JSON text and back, for storage; also a trial's parameters and tags.

Compact: a field that has its default is left out. The text is ASCII, so that no database's character set matters. Unknown
fields are passed over when reading: that a newer program has written here is for the schema's version to say.
"""

import json
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any, Final

from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy, format_value
from katib.domain.pod import NO_POD_SETTINGS
from katib.domain.pod_json import pod_from_json, pod_to_json
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec
from katib.domain.times import period_from_micros_or_none, period_to_micros_or_none
from katib.domain.trial import Tag
from katib.domain.trial_columns import by_name

_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
_PARAMETER_TYPES: Final = {t.value: t for t in ParameterType}


def spec_to_json(spec: StudySpec) -> str:
    return _ENCODE(
        _present(
            {
                "name": spec.name,
                "owner": spec.owner,
                "objective_name": spec.objective_name,
                "optimization": spec.optimization and spec.optimization.value,
                # As text: JSON has no infinities.
                "goal": None if spec.goal is None else format_value(spec.goal),
                "parameters": [_config_to_json(config) for config in spec.parameters],
                "access_permissions": spec.access_permissions,
                "algorithm": spec.algorithm,
                "early_stopping": spec.early_stopping,
                "task_name": spec.task_name,
                "settings": _pairs(spec.settings),
                "early_stopping_settings": _pairs(spec.early_stopping_settings),
                "tags": _pairs(spec.tags),
                "metrics": spec.metrics,
                "image": spec.image,
                "command": spec.command,
                "gpu": spec.gpu,
                "scheduler": spec.scheduler,
                "mount": spec.mount and [spec.mount.pvc, spec.mount.path],
                "pull_secret": spec.pull_secret,
                "limits": _limits_to_json(spec.limits),
                "working_dir": spec.working_dir,
                "objective_strategy": spec.objective_strategy.value,
                "pod": pod_to_json(spec.pod),
                "metrics_collector": _collector_to_json(spec.collector),
                "keep_models": spec.keep_models,
            }
        )
    )


def spec_from_json(text: str) -> StudySpec:
    """The spec that `spec_to_json` wrote. Raises ValueError for anything else."""
    data: dict[str, Any] = json.loads(text)
    mount = data.get("mount")
    return StudySpec(
        name=data.get("name", ""),
        owner=data.get("owner", ""),
        objective_name=data.get("objective_name", ""),
        optimization=Objective(data["optimization"]) if "optimization" in data else None,
        goal=float(data["goal"]) if "goal" in data else None,
        parameters=tuple(_config_from_json(config) for config in data.get("parameters", ())),
        access_permissions=tuple(data.get("access_permissions", ())),
        algorithm=data.get("algorithm", ""),
        early_stopping=data.get("early_stopping", ""),
        task_name=data.get("task_name", ""),
        settings=tuple(Setting(name, value) for name, value in data.get("settings", ())),
        early_stopping_settings=tuple(Setting(name, value) for name, value in data.get("early_stopping_settings", ())),
        tags=tuple(Tag(name, value) for name, value in data.get("tags", ())),
        metrics=tuple(data.get("metrics", ())),
        image=data.get("image", ""),
        command=tuple(data.get("command", ())),
        gpu=data.get("gpu", 0),
        scheduler=data.get("scheduler", ""),
        mount=Mount(*mount) if mount else None,
        pull_secret=data.get("pull_secret", ""),
        limits=_limits_from_json(data.get("limits", {})),
        working_dir=data.get("working_dir", ""),
        objective_strategy=MetricStrategy(data["objective_strategy"]),
        pod=pod_from_json(data["pod"]) if "pod" in data else NO_POD_SETTINGS,
        collector=_collector_from_json(data["metrics_collector"]) if "metrics_collector" in data else DEFAULT_COLLECTOR,
        keep_models=data.get("keep_models", ""),
    )


def parameters_to_json(parameters: tuple[Parameter, ...]) -> str:
    return _ENCODE([[p.name, p.type.value, p.value] for p in parameters])


def parameters_from_json(text: str) -> tuple[Parameter, ...]:
    # Thousands of trials share the names of their parameters.
    return tuple([Parameter(intern(name), _PARAMETER_TYPES[kind], value) for name, kind, value in json.loads(text)])


def parameter_columns_from_json(texts: Sequence[str]) -> dict[str, list[str | None]]:
    """Of many trials: by name the values, None for a trial that has none of that name."""
    # As one text: half of what many short ones take.
    return by_name(json.loads(f"[{','.join(texts)}]"))


def tags_to_json(tags: tuple[Tag, ...]) -> str:
    return _ENCODE(_pairs(tags)) if tags else "[]"


def tags_from_json(text: str) -> tuple[Tag, ...]:
    return tuple([Tag(name, value) for name, value in json.loads(text)]) if text != "[]" else ()


def _present(fields: Mapping[str, object]) -> dict[str, object]:
    """Without what has its default: nothing, empty or zero."""
    return {name: value for name, value in fields.items() if value}


def _pairs(items: tuple[Setting, ...] | tuple[Tag, ...]) -> list[list[str]]:
    return [[item.name, item.value] for item in items]


def _config_to_json(config: ParameterConfig) -> dict[str, object]:
    feasible = config.feasible
    return _present(
        {
            "name": config.name,
            "type": config.type and config.type.value,
            "min": feasible.min,
            "max": feasible.max,
            "list": feasible.list,
            "step": feasible.step,
            "scale": "" if feasible.scale is Scale.LINEAR else feasible.scale.value,
        }
    )


def _config_from_json(data: Mapping[str, Any]) -> ParameterConfig:
    return ParameterConfig(
        name=data.get("name", ""),
        type=_PARAMETER_TYPES[data["type"]] if "type" in data else None,
        feasible=FeasibleSpace(
            min=data.get("min", ""),
            max=data.get("max", ""),
            list=tuple(data.get("list", ())),
            step=data.get("step", ""),
            scale=Scale(data["scale"]) if "scale" in data else Scale.LINEAR,
        ),
    )


def _limits_to_json(limits: Limits) -> dict[str, int]:
    """None is absent, zero is not. Periods are whole microseconds, which is all that a timedelta holds."""
    values = {
        "max_trials": limits.max_trials,
        "max_parallel": limits.max_parallel,
        "max_failed_trials": limits.max_failed_trials,
        "retry_limit": limits.retry_limit,
        "trial_timeout_us": period_to_micros_or_none(limits.trial_timeout),
        "max_duration_us": period_to_micros_or_none(limits.max_duration),
    }
    return {name: value for name, value in values.items() if value is not None}


def _limits_from_json(data: Mapping[str, int]) -> Limits:
    return Limits(
        max_trials=data.get("max_trials"),
        max_parallel=data.get("max_parallel"),
        max_failed_trials=data.get("max_failed_trials"),
        retry_limit=data.get("retry_limit"),
        trial_timeout=period_from_micros_or_none(data.get("trial_timeout_us")),
        max_duration=period_from_micros_or_none(data.get("max_duration_us")),
    )


def _collector_to_json(collector: MetricsCollector) -> dict[str, object]:
    if collector == DEFAULT_COLLECTOR:
        return {}
    return _present(
        {
            "format": collector.format.value,
            "pattern": collector.pattern,
            "step": collector.step,
            "source": "" if collector.source is MetricsSource.OUTPUT else collector.source.value,
            "path": collector.path,
            "reader": "" if collector.reader is MetricsReader.MANAGER else collector.reader.value,
        }
    )


def _collector_from_json(data: Mapping[str, Any]) -> MetricsCollector:
    return MetricsCollector(
        MetricsFormat(data["format"]),
        data.get("pattern", ""),
        data.get("step", ""),
        MetricsSource(data.get("source", MetricsSource.OUTPUT.value)),
        data.get("path", ""),
        MetricsReader(data.get("reader", MetricsReader.MANAGER.value)),
    )
