"""The patience rule."""

import math
from collections.abc import Sequence

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MetricStrategy
from katib.domain.study import Objective
from katib.earlystopping.rules.patience import Patience
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract
from tests.earlystopping.studies import question, study

NAN, INF = math.nan, math.inf
Curve = Sequence[float]


@pytest.mark.long
class TestPatienceKeepsTheContract(RuleContract):
    name = "patience"
    eager = (("Patience", 2),)
    recorded = (("Patience", 5),)
    saves = 0.25
    regret = 0.02


def stopped(
    running: Sequence[Curve],
    completed: Sequence[Curve],
    *settings: tuple[str, object],
    objective: Objective = Objective.MAXIMIZE,
    strategy: MetricStrategy = MetricStrategy.LATEST,
    early: Sequence[Curve] = (),
) -> list[int]:
    spec = study(("Patience", 3), *settings, objective=objective, objective_strategy=strategy)
    return [t.number for t in should_stop(Patience(), question(spec, running, completed, early))]


def test_so_many_values_without_an_improvement_stop_a_trial() -> None:
    assert stopped([[1, 2, 2, 2], [1, 2, 2, 2, 2], [1, 2, 2, 2, 3]], [[9]]) == [2]
    assert stopped([[3, 1, 2, 2.9]], [[9]]) == [1]


def test_the_smaller_is_the_better_where_the_study_minimizes() -> None:
    assert stopped([[5, 5, 5, 5], [5, 5, 5, 4]], [[1]], objective=Objective.MINIMIZE) == [1]


def test_the_best_trial_is_let_run_to_its_end() -> None:
    assert stopped([[5, 5, 5, 5], [4, 4, 4, 4]], []) == []
    assert stopped([[5, 5, 5, 5], [4, 4, 4, 4]], [[4.5]]) == [2]
    assert stopped([[5, 5, 5, 5]], [[5]]) == []


def test_what_a_completed_trial_came_to_is_its_objective() -> None:
    assert stopped([[5, 5, 5, 5]], [[9, 1]]) == []
    assert stopped([[5, 5, 5, 5]], [[9, 1]], strategy=MetricStrategy.MAX) == [1]


def test_a_trial_that_was_stopped_is_nobody_s_better() -> None:
    assert stopped([[5, 5, 5, 5]], [], early=[[9]]) == []


def test_an_improvement_of_no_more_than_the_least_is_none() -> None:
    slowly = [1, 1.5, 2, 2.5]

    assert stopped([slowly], [[9]], ("MinDelta", 0.5)) == []
    assert stopped([[1, 1.25, 1.5, 1.25]], [[9]], ("MinDelta", 0.5)) == [1]
    assert stopped([slowly], [[9]], ("MinDelta", 0.25)) == []


def test_no_trial_is_stopped_before_the_least_step() -> None:
    assert stopped([[1] * 9, [1] * 10], [[9]], ("LeastStep", 10)) == [2]


def test_nan_is_no_improvement() -> None:
    assert stopped([[NAN, NAN, NAN]], [[9]]) == [1]
    assert stopped([[NAN, NAN]], [[9]]) == []
    assert stopped([[1, NAN, NAN, NAN]], [[9]]) == [1]
    assert stopped([[NAN, NAN, 1]], [[9]]) == []
    assert stopped([[1, 1, 1, 1]], [[NAN]]) == []


def test_any_number_is_better_than_infinity() -> None:
    assert stopped([[-INF, -INF, -1e300]], [[9]]) == []


def test_the_message_names_the_last_improvement() -> None:
    (trial,) = should_stop(Patience(), question(study(("Patience", 2)), [[1, 2, 2, 2]], [[9]]))

    assert trial.message == "it has not become better since value 2 of 4, and another trial came to 9"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Patience", "0", "a whole number from 1 on"),
        ("MinDelta", "-1", "a number from 0 on"),
        ("LeastStep", "0", "a whole number from 1 on"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(Patience(), study((name, text)))

    assert [v.expected for v in caught.value.violations] == [f"expected {expected} for {name}"]
