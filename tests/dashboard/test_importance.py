"""Importance on objectives whose truth is known."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from katib.dashboard import importance
from katib.domain.parameters import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.search_space import SearchSpace
from katib.domain.study import Objective, StudySpec
from katib.domain.trial import Trial, TrialState

SPEC = StudySpec(
    "s",
    "loss",
    Objective.MINIMIZE,
    (
        ParameterConfig("a", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
        ParameterConfig("b", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
        ParameterConfig("word", ParameterType.CATEGORICAL, FeasibleSpace(list=("x", "y", "z"))),
    ),
)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def shares(objective: Callable[[float, float, str], float], count: int = 200) -> dict[str, float]:
    space, rng = SearchSpace.of(SPEC.parameters), random.Random(1)
    found = []
    for number in range(1, count + 1):
        parameters = space.from_unit([rng.random() for _ in range(3)])
        value = objective(float(parameters[0].value), float(parameters[1].value), parameters[2].value)
        found.append(Trial(f"t{number}", "s", number, 1, TrialState.COMPLETED, parameters, AT, 1, objective=value))
    answer = importance._compute(SPEC, found)
    return {share["name"]: share["share"] for share in answer["shares"]}  # type: ignore[attr-defined]


class TestImportance:
    def test_what_the_objective_depends_on_alone_has_nearly_all(self) -> None:
        assert shares(lambda a, _b, _word: a**3)["a"] > 0.9

    def test_a_word_counts_as_a_number_does(self) -> None:
        found = shares(lambda a, _b, word: {"x": 0, "y": 3, "z": 1}[word] + 0.1 * a)
        assert max(found, key=found.__getitem__) == "word"

    def test_shares_add_up_to_one_and_the_largest_comes_first(self) -> None:
        found = shares(lambda a, b, _word: 3 * a + b)
        assert sum(found.values()) == pytest.approx(1, abs=1e-3)
        assert list(found) == sorted(found, key=found.__getitem__, reverse=True)

    def test_one_value_of_a_billion_does_not_decide(self) -> None:
        found = shares(lambda a, b, _word: 1e9 if b > 0.995 else a)
        assert found["a"] > 0.8

    def test_what_rises_and_falls_is_seen(self) -> None:
        assert shares(lambda a, _b, _word: abs(a - 0.5))["a"] > 0.9

    def test_parameters_that_matter_only_together_are_seen(self) -> None:
        found = shares(lambda a, b, _word: (a - 0.5) * (b - 0.5))
        assert min(found["a"], found["b"]) > 0.3

    def test_objectives_that_are_all_the_same_have_no_shares(self) -> None:
        assert shares(lambda _a, _b, _word: 1.0) == {}

    def test_too_few_trials_have_no_shares(self) -> None:
        assert shares(lambda a, _b, _word: a, count=importance.LEAST - 1) == {}


def test_a_study_of_which_no_trial_has_completed_since_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    monkeypatch.setattr(importance, "_compute", lambda *_given: computed.append(1) or {"n": len(computed)})
    monkeypatch.setattr(importance, "_completed", lambda *_given: [])
    completed = [1]
    client = SimpleNamespace(
        get_study=lambda _study: SimpleNamespace(spec=SPEC, summary=SimpleNamespace(completed=completed[0]))
    )
    known = importance.Importance()
    assert known.of(client, "s") == known.of(client, "s") == {"n": 1}  # type: ignore[arg-type]
    completed[0] = 2
    assert known.of(client, "s") == {"n": 2}  # type: ignore[arg-type]
