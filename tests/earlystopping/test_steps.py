"""At which step a value stands, and what rules make of steps that trials name."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from katib.domain.study import Objective
from katib.earlystopping.curve import Curve
from katib.earlystopping.service import should_stop
from tests.earlystopping.contract import rule_named
from tests.earlystopping.studies import Value, question, study

# One that reports every second epoch: 1 at step 4, 9 at step 8, and four values in all.
SPARSE: Sequence[Value] = [(0.0, 2), (1.0, 4), (5.0, 6), (9.0, 8)]


def stopped(
    rule: str, running: Sequence[Sequence[Value]], completed: Sequence[Sequence[Value]], *settings: tuple[str, object]
) -> list[int]:
    call = question(study(*settings, objective=Objective.MAXIMIZE), running, completed)
    return [t.number for t in should_stop(rule_named(rule), call)]


def curve(*values: Value) -> Curve:
    made = Curve()
    for value in values:
        made.add(*value) if isinstance(value, tuple) else made.add(value)
    return made


def steps(of: Curve) -> list[int]:
    return [of.step(i) for i in range(len(of))]


def test_a_trial_that_names_no_steps_is_at_one_two_three() -> None:
    assert steps(curve(5, 5, 5)) == [1, 2, 3]
    assert curve(5, 5, 5).last_step == 3
    assert curve().last_step == 0


def test_a_value_without_a_step_stands_one_after_the_value_before() -> None:
    assert steps(curve((5, 0), 5, (5, 10), 5)) == [0, 1, 10, 11]
    assert steps(curve(5, (5, 10), 5)) == [1, 10, 11]


def test_steps_never_go_back() -> None:
    assert steps(curve((5, 7), (5, 3), 5)) == [7, 7, 8]


def test_there_is_no_step_behind_the_greatest() -> None:
    greatest = 2**63 - 1
    assert steps(curve(5, (5, greatest), 5, 5)) == [1, greatest, greatest, greatest]


@given(st.lists(st.one_of(st.none(), st.integers(-3, 12)), max_size=12), st.integers(-5, 15))
def test_the_place_of_a_step_is_that_of_the_last_value_until_then(named: list[int | None], step: int) -> None:
    made = curve(*((float(i), at) for i, at in enumerate(named)))
    until_then = [i for i in range(len(made)) if made.step(i) <= step]

    assert made.index(step) == (until_then[-1] if until_then else None)
    assert steps(made) == sorted(steps(made))
    assert list(made.values) == [float(i) for i in range(len(named))]


def test_asha_compares_at_the_steps_that_trials_name() -> None:
    settings = (("MinResource", 4), ("Eta", 3))
    dense: Sequence[Value] = [2.0] * 4

    assert stopped("asha", [SPARSE[:1]], [dense] * 2, *settings) == []
    assert stopped("asha", [SPARSE[:2]], [dense] * 2, *settings) == [1]
    # Four values, but only at step 4 and no further rung before 12.
    assert stopped("asha", [SPARSE], [[0.5] * 8] * 2, *settings) == []


def test_asha_judges_nobody_at_a_rung_before_the_first_value() -> None:
    assert stopped("asha", [[(1.0, 7)]], [[2.0] * 9] * 2, ("MinResource", 4)) == []


def test_percentile_compares_at_the_steps_that_trials_name() -> None:
    settings = (("LeastStep", 4), ("MinTrialsRequired", 1))

    assert stopped("percentile", [SPARSE[:1]], [[2.0] * 8], *settings) == []
    assert stopped("percentile", [SPARSE[:2]], [[0.5, 0.5, 0.5, 0.5, 2.0]], *settings) == []
    assert stopped("percentile", [SPARSE[:2]], [[0.5, 0.5, 0.5, 2.0, 2.0]], *settings) == [1]


def test_the_median_rule_compares_at_the_steps_that_trials_name() -> None:
    settings = (("LeastStep", 4), ("MinTrialsRequired", 1))

    assert stopped("medianstopping", [SPARSE[:1]], [[2.0] * 8], *settings) == []
    # Averages up to step 4.
    assert stopped("medianstopping", [SPARSE[:2]], [[0.0, 1.0, 1.0, 2.0, 9.0]], *settings) == []
    assert stopped("medianstopping", [SPARSE[:2]], [[2.0, 1.0, 1.0, 2.0, 0.0]], *settings) == [1]
    assert stopped("medianstopping", [SPARSE[:2]], [[(2.0, 4)]], *settings) == [1]


def test_the_predictive_rule_takes_improvements_from_the_step_that_a_trial_names() -> None:
    settings = (("MinTrialsRequired", 1), ("Margin", 1))

    # The other one improved by 8 from step 4 on, and by 1 from step 2 of its values.
    assert stopped("predictive", [SPARSE[:2]], [[(0.0, 1), (1.0, 4), (9.0, 8)]], *settings) == []
    assert stopped("predictive", [SPARSE[:2]], [[0.0, 1.0, 8.0, 8.0, 9.0]], *settings) == [1]


def test_the_threshold_rule_s_first_step_is_one_that_the_trial_names() -> None:
    settings = (("Lower", 3.0), ("LeastStep", 4))

    assert stopped("threshold", [SPARSE[:1]], [], *settings) == []
    assert stopped("threshold", [SPARSE[:2]], [], *settings) == [1]
    assert stopped("threshold", [[*SPARSE[:2], 9.0]], [], ("Lower", 3.0), ("LeastStep", 5)) == []


def test_a_trial_that_goes_on_from_a_checkpoint_is_compared_where_it_is() -> None:
    """Its second attempt begins at step 21, where others have long been better than at their beginning."""
    others: Sequence[Sequence[Value]] = [[float(i) for i in range(40)]] * 3
    settings = (("LeastStep", 5), ("MinTrialsRequired", 1))

    assert stopped("percentile", [[(21.0, 21), (22.0, 22)]], others, *settings) == []
    assert stopped("percentile", [[(3.0, 21), (4.0, 22)]], others, *settings) == [1]
