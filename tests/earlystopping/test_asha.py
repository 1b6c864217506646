"""Asynchronous successive halving as a rule, by cases worked out by hand."""

import math
from collections.abc import Sequence

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MetricStrategy
from katib.domain.study import Objective
from katib.earlystopping.rules.asha import Asha
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract
from tests.earlystopping.studies import question, study

NAN = math.nan
Curve = Sequence[float]


class TestAshaKeepsTheContract(RuleContract):
    name = "asha"
    eager = (("Eta", 2), ("MinResource", 1))
    saves = 0.7
    regret = 0.06


def stopped(
    running: Sequence[Curve],
    completed: Sequence[Curve] = (),
    *settings: tuple[str, object],
    objective: Objective = Objective.MAXIMIZE,
    early: Sequence[Curve] = (),
    strategy: MetricStrategy = MetricStrategy.LATEST,
) -> list[int]:
    spec = study(("MinResource", 1), *settings, objective=objective, objective_strategy=strategy)
    return [t.number for t in should_stop(Asha(), question(spec, running, completed, early))]


def test_of_a_rung_s_trials_the_best_third_goes_on() -> None:
    assert stopped([[1], [2], [3]]) == [1, 2]
    assert stopped([[1], [2], [3], [4], [5]]) == [1, 2, 3, 4]
    assert stopped([[1], [2], [3], [4], [5], [6]]) == [1, 2, 3, 4]


def test_with_fewer_than_eta_trials_on_a_rung_nobody_is_stopped() -> None:
    assert stopped([[1], [2]]) == []
    assert stopped([[1], [2], [3]], (), ("Eta", 3.5)) == []
    assert stopped([[1], [2], [3]], (), ("MinTrialsRequired", 4)) == []
    assert stopped([[1], [2]], (), ("MinTrialsRequired", 2)) == [1]


def test_rungs_are_at_powers_of_eta_times_the_least_resource() -> None:
    others = [[5.0] * 40] * 3

    def behind(steps: int, low: int) -> bool:
        return stopped([[1.0] * low + [9.0] * (steps - low)], others, ("MinResource", 2)) == [1]

    assert [behind(1, 1), behind(2, 2), behind(2, 1)] == [False, True, False]
    # Until value 17 the trial is judged by what it had at the rung before.
    assert [behind(5, 2), behind(5, 1), behind(6, 5), behind(6, 6)] == [True, False, False, True]
    assert [behind(17, 6), behind(17, 5), behind(18, 17), behind(18, 18)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("eta", "rungs"), [(1.5, [1, 2, 3, 4, 6, 8, 12]), (2, [1, 2, 4, 8]), (3, [1, 3, 9]), (4, [1, 4])]
)
def test_a_rung_between_two_steps_is_the_later_one(eta: float, rungs: list[int]) -> None:
    # Behind at one step only, and as good as the others afterwards.
    found = [
        step
        for step in range(1, 13)
        if stopped([[1.0] * step], [[1.0] * (step - 1) + [2.0] * 20] * 9, ("Eta", eta)) == [1]
    ]

    assert found == rungs


def test_a_trial_s_value_at_a_rung_is_what_its_objective_would_be_had_it_ended_there() -> None:
    curves = [[1, 9, 1], [2, 8, 2], [3, 7, 3]]

    assert stopped(curves) == [1, 2]
    assert stopped(curves, strategy=MetricStrategy.MAX) == [2, 3]


def test_a_nan_at_the_rung_is_passed_over() -> None:
    assert stopped([[9, 9, NAN], [1, 1, 1], [NAN, 2, NAN]]) == [2, 3]


def test_a_trial_that_has_come_to_nothing_but_nan_has_that_and_not_its_last_number() -> None:
    assert stopped([[9, 9, NAN, NAN], [1, 1, 1], [2, 2, 2], [0, 0, 0]]) == [1, 2, 4]
    assert stopped([[9, NAN, NAN], [1, 1, 1], [2, 2, 2], [0, 0, 0]]) == [1, 2, 4]
    # Where the best value counts it has had that.
    assert stopped([[9, NAN, NAN], [1, 1, 1], [2, 2, 2]], strategy=MetricStrategy.MAX) == [2, 3]


def test_what_a_completed_trial_ended_with_counts() -> None:
    assert stopped([[1, 1, 1], [2, 2, 2]], [[9, 9, NAN]]) == [1]


def test_what_comes_after_the_rung_does_not_count() -> None:
    assert stopped([[1, 9], [2, 0], [3, 0]]) == [1, 2]


def test_who_came_first_is_judged_again_when_others_have_come() -> None:
    assert stopped([[5, 5]]) == []
    assert stopped([[5, 5], [6], [7]]) == [1, 2]


def test_stopped_and_completed_trials_stay_on_the_rungs_that_they_reached() -> None:
    assert stopped([[5]], [[6, 6, 6]], early=[[4]]) == [1]
    assert stopped([[5, 5, 5]], [[6, 6, 6]], early=[[4]]) == []
    # One that was shorter has ended well: it counts with what it has.
    assert stopped([[5, 5, 5]], [[6, 6], [6]]) == [1]


def test_equal_trials_go_on_together() -> None:
    assert stopped([[5], [5], [5], [4]]) == [4]


def test_the_smaller_is_the_better_where_the_study_minimizes() -> None:
    assert stopped([[1], [2], [3]], objective=Objective.MINIMIZE) == [2, 3]


def test_nan_is_worse_than_every_number() -> None:
    assert stopped([[NAN], [-1e300], [NAN]]) == [1, 3]
    assert stopped([[NAN], [NAN], [NAN]]) == []


def test_the_message_names_both_values() -> None:
    first, _ = should_stop(Asha(), question(study(("MinResource", 1)), [[1], [2], [3]], ()))

    assert first.message == "at step 1 it had 1, and of 3 trials the best 1 have 3 or better"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Eta", "1.4", "a number from 1.5 to 1000"),
        ("Eta", "nan", "a number from 1.5 to 1000"),
        ("MinResource", "0", "a whole number from 1 on"),
        ("MinTrialsRequired", "1", "a whole number from 2 on"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(Asha(), study((name, text)))

    assert [v.expected for v in caught.value.violations] == [f"expected {expected} for {name}"]
