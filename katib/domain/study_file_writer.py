"""Writes a study as a study file in today's spelling."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import yaml
from yaml.nodes import ScalarNode

from katib.domain.metrics import MetricStrategy
from katib.domain.search_space import ParameterConfig, Scale
from katib.domain.study import Setting, StudySpec
from katib.domain.study_file_values import format_period
from katib.domain.trial import Tag

_STR: Final = "tag:yaml.org,2002:str"
_BARE: Final = frozenset({_STR, "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


def dump_study(spec: StudySpec) -> str:
    """A study file that `parse_study` reads as the same study, provided that `check_study` accepts it.

    One study has no file: one with an early-stopping rule named `median`, which is read as `medianstopping`.
    """
    return yaml.dump(
        _without_empty(_tree(spec)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=120,
    )


class _Dumper(yaml.SafeDumper):
    """Numbers are texts here: written without quotes where it is a number that YAML sees in them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- PyYAML calls it
        return True


def _represent_text(dumper: _Dumper, text: str) -> ScalarNode:
    tag = dumper.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag if tag in _BARE else _STR, text)


_Dumper.add_representer(str, _represent_text)


def _tree(spec: StudySpec) -> dict[str, object]:
    limits = spec.limits
    strategy = spec.objective_strategy
    tree: dict[str, object] = {
        "name": spec.name,
        "owner": spec.owner,
        "objective": {
            "name": spec.objective_name,
            "type": spec.optimization.value if spec.optimization else None,
            "goal": None if spec.goal is None else repr(spec.goal),
            "strategy": None if strategy is MetricStrategy.LATEST else strategy.value,
        },
        "metrics": list(spec.metrics),
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
        "study_task_name": spec.task_name,
        "access_permissions": list(spec.access_permissions),
        "tags": _named(spec.tags),
    }
    return tree


def _parameter(config: ParameterConfig) -> dict[str, object]:
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


def _without_empty(tree: dict[str, object]) -> dict[str, object]:
    """Leaves out what says nothing; the entries of settings and lists all say something."""
    kept: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and key not in ("settings", "tags"):
            value = _without_empty(value)
        elif key == "parameters" and isinstance(value, list):
            value = [_without_empty(parameter) for parameter in value]
        if value not in ("", None, [], {}):
            kept[key] = value
    return kept
