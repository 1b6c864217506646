"""The checks of a study that every entry makes."""

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from katib.domain.checks import MAX_TEXT, check_count, check_text, check_word
from katib.domain.collector import MetricsSource, check_collector
from katib.domain.errors import FieldViolation, InvalidArgumentError, below, violation
from katib.domain.names import SERVICE_NAME_EXPECTED, is_service_name
from katib.domain.pod import check_pod_settings
from katib.domain.retention import check_retention
from katib.domain.search_space import MAX_VALUE, SearchSpace, check_name, check_widths
from katib.domain.study import (
    CHECK_INTERVAL,
    MAX_COUNT,
    MAX_PARALLEL,
    SUGGESTION_NUM,
    Limits,
    Setting,
    StudySpec,
    whole_number,
)
from katib.domain.trial import Tag

MAX_STUDY_NAME: Final = 200
MAX_METRICS: Final = 100
MAX_TAGS: Final = 100
MAX_SETTINGS: Final = 300
MAX_COMMAND: Final = 1000
MAX_COMMAND_BYTES: Final = 96 * 1024
MAX_PERIOD: Final = timedelta(days=3650)


def check_study(spec: StudySpec, path: str = "study_config") -> SearchSpace:
    """Checks everything that can be known without asking a service; returns the search space.

    Raises InvalidArgumentError with every violation found, each under `path`.
    """
    at = partial(below, path)
    found = [*_check_named(spec, at), *_check_texts(spec, at), *_check_lists(spec, at)]
    found += _command(at("command"), spec.command)
    if not 0 <= spec.gpu <= 1000:
        found.append(violation(at("gpu"), spec.gpu, "expected 0 to 1000"))
    found += check_pod_settings(spec.pod, at("pod"))
    found += check_collector(spec.collector, at("metrics_collector"))
    if spec.client_driven and spec.collector.source is not MetricsSource.OUTPUT:
        expected = "expected output: clients report for their trials"
        found.append(violation(at("metrics_collector.source"), spec.collector.source.value, expected))
    found += check_retention(at("keep_models"), spec.keep_models)
    found += _check_limits(path, spec)
    try:
        space = SearchSpace.of(spec.parameters, at("parameter_configs"))
        check_widths(space, spec.parameters, at("parameter_configs"))
    except InvalidArgumentError as error:
        raise InvalidArgumentError([*found, *error.violations]) from None
    if found:
        raise InvalidArgumentError(found)
    return space


def _check_named(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    """The study's name, what it optimizes, and who suggests and stops."""
    found = list(check_text(at("name"), spec.name, MAX_STUDY_NAME, required="a name for the study"))
    if spec.objective_name:
        found += check_name(at("objective_value_name"), spec.objective_name)
    else:
        found.append(violation(at("objective_value_name"), "", "expected the name of the metric to optimize"))
    if spec.optimization is None:
        found.append(violation(at("optimization_type"), "", "expected minimize (1) or maximize (2)"))
    if spec.goal is not None and math.isnan(spec.goal):
        found.append(violation(at("optimization_goal"), "nan", "expected a number"))
    for name, value in (("suggest_algorithm", spec.algorithm), ("early_stopping_algorithm", spec.early_stopping)):
        if value and not is_service_name(value):
            found.append(violation(at(name), value, f"expected {SERVICE_NAME_EXPECTED}"))
    return found


def _check_texts(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    found: list[FieldViolation] = []
    for name, text in (
        ("owner", spec.owner),
        ("study_task_name", spec.task_name),
        ("image", spec.image),
        ("scheduler", spec.scheduler),
        ("pull_secret", spec.pull_secret),
        ("working_dir", spec.working_dir),
    ):
        found += check_text(at(name), text, MAX_TEXT)
    if spec.mount is not None:
        # 0.1's clients send an empty one for none; half of one mounts nothing.
        pvc, folder = spec.mount.pvc, spec.mount.path
        found += check_text(at("mount.pvc"), pvc, MAX_TEXT, required="a volume claim" if folder else "")
        found += check_text(at("mount.path"), folder, MAX_TEXT, required="a path" if pvc else "")
    return found


def _check_lists(spec: StudySpec, at: Callable[[str], str]) -> list[FieldViolation]:
    """No more than the first items of a list that is too long are looked into."""
    found = list(check_count(at("metrics"), spec.metrics, MAX_METRICS))
    for i, metric in enumerate(spec.metrics[:MAX_METRICS]):
        found += check_name(at(f"metrics[{i}]"), metric)
    named: tuple[tuple[str, Sequence[Setting | Tag], int], ...] = (
        ("suggestion_parameters", spec.settings, MAX_SETTINGS),
        ("early_stopping_parameters", spec.early_stopping_settings, MAX_SETTINGS),
        ("tags", spec.tags, MAX_TAGS),
    )
    for name, settings, most in named:
        found += check_count(at(name), settings, most)
        for i, setting in enumerate(settings[:most]):
            found += check_text(at(f"{name}[{i}].name"), setting.name, MAX_TEXT, required="a name")
            found += check_text(at(f"{name}[{i}].value"), setting.value, MAX_VALUE)
    found += check_count(at("access_permissions"), spec.access_permissions, MAX_TAGS)
    for i, permission in enumerate(spec.access_permissions[:MAX_TAGS]):
        found += check_text(at(f"access_permissions[{i}]"), permission, MAX_TEXT)
    return found


def check_limits(limits: Limits, path: str = "") -> list[FieldViolation]:
    """The violations of the limits' own ranges."""
    at = partial(below, path)
    found = []
    for name, value, least in (
        ("max_trials", limits.max_trials, 1),
        ("max_parallel", limits.max_parallel, 1),
        ("max_failed_trials", limits.max_failed_trials, 1),
        ("retry_limit", limits.retry_limit, 0),
    ):
        if value is not None and not least <= value <= MAX_COUNT:
            found.append(violation(at(name), value, f"expected a whole number from {least} on"))
    for name, period in (("trial_timeout", limits.trial_timeout), ("max_duration", limits.max_duration)):
        if period is not None and not timedelta(0) < period <= MAX_PERIOD:
            found.append(
                violation(
                    at(name), f"{period.total_seconds():g}s", f"expected more than 0, at most {MAX_PERIOD.days} days"
                )
            )
    return found


def _check_limits(path: str, spec: StudySpec) -> list[FieldViolation]:
    at = partial(below, path)
    found = check_limits(spec.limits, path)
    for i, setting in enumerate(spec.settings[:MAX_SETTINGS]):
        if setting.name in (SUGGESTION_NUM, MAX_PARALLEL) and whole_number(setting.value) is None:
            found.append(
                violation(
                    at(f"suggestion_parameters[{i}].value"),
                    setting.value,
                    f"expected a whole number for {setting.name}",
                )
            )
    for i, setting in enumerate(spec.early_stopping_settings[:MAX_SETTINGS]):
        if setting.name == CHECK_INTERVAL and not (whole_number(setting.value) or 0) > 0:
            found.append(
                violation(
                    at(f"early_stopping_parameters[{i}].value"),
                    setting.value,
                    "expected seconds between checks, from 1 on",
                )
            )
    return found


def _command(field_: str, command: Sequence[str]) -> list[FieldViolation]:
    found = check_count(field_, command, MAX_COMMAND)
    if sum(len(word.encode(errors="surrogatepass")) for word in command) > MAX_COMMAND_BYTES:
        found.append(violation(field_, "", f"expected at most {MAX_COMMAND_BYTES // 1024} KiB in all"))
    for i, word in enumerate(command[:MAX_COMMAND]):
        found += check_word(f"{field_}[{i}]", word)
    if command and not command[0]:
        found.append(violation(f"{field_}[0]", "", "expected the program to run"))
    return found
