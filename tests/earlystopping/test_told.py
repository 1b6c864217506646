"""What a service keeps of what it was told: a cache, and never the truth."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from katib.api import api_pb2 as pb
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import Observation
from katib.domain.study import StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.messages import delta_from_proto
from katib.earlystopping.rules.medianstopping import MedianStopping
from katib.earlystopping.rules.percentile import Percentile
from katib.earlystopping.service import should_stop
from katib.earlystopping.told import Answer, Delta, MetricValues, Told, TrialDelta
from katib.manager.remote.earlystopping import delta_to_proto
from katib.manager.service_ports import StoppingDelta
from katib.manager.service_ports import TrialDelta as StoppingTrial
from tests.earlystopping.studies import STUDY_ID, question, study, trial

SPEC = study(("LeastStep", 1), ("MinTrialsRequired", 1))
RUNNING, COMPLETED, KILLED = TrialState.RUNNING, TrialState.COMPLETED, TrialState.KILLED


def delta(
    base: str, cursor: str, *trials: tuple[Trial, Sequence[float]], more: bool = False, study_id: str = STUDY_ID
) -> Delta:
    told = [TrialDelta(t, [MetricValues("score", values)] if values else []) for t, values in trials]
    return Delta(study_id, SPEC, base, cursor, told, more)


def numbers(answer: Answer) -> list[int] | None:
    return None if answer.stopped is None else [t.number for t in answer.stopped]


@pytest.fixture
def told() -> Told:
    return Told(MedianStopping())


def test_values_are_added_to_what_was_told_before(told: Told) -> None:
    first, second = trial(1, RUNNING), trial(2, RUNNING)

    told.ask(delta("", "a", (first, [5, 5]), (second, [1]), more=True))
    assert numbers(told.ask(delta("a", "b", (second, [1])))) == []
    done = replace(first, state=COMPLETED)
    answer = told.ask(delta("b", "c", (done, [])))

    assert numbers(answer) == [2]
    assert answer.have == "c"
    assert answer.metrics == ("score",)


def test_no_answer_is_given_where_more_follows(told: Told) -> None:
    answer = told.ask(delta("", "a", (trial(1, COMPLETED), [5]), (trial(2, RUNNING), [1]), more=True))

    assert (answer.stopped, answer.have) == (None, "a")
    assert numbers(told.ask(delta("a", "b"))) == [2]


def test_a_question_on_something_else_is_not_answered_and_says_what_there_is(told: Told) -> None:
    assert told.ask(delta("x", "a")) == Answer(None, "", ("score",))
    told.ask(delta("", "a", (trial(1, COMPLETED), [5])))

    lost = delta("b", "c", (trial(2, RUNNING), [1]))

    assert told.ask(lost) == Answer(None, "a", ("score",))
    # It was not taken in.
    assert numbers(told.ask(delta("a", "d"))) == []


def test_the_same_question_twice_is_not_taken_in_twice(told: Told) -> None:
    told.ask(delta("", "a", (trial(1, COMPLETED), [5])))
    again = delta("a", "b", (trial(2, RUNNING), [1]))
    told.ask(again)

    assert told.ask(again).stopped is None


def test_without_a_base_it_begins_anew(told: Told) -> None:
    told.ask(delta("", "a", (trial(1, COMPLETED), [5]), (trial(2, RUNNING), [1])))

    assert numbers(told.ask(delta("", "b", (trial(2, RUNNING), [1])))) == []


def test_another_attempt_takes_the_place_of_the_values_before(told: Told) -> None:
    again = replace(trial(2, RUNNING), attempt=2)

    assert numbers(told.ask(delta("", "a", (trial(1, COMPLETED), [5, 5]), (trial(2, RUNNING), [9])))) == []
    assert numbers(told.ask(delta("a", "b", (again, [1])))) == [2]


def test_a_trial_that_is_being_stopped_is_asked_about_no_more(told: Told) -> None:
    stopping = trial(2, RUNNING, TrialReason.STOPPING)

    assert numbers(told.ask(delta("", "a", (trial(1, COMPLETED), [5, 5]), (stopping, [1])))) == []


def test_studies_do_not_mix(told: Told) -> None:
    told.ask(delta("", "a", (trial(1, COMPLETED), [5])))
    told.ask(delta("", "a", (trial(1, COMPLETED), [0]), study_id="c" * 16))

    assert numbers(told.ask(delta("a", "b", (trial(2, RUNNING), [1])))) == [2]
    assert numbers(told.ask(delta("a", "b", (trial(2, RUNNING), [1]), study_id="c" * 16))) == []


def test_of_studies_that_do_not_fit_the_one_asked_about_longest_ago_is_dropped() -> None:
    told = Told(MedianStopping(), most=250)
    for study_id in ("a" * 16, "b" * 16, "c" * 16):
        assert told.ask(delta("", "1", (trial(1, COMPLETED), [5] * 10), study_id=study_id)).have == "1"

    assert told.ask(delta("1", "2", study_id="a" * 16)).have == ""
    assert told.ask(delta("1", "2", study_id="c" * 16)).have == "2"


def test_a_study_that_does_not_fit_alone_is_answered_and_not_kept() -> None:
    told = Told(MedianStopping(), most=150)

    answer = told.ask(delta("", "a", (trial(1, COMPLETED), [5] * 100), (trial(2, RUNNING), [1])))

    assert (numbers(answer), answer.have) == ([2], "")
    assert told.ask(delta("a", "b")).stopped is None


def test_a_refusal_leaves_nothing_behind(told: Told) -> None:
    with pytest.raises(InvalidArgumentError, match="expected the study"):
        told.ask(replace(delta("", "a"), spec=StudySpec("", "", None, ())))
    with pytest.raises(InvalidArgumentError, match="LeastStep"):
        told.ask(replace(delta("", "a"), spec=study(("LeastStep", "x"))))

    assert told.ask(delta("a", "b")).stopped is None


STEPPED = st.tuples(st.integers(-5, 5).map(float), st.one_of(st.none(), st.integers(0, 9)))
CURVES = st.lists(st.lists(STEPPED, max_size=6), max_size=5)
Stepped = list[list[tuple[float, int | None]]]


@pytest.mark.long
@settings(deadline=None)
@given(CURVES, CURVES, CURVES, st.randoms(use_true_random=False), st.sampled_from([MedianStopping(), Percentile()]))
def test_the_answer_is_that_to_the_whole_question_however_it_was_told(
    running: Stepped, completed: Stepped, early: Stepped, random: object, rule: MedianStopping | Percentile
) -> None:
    call = question(SPEC, running, completed, early)
    told, cursors = Told(rule), map(str, count(1))

    def tell(base: str, *trials: tuple[Trial, Sequence[Observation]], more: bool = False) -> Answer:
        changed = [StoppingTrial(trial, observations) for trial, observations in trials]
        request = delta_to_proto(StoppingDelta(STUDY_ID, SPEC, base, next(cursors), changed, more))
        return told.ask(delta_from_proto(pb.ShouldTrialStopDeltaRequest.FromString(request.SerializeToString())))

    base = tell("", more=True).have
    left = {t.id: call.curves[t.id] for t in (*call.running, *call.finished)}
    trials = {t.id: t for t in (*call.running, *call.finished)}
    for trial_id in random.choices(list(trials), k=12) if trials else ():  # type: ignore[attr-defined]
        t, rest = trials[trial_id], left[trial_id]
        # A finished trial is told as running until all its values are.
        cut = random.randint(0, len(rest))  # type: ignore[attr-defined]
        left[trial_id] = rest[cut:]
        now = replace(t, state=RUNNING, reason="")
        base = tell(base, (now, rest[:cut]), more=random.random() < 0.5).have  # type: ignore[attr-defined]

    expected = [t.number for t in should_stop(rule, call)]
    assert numbers(tell(base, *((t, left[t.id]) for t in trials.values()))) == expected


def test_steps_that_are_not_as_many_as_values_are_refused() -> None:
    values = pb.MetricValues(name="score", values=[1, 2], steps=[1])
    message = pb.ShouldTrialStopDeltaRequest(trials=[pb.TrialDelta(values=[values])])

    with pytest.raises(InvalidArgumentError, match="one for each of the 2 values, or none") as caught:
        delta_from_proto(message)

    assert [v.field for v in caught.value.violations] == ["trials[0].values[0].steps"]
