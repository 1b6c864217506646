"""The percentile rule, by cases worked out by hand and against its definition."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.study import Objective
from katib.earlystopping.rules.percentile import Percentile
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract
from tests.earlystopping.studies import question, study

NAN, INF = math.nan, math.inf
Curve = Sequence[float]


class TestPercentileKeepsTheContract(RuleContract):
    name = "percentile"
    eager = (("LeastStep", 1), ("MinTrialsRequired", 1))
    saves = 0.6
    regret = 0.05


def stopped(
    running: Sequence[Curve],
    completed: Sequence[Curve],
    *settings: tuple[str, object],
    objective: Objective = Objective.MAXIMIZE,
    early: Sequence[Curve] = (),
) -> list[int]:
    spec = study(("LeastStep", 1), ("MinTrialsRequired", 1), ("Percentile", 25), *settings, objective=objective)
    return [t.number for t in should_stop(Percentile(), question(spec, running, completed, early))]


def test_the_best_share_goes_on() -> None:
    completed = [[float(v)] for v in range(1, 8)]

    assert stopped([[5.9]], completed, ("Percentile", 25)) == [1]
    assert stopped([[6.3]], completed, ("Percentile", 25)) == []
    assert stopped([[3.9]], completed, ("Percentile", 50)) == [1]
    assert stopped([[4.0]], completed, ("Percentile", 50)) == []


def test_the_smaller_is_the_better_where_the_study_minimizes() -> None:
    completed = [[float(v)] for v in range(1, 8)]

    assert stopped([[2.9]], completed, objective=Objective.MINIMIZE) == [1]
    assert stopped([[1.5]], completed, objective=Objective.MINIMIZE) == []


def test_best_values_are_compared_so_a_step_back_costs_nothing() -> None:
    assert stopped([[9, 0, 0]], [[5, 5, 5]] * 5) == []
    assert stopped([[4, 0, 0]], [[5, 0, 0]] * 5) == [1]


def test_others_count_up_to_the_same_step_only() -> None:
    assert stopped([[1, 1]], [[0, 0, 9, 9]] * 5) == []


def test_those_that_run_and_those_that_were_stopped_count_as_far_as_they_got() -> None:
    assert stopped([[1, 1], [5, 5], [6, 6]], [[4, 4]]) == [1, 2]
    assert stopped([[5, 5]], [[9, 9]], early=[[1, 1], [2, 2], [3, 3], [4, 4]]) == []
    assert stopped([[5, 5]], [[9, 9]], early=[[1], [2], [3], [4]]) == [1]


def test_too_few_others_stop_none() -> None:
    assert stopped([[0]], [[5], [5]], ("MinTrialsRequired", 3)) == []
    assert stopped([[0]], [[5], [5], [5]], ("MinTrialsRequired", 3)) == [1]
    assert stopped([[0], [1]], [[5], [5]], ("MinTrialsRequired", 3)) == [1, 2]


def test_no_trial_is_stopped_before_the_least_step() -> None:
    assert stopped([[0] * 4, [0] * 5], [[5] * 9] * 5, ("LeastStep", 5)) == [2]


def test_a_trial_that_reports_nothing_but_nan_is_stopped() -> None:
    assert stopped([[NAN, NAN]], [[1, 1]] * 3) == [1]


def test_the_message_names_both_values() -> None:
    spec = study(("LeastStep", 1), ("MinTrialsRequired", 1), ("Percentile", 25))

    (trial,) = should_stop(Percentile(), question(spec, [[0.25, 0.1]], [[0.5, 0.75]] * 3))

    assert trial.message == "by step 2 its best is 0.25, and the best 25 % of 4 trials have 0.75 or better"


@pytest.mark.parametrize(("curve", "shown"), [([NAN, NAN], "nan"), ([-INF, NAN], "-inf"), ([3, NAN, NAN], "nan")])
def test_the_message_says_nan_only_where_there_was_nothing_else_at_last(curve: Curve, shown: str) -> None:
    spec = study(("LeastStep", 1), ("MinTrialsRequired", 1), ("Percentile", 25))

    (trial,) = should_stop(Percentile(), question(spec, [curve], [[0.5, 0.75]] * 3))

    assert f"its best is {shown}, and" in trial.message


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Percentile", "0", "a number more than 0 and at most 99"),
        ("Percentile", "100", "a number more than 0 and at most 99"),
        ("LeastStep", "0", "a whole number from 1 on"),
        ("MinTrialsRequired", "0", "a whole number from 1 on"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(Percentile(), study((name, text)))

    assert [v.expected for v in caught.value.violations] == [f"expected {expected} for {name}"]


FINITE = st.lists(st.lists(st.integers(-5, 5).map(float), max_size=8), max_size=6)


@pytest.mark.long
@given(FINITE, FINITE, FINITE, st.integers(1, 5), st.integers(1, 4), st.floats(1, 99))
def test_it_is_the_rule_of_its_definition(
    running: list[list[float]],
    completed: list[list[float]],
    early: list[list[float]],
    least: int,
    required: int,
    percentile: float,
) -> None:
    expected = []
    for number, curve in enumerate(running, 1):
        step = len(curve)
        there = [max(c[:step]) for c in [*completed, *early, *running] if len(c) >= step > 0]
        there += [max(c) for c in completed if 0 < len(c) < step]
        if step < least or len(there) - 1 < required:
            continue
        # Values are whole and distances between neighbours at least this, so rounding decides nothing.
        if max(curve) < np.percentile(there, 100 - percentile) - 1e-9:
            expected.append(number)
    settings = [("LeastStep", least), ("MinTrialsRequired", required), ("Percentile", percentile)]
    found = stopped(running, completed, *settings, early=early)

    assert [n for n in found if n not in expected] == []
    assert [n for n in expected if n not in found] == []
