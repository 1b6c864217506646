"""The median stopping rule, by cases worked out by hand and against its definition."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.study import Objective
from katib.domain.trial import TrialState
from katib.earlystopping.rules.medianstopping import MedianStopping
from katib.earlystopping.service import check, should_stop
from tests.earlystopping.contract import RuleContract
from tests.earlystopping.studies import observations, question, study

NAN = math.nan
INF = math.inf
Curve = Sequence[float]


class TestMedianStoppingKeepsTheContract(RuleContract):
    name = "medianstopping"
    eager = (("LeastStep", 1), ("MinTrialsRequired", 1))
    recorded = (("LeastStep", 5),)
    saves = 0.4
    regret = 0.05


def stopped(
    running: Sequence[Curve],
    completed: Sequence[Curve],
    *settings: tuple[str, object],
    objective: Objective = Objective.MAXIMIZE,
    early_stopped: Sequence[Curve] = (),
    others: Sequence[tuple[TrialState, str, Curve]] = (),
) -> list[int]:
    """The numbers, from 1, of the running trials that are stopped; from the first step and one trial on."""
    spec = study(("LeastStep", 1), ("MinTrialsRequired", 1), *settings, objective=objective)
    call = question(spec, running, completed, early_stopped, others)
    return [t.number for t in should_stop(MedianStopping(), call)]


class TestTheRule:
    def test_the_best_so_far_is_compared_with_the_median_of_averages(self) -> None:
        # Averages up to step 3: 2, 4, 6.
        completed = [[1, 2, 3], [3, 4, 5], [5, 6, 7]]

        assert stopped([[0, 3.9, 0], [0, 4, 0], [4.1, 0, 0]], completed) == [1]

    def test_an_even_number_has_the_middle_of_the_two_as_its_median(self) -> None:
        completed = [[1], [2], [3], [10]]

        assert stopped([[2.4], [2.5]], completed) == [1]

    def test_the_smaller_is_the_better_where_the_study_minimizes(self) -> None:
        completed = [[1], [2], [3]]

        assert stopped([[2.1], [2.0], [1.9]], completed, objective=Objective.MINIMIZE) == [1]

    def test_others_count_up_to_the_same_step_only(self) -> None:
        completed = [[0, 0, 100, 100]] * 3

        assert stopped([[-1, -1], [0, 0], [1, 1, 1]], completed) == [1, 3]

    def test_a_completed_trial_that_was_shorter_counts_with_what_it_has(self) -> None:
        assert stopped([[0, 0, 0, 0]], [[5, 5]]) == [1]

    def test_no_trial_is_stopped_before_the_least_step(self) -> None:
        completed = [[5] * 30] * 3

        assert stopped([[0] * 19, [0] * 20], completed, ("LeastStep", 20)) == [2]

    def test_the_margin_is_forgiven(self) -> None:
        completed = [[5]] * 3

        assert stopped([[4.5], [4.4]], completed, ("EvalMargin", 0.5)) == [2]
        assert stopped([[5.5], [5.6]], completed, ("EvalMargin", 0.5), objective=Objective.MINIMIZE) == [2]

    def test_the_burn_in_is_left_out_of_averages_and_of_what_they_are_divided_by(self) -> None:
        completed = [[-1000, -1000, 4, 6]] * 3

        assert stopped([[0, 0, 0, 4.9], [0, 0, 0, 5]], completed, ("BurnInPeriod", 2)) == [1]
        assert stopped([[-1e9, -1e9]], completed, ("BurnInPeriod", 2)) == []

    def test_a_trial_that_a_rule_stopped_counts_as_far_as_it_got(self) -> None:
        completed = [[10, 10, 10]]
        early = [[0, 0], [0, 0]]

        assert stopped([[5, 5]], completed, early_stopped=early) == []
        assert stopped([[5, 5, 5]], completed, early_stopped=early) == [1]

    def test_what_failed_or_was_killed_by_a_user_says_nothing(self) -> None:
        others = [(TrialState.ERROR, "ExitCode", [100] * 3), (TrialState.KILLED, "StoppedByUser", [100] * 3)]

        assert stopped([[5, 5, 5]], [[1, 1, 1]], others=others) == []

    def test_too_few_finished_trials_stop_none(self) -> None:
        assert stopped([[0]], [[5], [5]], ("MinTrialsRequired", 3)) == []
        assert stopped([[0]], [[5], [5], [5]], ("MinTrialsRequired", 3)) == [1]
        assert stopped([[0]], [[5], [5]], ("MinTrialsRequired", 3), early_stopped=[[5]]) == [1]

    def test_finished_trials_without_values_are_not_among_the_required(self) -> None:
        assert stopped([[0]], [[5], [5], [], []], ("MinTrialsRequired", 3)) == []

    def test_the_defaults_are_those_that_the_documentation_names(self) -> None:
        defaults = {row.name: row.default for row in MedianStopping.options.rows}

        assert defaults == {
            "LeastStep": 20,
            "EvalMargin": 0.0,
            "EvalMetrics": (),
            "BurnInPeriod": 0,
            "MinTrialsRequired": 3,
            "CheckInterval": None,
        }


class TestOddValues:
    @pytest.mark.parametrize("objective", Objective)
    @pytest.mark.parametrize("value", [0.1, 0.7, 1e308, 1.7976931348623157e308, 5e-324])
    def test_trials_that_all_report_the_same_are_not_behind_by_rounding(
        self, value: float, objective: Objective
    ) -> None:
        assert stopped([[value] * 21], [[value] * 30] * 4, objective=objective) == []

    def test_a_nan_among_numbers_is_passed_over(self) -> None:
        assert stopped([[NAN, 4, NAN], [NAN, 6, NAN]], [[5, NAN, 5]] * 3) == [1]

    def test_a_trial_that_reports_nothing_but_nan_is_stopped(self) -> None:
        assert stopped([[NAN, NAN]], [[-1e300, -1e300]] * 3) == [1]

    def test_a_finished_trial_of_nothing_but_nan_is_the_worst_of_all(self) -> None:
        assert stopped([[0], [2]], [[NAN], [1], [3]]) == [1]
        assert stopped([[-1e300]], [[NAN], [NAN], [3]]) == []

    def test_infinite_averages_are_ordered_like_others(self) -> None:
        assert stopped([[0], [2]], [[INF], [1], [-INF]]) == [1]
        assert stopped([[0]], [[INF, -INF], [INF, -INF], [1, 1]]) == [1]
        assert stopped([[0]], [[INF], [-INF]]) == []

    def test_a_step_at_which_the_metric_is_missing_does_not_count(self) -> None:
        call = question(study(("LeastStep", 3), ("MinTrialsRequired", 1)), [[]], [[5, 5, 5]])
        running = call.running[0].id

        def with_gaps(values: Curve) -> list[int]:
            curve = [o for v in values for o in (*observations("loss", [1]), *observations("score", [v]))]
            return [
                t.number for t in should_stop(MedianStopping(), replace(call, curves={**call.curves, running: curve}))
            ]

        assert with_gaps([0, 0]) == []
        assert with_gaps([0, 0, 0]) == [1]


class TestMetrics:
    def behind_in(self, metrics: str, score: float, loss: float) -> bool:
        spec = study(("LeastStep", 1), ("MinTrialsRequired", 1), ("EvalMetrics", metrics))
        call = question(spec, [[score]], [[5]] * 3)
        curves = {i: [*curve, *observations("loss", [5])] for i, curve in call.curves.items()}
        curves[call.running[0].id] = [*observations("score", [score]), *observations("loss", [loss])]
        return bool(should_stop(MedianStopping(), replace(call, curves=curves)))

    @pytest.mark.parametrize(
        ("metrics", "score", "loss", "behind"),
        [
            ("score", 6, 0, False),
            ("loss", 0, 6, False),
            ("loss", 6, 4, True),
            ("score,loss", 6, 6, False),
            ("score, loss", 6, 4, True),
            ("loss score", 4, 6, True),
        ],
    )
    def test_a_trial_behind_in_any_of_them_is_stopped(
        self, metrics: str, score: float, loss: float, behind: bool
    ) -> None:
        assert self.behind_in(metrics, score, loss) is behind

    def test_one_that_the_study_does_not_collect_is_refused(self) -> None:
        spec = study(("EvalMetrics", "x"), ("LeastStep", 2), ("EvalMetrics", "loss,accuracy,f1"))

        with pytest.raises(InvalidArgumentError) as caught:
            check(MedianStopping(), spec)

        (violation,) = caught.value.violations
        assert violation.field == "study_config.early_stopping_parameters[2].value"
        assert violation.value == "accuracy, f1"
        assert violation.expected == "expected metrics of the study for EvalMetrics: score, loss"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("LeastStep", "0", "a whole number from 1 on"),
        ("LeastStep", "2.5", "a whole number from 1 on"),
        ("EvalMargin", "-0.1", "a number from 0 on"),
        ("EvalMargin", "nan", "a number from 0 on"),
        ("EvalMargin", "inf", "a number from 0 on"),
        ("BurnInPeriod", "-1", "a whole number from 0 on"),
        ("MinTrialsRequired", "0", "a whole number from 1 on"),
        ("EvalMetrics", ",", "names separated by commas"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check(MedianStopping(), study((name, text)))

    (violation,) = caught.value.violations
    assert violation.expected == f"expected {expected} for {name}"


CURVES = st.lists(
    st.lists(st.one_of(st.integers(-5, 5).map(float), st.sampled_from([NAN, INF, -INF])), max_size=8), max_size=6
)


@pytest.mark.long
@given(CURVES, CURVES, CURVES, st.integers(1, 4), st.integers(0, 3), st.integers(1, 4), st.sampled_from(Objective))
def test_it_is_the_rule_of_its_definition(
    running: list[list[float]],
    completed: list[list[float]],
    early: list[list[float]],
    least: int,
    burn_in: int,
    required: int,
    objective: Objective,
) -> None:
    sign = -1.0 if objective is Objective.MAXIMIZE else 1.0

    def until_nan(losses: list[float]) -> int:
        """Where it begins to be NaN for good."""
        return max((i for i, loss in enumerate(losses, 1) if not math.isnan(loss)), default=0)

    def average(losses: list[float], step: int) -> float:
        if min(step, len(losses)) > until_nan(losses):
            return INF
        numbers = [v for v in losses[burn_in:step] if not math.isnan(v)]
        opposite = INF in numbers and -INF in numbers
        return fmean(numbers) if numbers and not opposite else INF

    expected = []
    for number, curve in enumerate(running, 1):
        step = len(curve)
        others = [[sign * v for v in c] for c in completed if len(c) > burn_in]
        others += [[sign * v for v in c] for c in early if len(c) >= step and len(c) > burn_in]
        averages = [average(c, step) for c in others if step > burn_in]
        # A single NaN may be a gap.
        lost = len(curve) - until_nan(curve) > 1
        best = INF if lost else min((sign * v for v in curve if not math.isnan(v)), default=INF)
        if step >= least and len(averages) >= required and best > median(averages) + 1e-9:
            expected.append(number)

    settings = [("LeastStep", least), ("BurnInPeriod", burn_in), ("MinTrialsRequired", required), ("EvalMargin", 1e-9)]
    assert stopped(running, completed, *settings, objective=objective, early_stopped=early) == expected
