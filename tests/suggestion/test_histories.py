"""What a service keeps of what it was sent: found again only under the name that it was given, and never too much."""

import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from katib.api import api_pb2 as pb
from katib.api.study_converters import spec_to_proto
from katib.api.value_converters import parameters_from_proto
from katib.domain.names import new_id
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.histories import Delta, Histories, Known
from katib.suggestion.messages import delta_from_proto
from tests.suggestion.studies import BOWL, study

STUDY = "s" * 16


def sent(*numbers: int, study_id: str = STUDY, parameters: int = 4, text: str = "0.123456789012345") -> Sequence[Known]:
    """Finished trials as they come off the wire."""
    trials = [
        pb.Trial(
            trial_id=f"t{n:015}",
            study_id=study_id,
            number=n,
            status=pb.COMPLETED,
            attempt=1,
            objective_value="0.5",
            run=f"t{n:015}-1",
            parameter_set=[
                pb.Parameter(name=f"parameter-{i}", parameter_type=pb.DOUBLE, value=f"{text}{n}{i}")
                for i in range(parameters)
            ],
        )
        for n in numbers
    ]
    config = spec_to_proto(study(BOWL, max_trials=9))
    question = pb.GenerateTrialsRequest(study_id=study_id, configs=config, completed_trials=trials)
    return delta_from_proto(pb.GenerateTrialsDeltaRequest(question=question), BayesianOptimization())[0].changed


def delta(base: str, cursor: str, changed: Sequence[Known], count: int, unfinished: Sequence[str] = ()) -> Delta:
    return Delta(STUDY, base, cursor, changed, unfinished, count)


def numbers(found: Sequence[Known] | None) -> list[int] | None:
    return None if found is None else [known.trial.number for known in found]


@pytest.fixture
def histories() -> Histories:
    return Histories(2**24)


def test_a_delta_is_added_to_what_its_base_names(histories: Histories) -> None:
    assert numbers(histories.complete(delta("", "a", sent(1, 2), 2))) == [1, 2]
    assert numbers(histories.complete(delta("a", "b", sent(3), 3))) == [1, 2, 3]
    assert numbers(histories.complete(delta("b", "b", (), 3))) == [1, 2, 3]
    assert histories.cursor(STUDY) == "b"


def test_what_has_another_name_is_not_built_upon_even_if_the_numbers_fit(histories: Histories) -> None:
    histories.complete(delta("", "a", sent(1, 2), 2))
    assert histories.complete(delta("other", "c", sent(3), 3)) is None
    assert histories.complete(delta("other", "c", (), 2)) is None
    assert histories.cursor(STUDY) == "a"


def test_a_study_that_was_never_heard_of_has_no_base(histories: Histories) -> None:
    assert histories.complete(delta("a", "b", sent(1), 1)) is None
    assert histories.cursor(STUDY) == ""


def test_a_trial_that_is_sent_again_replaces_itself(histories: Histories) -> None:
    histories.complete(delta("", "a", sent(1, 2), 2))
    (changed,) = sent(2)
    changed = replace(changed, trial=replace(changed.trial, objective=7.0))
    found = histories.complete(delta("a", "b", (changed,), 2))
    assert found is not None
    assert [known.trial.objective for known in found] == [0.5, 7.0]


def test_a_trial_that_runs_again_is_not_finished(histories: Histories) -> None:
    known = sent(1, 2, 3)
    histories.complete(delta("", "a", known, 3))
    assert numbers(histories.complete(delta("a", "b", (), 2, [known[1].trial.id]))) == [1, 3]


def test_a_study_that_lost_a_trial_is_forgotten(histories: Histories) -> None:
    histories.complete(delta("", "a", sent(1, 2, 3), 3))
    assert histories.complete(delta("a", "b", (), 2)) is None
    assert histories.cursor(STUDY) == ""


def test_asking_what_is_there_forgets_nothing(histories: Histories) -> None:
    histories.complete(delta("", "a", sent(1, 2, 3), 3))
    assert histories.complete(delta("", "", (), 3)) is None
    assert histories.cursor(STUDY) == "a"


def test_the_study_asked_about_least_recently_goes_first() -> None:
    size = sum(known.memory for known in sent(*range(10)))
    histories = Histories(int(size * 3.5))
    for name in ("a", "b", "c"):
        histories.complete(Delta(name, "", "1", sent(*range(10), study_id=name), (), 10))
    histories.complete(Delta("a", "1", "1", (), (), 10))
    histories.complete(Delta("d", "", "1", sent(*range(10), study_id="d"), (), 10))
    assert [histories.cursor(name) for name in "abcd"] == ["1", "", "1", "1"]


def test_a_study_larger_than_all_there_is_is_answered_and_not_kept() -> None:
    small = Histories(10_000)
    small.complete(Delta("other", "", "1", sent(1, study_id="other"), (), 1))
    assert numbers(small.complete(delta("", "a", sent(*range(100)), 100))) == list(range(100))
    assert small.cursor(STUDY) == ""
    assert small.cursor("other") == "1"


@pytest.mark.long
@pytest.mark.parametrize(
    ("parameters", "text"),
    [(1, "0.5"), (8, "0.123456789012345"), (50, "relu"), (100, "0.123456789012345"), (3, "x" * 500)],
)
def test_what_is_kept_takes_no_more_memory_than_is_reckoned(parameters: int, text: str) -> None:
    # Its names are known before: what Python's table of such texts grows by at times is no trial's.
    before = sent(1, parameters=parameters)
    tracemalloc.start()
    try:
        kept = sent(*range(400), parameters=parameters, text=text)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del before
    reckoned = sum(known.memory for known in kept)
    assert taken <= reckoned
    # Nor a small part of it: then the cache would hold little of what it may.
    assert reckoned <= 2 * taken


def test_trials_share_the_names_of_their_parameters() -> None:
    """Of a hundred parameters these are a third of what a trial takes."""
    first, second = sent(1, 2)
    assert all(p.name is q.name for p, q in zip(first.trial.parameters, second.trial.parameters, strict=True))


def test_names_that_messages_bring_are_not_kept_for_ever() -> None:
    """Python 3.12 never forgets one that is interned."""
    message = pb.Parameter(name=f"x-{new_id()}", parameter_type=pb.DOUBLE, value="1")
    (parameter,) = parameters_from_proto([message], "")
    again = f"{parameter.name[:1]}{parameter.name[1:]}"
    assert again is not parameter.name
    assert sys.intern(again) is again
    long = [parameters_from_proto([pb.Parameter(name="y" * 1000, parameter_type=pb.DOUBLE)], "")[0] for _ in range(2)]
    assert long[0].name is not long[1].name
