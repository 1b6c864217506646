"""A study's own checks, its limits, and what is better than what."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec, effective_limits, with_effective_settings
from katib.domain.study_checks import check_limits, check_study
from katib.domain.trial import Tag

SPEC = StudySpec(
    name="s",
    objective_name="loss",
    optimization=Objective.MINIMIZE,
    parameters=(ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
)


def violations(**changes: object) -> Mapping[str, str]:
    """By field, what was expected."""
    with pytest.raises(InvalidArgumentError) as caught:
        check_study(replace(SPEC, **changes), path="")  # type: ignore[arg-type]
    return {v.field: v.expected for v in caught.value.violations}


def test_a_good_study_gives_its_search_space() -> None:
    assert [dimension.name for dimension in check_study(SPEC)] == ["x"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"owner": "a\x1b"}, "owner"),
        ({"objective_name": ""}, "objective_value_name"),
        ({"objective_name": "a b"}, "objective_value_name"),
        ({"optimization": None}, "optimization_type"),
        ({"goal": math.nan}, "optimization_goal"),
        ({"algorithm": "../x"}, "suggest_algorithm"),
        ({"early_stopping": "a" * 41}, "early_stopping_algorithm"),
        ({"metrics": ("a", "b=c")}, "metrics[1]"),
        ({"metrics": ("a",) * 101}, "metrics"),
        ({"settings": (Setting("", "1"),)}, "suggestion_parameters[0].name"),
        ({"settings": (Setting("SuggestionNum", "many"),)}, "suggestion_parameters[0].value"),
        ({"settings": (Setting("a", "x" * 1001),)}, "suggestion_parameters[0].value"),
        ({"early_stopping_settings": (Setting("CheckInterval", "0"),)}, "early_stopping_parameters[0].value"),
        ({"tags": (Tag("a", "\0"),)}, "tags[0].value"),
        ({"access_permissions": ("a", "\n")}, "access_permissions[1]"),
        ({"command": ("",)}, "command[0]"),
        ({"command": ("a", "b\0")}, "command[1]"),
        ({"command": ("a", "\ud800")}, "command[1]"),
        ({"command": ("a" * 100_000,)}, "command"),
        ({"gpu": -1}, "gpu"),
        ({"gpu": 1001}, "gpu"),
        ({"mount": Mount("nfs", "")}, "mount.path"),
        ({"mount": Mount("", "/data")}, "mount.pvc"),
        ({"mount": Mount("nfs", "/\x7f")}, "mount.path"),
        ({"limits": Limits(max_trials=0)}, "max_trials"),
        ({"limits": Limits(max_parallel=2**31)}, "max_parallel"),
        ({"limits": Limits(retry_limit=-1)}, "retry_limit"),
        ({"limits": Limits(trial_timeout=timedelta(0))}, "trial_timeout"),
        ({"limits": Limits(max_duration=timedelta(days=3651))}, "max_duration"),
        ({"parameters": ()}, "parameter_configs.configs"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(changes: Mapping[str, object], field: str) -> None:
    found = violations(**changes)
    assert list(found) == [field]
    assert found[field].startswith("expected")


def test_every_violation_is_told_at_once_below_the_path_of_the_request() -> None:
    bad = replace(SPEC, name="", gpu=-1, parameters=())
    with pytest.raises(InvalidArgumentError) as caught:
        check_study(bad)
    assert [v.field for v in caught.value.violations] == [
        "study_config.name",
        "study_config.gpu",
        "study_config.parameter_configs.configs",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"goal": math.inf},
        {"command": ("sh", "-c", "echo a\n\techo é", "")},
        {"mount": Mount("", "")},
        {"early_stopping": "none"},
        {"limits": Limits(1, 1, 1, 0, timedelta(microseconds=1), timedelta(days=3650))},
        {"settings": (Setting("a", ""), Setting("a", "2"), Setting("MaxParallel", "-1"))},
    ],
)
def test_what_is_unusual_and_right_is_accepted(changes: Mapping[str, object]) -> None:
    check_study(replace(SPEC, **changes))  # type: ignore[arg-type]


def test_limits_alone_are_checked_without_a_path() -> None:
    assert [v.field for v in check_limits(Limits(max_failed_trials=0))] == ["max_failed_trials"]
    assert check_limits(Limits()) == []


@pytest.mark.parametrize(
    ("limits", "settings", "trials", "parallel"),
    [
        (Limits(), (), None, 3),
        (Limits(), (Setting("SuggestionNum", "7"), Setting("MaxParallel", "2")), 7, 2),
        (Limits(max_trials=5, max_parallel=1), (Setting("SuggestionNum", "7"), Setting("MaxParallel", "2")), 5, 1),
        (Limits(), (Setting("SuggestionNum", "7"), Setting("SuggestionNum", "8")), 8, 3),
        (Limits(), (Setting("MaxParallel", "0"),), None, None),
    ],
)
def test_a_limit_by_its_own_name_wins_over_its_old_spelling(
    limits: Limits, settings: tuple[Setting, ...], trials: int | None, parallel: int | None
) -> None:
    effective = effective_limits(replace(SPEC, limits=limits, settings=settings))
    assert (effective.max_trials, effective.max_parallel) == (trials, parallel)


def test_a_service_is_told_the_limits_that_count_under_the_old_names() -> None:
    spec = replace(SPEC, limits=Limits(max_trials=5), settings=(Setting("SuggestionNum", "7"), Setting("Seed", "1")))
    told = with_effective_settings(spec, max_parallel=2)
    assert told == (Setting("Seed", "1"), Setting("SuggestionNum", "5"), Setting("MaxParallel", "2"))


@pytest.mark.parametrize(
    ("optimization", "a", "b", "better"),
    [
        (Objective.MINIMIZE, 1.0, 2.0, True),
        (Objective.MAXIMIZE, 1.0, 2.0, False),
        (Objective.MINIMIZE, 1.0, 1.0, False),
        (Objective.MAXIMIZE, math.nan, -math.inf, False),
        (Objective.MINIMIZE, math.inf, math.nan, True),
        (Objective.MINIMIZE, math.nan, math.nan, False),
    ],
)
def test_nan_is_worse_than_everything(optimization: Objective, a: float, b: float, better: bool) -> None:
    assert replace(SPEC, optimization=optimization).better(a, b) is better


@pytest.mark.parametrize(
    ("optimization", "goal", "value", "reached"),
    [
        (Objective.MAXIMIZE, 0.9, 0.9, True),
        (Objective.MAXIMIZE, 0.9, 0.89, False),
        (Objective.MINIMIZE, 0.1, 0.05, True),
        (Objective.MINIMIZE, 0.1, math.nan, False),
        (Objective.MINIMIZE, None, 0.0, False),
    ],
)
def test_a_goal_is_reached_by_it_or_by_better(
    optimization: Objective, goal: float | None, value: float, reached: bool
) -> None:
    assert replace(SPEC, optimization=optimization, goal=goal).reaches_goal(value) is reached


def test_no_rule_and_the_rule_none_are_the_same() -> None:
    assert [replace(SPEC, early_stopping=name).rule for name in ("", "none", "medianstopping")] == [
        "",
        "",
        "medianstopping",
    ]


def test_the_objective_is_collected_first_and_once() -> None:
    assert replace(SPEC, metrics=("a", "loss", "b")).metric_names == ("loss", "a", "b")
