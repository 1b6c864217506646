"""The predictive rule, by cases worked out by hand and against its definition."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MetricStrategy
from katib.domain.study import Objective
from katib.earlystopping.rules.predictive import Predictive
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract
from tests.earlystopping.studies import question, study

NAN, INF = math.nan, math.inf
Curve = Sequence[float]


@pytest.mark.long
class TestPredictiveKeepsTheContract(RuleContract):
    name = "predictive"
    far_behind = (("MinTrialsRequired", 5),)
    eager = (("MinTrialsRequired", 1), ("Margin", 1))
    gone = 10
    saves = 0.5
    regret = 0.005


def stopped(
    running: Sequence[Curve],
    completed: Sequence[Curve],
    *settings: tuple[str, object],
    objective: Objective = Objective.MINIMIZE,
    early: Sequence[Curve] = (),
    strategy: MetricStrategy = MetricStrategy.LATEST,
) -> list[int]:
    spec = study(("MinTrialsRequired", 1), ("Margin", 1), *settings, objective=objective, objective_strategy=strategy)
    return [t.number for t in should_stop(Predictive(), question(spec, running, completed, early))]


def test_what_needs_more_than_anybody_improved_by_is_stopped() -> None:
    # From the first value on they improved by 3 and by 2, and the best came to 1.
    completed = [[4, 1], [4, 2]]

    assert stopped([[4]], completed) == []
    assert stopped([[4.1]], completed) == [1]
    assert stopped([[4.9]], completed, ("Margin", 1.3)) == []


def test_the_greater_is_the_better_where_the_study_maximizes() -> None:
    assert stopped([[-4], [-4.1]], [[-4, -1], [-4, -2]], objective=Objective.MAXIMIZE) == [2]


def test_what_others_improved_by_counts_from_the_same_step_on() -> None:
    assert stopped([[3, 3]], [[9, 2, 1]]) == [1]
    assert stopped([[3]], [[9, 2, 1]]) == []


def test_those_that_became_worse_hold_up_nobody_who_is_ahead() -> None:
    assert stopped([[1], [3]], [[1, 2], [1, 2]]) == [2]


def test_a_share_of_the_others_may_have_improved_by_enough() -> None:
    completed = [[5, 0]] + [[1, 0]] * 19

    assert stopped([[4]], completed, ("Chance", 0)) == []
    assert stopped([[4]], completed, ("Chance", 0.05)) == [1]
    assert stopped([[4]], completed[:-1], ("Chance", 0.05)) == []


def test_too_few_that_went_on_stop_none() -> None:
    assert stopped([[9]], [[1, 1]] * 2, ("MinTrialsRequired", 3)) == []
    assert stopped([[9]], [[1, 1]] * 3, ("MinTrialsRequired", 3)) == [1]
    assert stopped([[9]], [[1], [1, 1], [1, 1]], ("MinTrialsRequired", 3)) == []


def test_no_trial_is_stopped_before_the_least_step_nor_at_the_end() -> None:
    assert stopped([[9], [9] * 2, [9] * 3], [[1] * 3], ("LeastStep", 2)) == [2]


def test_trials_that_were_stopped_tell_nothing() -> None:
    assert stopped([[4]], [[4, 1]], early=[[0, 0, 0]]) == []


def test_the_best_value_counts_where_the_study_says_so() -> None:
    assert stopped([[2, 9]], [[5, 2, 1]]) == [1]
    assert stopped([[2, 9]], [[5, 2, 1]], strategy=MetricStrategy.MIN) == []


def test_nothing_but_nan_is_stopped_unless_others_began_so() -> None:
    assert stopped([[NAN]], [[4, 1]]) == [1]
    assert stopped([[NAN]], [[NAN, 1]]) == []


def test_a_trial_that_ended_with_nan_is_not_the_best_that_others_have_to_reach() -> None:
    assert stopped([[3]], [[0.01, NAN], [4, 1]]) == []
    assert stopped([[5]], [[0.01, NAN], [4, 1]]) == [1]


def test_what_has_become_nan_is_stopped() -> None:
    assert stopped([[3, NAN]], [[4, 4, 1]]) == []
    assert stopped([[3, NAN, NAN]], [[4, 4, 4, 1]]) == [1]


def test_the_message_says_what_was_needed_and_what_there_was() -> None:
    spec = study(("MinTrialsRequired", 1), objective=Objective.MAXIMIZE)

    (trial,) = should_stop(Predictive(), question(spec, [[0.25, 0.25]], [[0.5, 0.5, 0.75]] * 3))

    assert trial.message == (
        "at step 2 it had 0.25, 0.5 behind the best, and each of 3 completed trials improved by 0.25 or less from there on"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Chance", "0.6", "a number from 0 to 0.5"),
        ("Margin", "0", "a number from 0.5 to 10"),
        ("MinTrialsRequired", "0", "a whole number from 1 on"),
        ("LeastStep", "0", "a whole number from 1 on"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(Predictive(), study((name, text)))

    assert [v.expected for v in caught.value.violations] == [f"expected {expected} for {name}"]


FINITE = st.lists(st.lists(st.integers(-5, 5).map(float), max_size=8), max_size=6)


@pytest.mark.long
@given(
    FINITE, FINITE, FINITE, st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.5, 1.0, 2.0]), st.floats(0, 0.5)
)
def test_it_is_the_rule_of_its_definition(
    running: list[list[float]],
    completed: list[list[float]],
    early: list[list[float]],
    least: int,
    required: int,
    margin: float,
    chance: float,
) -> None:
    expected = []
    for number, curve in enumerate(running, 1):
        step = len(curve)
        others = [c for c in completed if len(c) > step]
        if step < least or len(others) < required:
            continue
        needed = curve[-1] - min(c[-1] for c in completed if c)
        by_enough = [c for c in others if needed <= margin * max(c[step - 1] - c[-1], 0)]
        if len(by_enough) <= chance * len(others):
            expected.append(number)
    settings = [("LeastStep", least), ("MinTrialsRequired", required), ("Margin", margin), ("Chance", repr(chance))]

    assert stopped(running, completed, *settings, early=early) == expected
