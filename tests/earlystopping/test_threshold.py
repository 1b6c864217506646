"""The threshold rule."""

import math
from dataclasses import replace

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.study import Objective, StudySpec
from katib.earlystopping.rules.threshold import Threshold
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract, Settings
from tests.earlystopping.studies import observations, question, study

NAN, INF = math.nan, math.inf


class TestThresholdKeepsTheContract(RuleContract):
    name = "threshold"
    compares = False
    far_behind = (("Lower", -40),)
    eager = (("Lower", -2), ("LeastStep", 2), ("InARow", 2))
    # NaN is out of any bounds; what is within them is for other rules.
    recorded = (("Lower", -1e9),)
    saves = 0.0
    regret = 0.0

    def for_objective(self, given: Settings, objective: Objective) -> Settings:
        if objective is Objective.MAXIMIZE:
            return given
        bounds = {"Lower": "Upper", "Upper": "Lower"}
        return [(bounds[n], -float(str(v))) if n in bounds else (n, v) for n, v in given]


def stopped(curve: list[float], *settings: tuple[str, object]) -> bool:
    return bool(should_stop(Threshold(), question(study(*settings), [curve], ())))


def test_a_value_out_of_bounds_stops_the_trial() -> None:
    assert not stopped([0, 1], ("Lower", 0), ("Upper", 1))
    assert stopped([0, 1.1], ("Lower", 0), ("Upper", 1))
    assert stopped([-0.1], ("Lower", 0))
    assert stopped([INF], ("Upper", 1e308))
    assert not stopped([INF], ("Lower", 0))
    assert stopped([-INF], ("Lower", -1e308))


def test_nan_is_out_of_bounds() -> None:
    assert stopped([0.5, NAN], ("Upper", 1))
    assert stopped([NAN], ("Lower", 0))


def test_the_answer_does_not_depend_on_when_it_is_asked() -> None:
    assert stopped([0.5, 2, 0.5, 0.5], ("Upper", 1))


def test_the_first_values_may_be_anything() -> None:
    assert not stopped([9, 9, 0], ("Upper", 1), ("LeastStep", 3))
    assert stopped([9, 9, 9], ("Upper", 1), ("LeastStep", 3))


def test_so_many_in_a_row_must_be_out_of_bounds() -> None:
    assert not stopped([9, 9, 0, 9, 9, 0], ("Upper", 1), ("InARow", 3))
    assert stopped([0, 9, NAN, 9, 0], ("Upper", 1), ("InARow", 3))
    assert not stopped([9, 9, 9, 0], ("Upper", 1), ("InARow", 3), ("LeastStep", 2))


def test_another_metric_may_have_the_bounds() -> None:
    call = question(study(("Upper", 1), ("Metric", "loss")), [[9.0], [9.0]], ())
    first, second = call.running
    curves = {
        first.id: [*observations("score", [9]), *observations("loss", [0])],
        second.id: [*observations("score", [0]), *observations("loss", [9])],
    }

    assert [t.number for t in should_stop(Threshold(), replace(call, curves=curves))] == [2]
    assert list(Threshold().metrics(check(Threshold(), call.spec))) == ["loss"]


def test_the_message_names_the_value_and_its_place() -> None:
    (trial,) = should_stop(Threshold(), question(study(("Upper", 1)), [[0, 3.25, 0]], ()))

    assert trial.message == "score was 3.25 at step 2, out of bounds"


@pytest.mark.parametrize(
    ("settings", "field", "expected"),
    [
        ((), "", "expected Lower, Upper or both for threshold"),
        ((("LeastStep", 1),), "", "expected Lower, Upper or both for threshold"),
        ((("Upper", 1), ("Lower", 2)), "[0].value", "expected a number from 2, the value of Lower, on for Upper"),
        ((("Upper", 1), ("Metric", "x")), "[1].value", "expected a metric of the study for Metric: score, loss"),
        ((("Upper", "inf"),), "[0].value", "expected a number for Upper"),
        ((("Upper", 1), ("InARow", 0)), "[1].value", "expected a whole number from 1 on for InARow"),
    ],
)
def test_bad_settings_are_refused_with_what_is_allowed(settings: Settings, field: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(Threshold(), study(*settings))

    (violation,) = caught.value.violations
    assert violation.field == f"study_config.early_stopping_parameters{field}"
    assert violation.expected == expected


def test_the_settings_of_an_old_manager_may_name_any_metric() -> None:
    spec = study(("Upper", 1), ("Metric", "x"))
    check(Threshold(), replace(StudySpec("", "", None, ()), early_stopping_settings=spec.early_stopping_settings))
