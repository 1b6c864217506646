"""A study as plain data in the shape of a study file, in today's spelling; what says nothing is left out."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy
from katib.domain.pod import PodSettings, Toleration
from katib.domain.search_space import ParameterConfig, Scale
from katib.domain.study import Setting, StudySpec
from katib.domain.study_file_values import format_period, names_a_program
from katib.domain.trial import Tag

Tree: TypeAlias = dict[str, object]


class TemplateText(str):
    """A text of a template, which is written so that it is read back as a text."""

    __slots__ = ()


def study_tree(spec: StudySpec) -> Tree:
    """What `study_file_writer` writes; texts are as the study has them, numbers in quotes and all."""
    limits = spec.limits
    strategy = spec.objective_strategy
    tree = _without_empty(
        {
            "name": spec.name,
            "owner": spec.owner,
            "objective": {
                "name": spec.objective_name,
                "type": spec.optimization.value if spec.optimization else None,
                "goal": spec.goal,
                "strategy": None if strategy is MetricStrategy.LATEST else strategy.value,
            },
            "metrics": list(spec.metrics),
            "metrics_collector": _collector(spec.collector),
            "algorithm": {"name": spec.algorithm, "settings": _named(spec.settings)},
            "early_stopping": {"name": spec.early_stopping, "settings": _named(spec.early_stopping_settings)},
            "parameters": [_parameter(parameter) for parameter in spec.parameters],
            "max_trials": limits.max_trials,
            "max_parallel": limits.max_parallel,
            "max_failed_trials": limits.max_failed_trials,
            "retry_limit": limits.retry_limit,
            "trial_timeout": None if limits.trial_timeout is None else format_period(limits.trial_timeout),
            "max_duration": None if limits.max_duration is None else format_period(limits.max_duration),
            "image": spec.image,
            "command": list(spec.command),
            "working_dir": spec.working_dir,
            "gpu": spec.gpu or None,
            "scheduler": spec.scheduler,
            "mount": None if spec.mount is None else {"pvc": spec.mount.pvc, "path": spec.mount.path},
            "pull_secret": spec.pull_secret,
            "pod": _pod(spec.pod),
            "keep_models": spec.keep_models,
            "study_task_name": spec.task_name,
            "access_permissions": list(spec.access_permissions),
            "tags": _named(spec.tags),
        }
    )
    if not spec.algorithm and (names_a_program(spec) or limits.max_trials is not None):
        # Left out it would be the default one, or a doubt whether there should be one.
        tree["algorithm"] = {"name": "", "settings": _named(spec.settings)} if spec.settings else ""
    return tree


def _collector(collector: MetricsCollector) -> Tree:
    format_, source, reader = collector.format, collector.source, collector.reader
    return {
        "source": None if source is MetricsSource.OUTPUT else source.value,
        "path": collector.path,
        "reader": None if reader is MetricsReader.MANAGER else reader.value,
        "format": None if format_ is MetricsFormat.TEXT else format_.value,
        "pattern": collector.pattern,
        "step": collector.step,
    }


def _parameter(config: ParameterConfig) -> Tree:
    feasible = config.feasible
    return {
        "name": config.name,
        "type": config.type.value if config.type else None,
        "min": feasible.min,
        "max": feasible.max,
        "list": list(feasible.list),
        "step": feasible.step,
        "scale": None if feasible.scale is Scale.LINEAR else feasible.scale.value,
    }


def _named(settings: Sequence[Setting | Tag]) -> object:
    """A mapping where each name stands once, else a list."""
    names = Counter(setting.name for setting in settings)
    if all(count == 1 for count in names.values()):
        return {setting.name: setting.value for setting in settings}
    return [{"name": setting.name, "value": setting.value} for setting in settings]


def _pod(pod: PodSettings) -> Tree:
    """Plain data in the shape of a study file; what says nothing is left out."""
    tree: Tree = {
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
        "annotations": dict(pod.annotations),
        "environment": dict(pod.environment),
        "requests": dict(pod.requests),
        "limits": dict(pod.limits),
        "node_selector": dict(pod.node_selector),
        "tolerations": [_toleration(toleration) for toleration in pod.tolerations],
        "service_account": pod.service_account,
        "start_timeout": "" if pod.start_timeout is None else format_period(pod.start_timeout),
        "template": _marked(json.loads(pod.template)) if pod.template else "",
    }
    return {name: value for name, value in tree.items() if value}


def _toleration(toleration: Toleration) -> Tree:
    tree: Tree = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    tree = {name: value for name, value in tree.items() if value}
    if toleration.seconds is not None:
        tree["toleration_seconds"] = toleration.seconds
    return tree


def _marked(value: object) -> object:
    if isinstance(value, str):
        return TemplateText(value)
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if isinstance(value, dict):
        return {TemplateText(key): _marked(inner) for key, inner in value.items()}
    return value


def _without_empty(tree: Tree) -> Tree:
    """Leaves out what says nothing; the entries of settings and lists all say something."""
    kept: Tree = {}
    for key, value in tree.items():
        if isinstance(value, dict) and key not in ("settings", "tags", "pod"):
            value = _without_empty(value)
        elif key == "parameters" and isinstance(value, list):
            value = [_without_empty(parameter) for parameter in value]
        if value not in ("", None, [], {}):
            kept[key] = value
    return kept
