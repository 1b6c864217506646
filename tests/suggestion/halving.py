"""What hyperband and asha keep."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.domain.study import StudyReason
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.base import Algorithm
from katib.suggestion.service import check
from tests.suggestion.contract import EVERY_SPACE, AlgorithmContract
from tests.suggestion.studies import (
    BOWL,
    CATEGORICAL,
    DOUBLE,
    FINITE,
    FINITE_LOG,
    INFINITE,
    INT,
    MiniManager,
    bowl,
    parameter,
    study,
    values,
)

EPOCHS = parameter("epochs", INT, 1, 81)


def configuration(trial: Trial) -> tuple[tuple[str, str], ...]:
    return tuple((p.name, p.value) for p in trial.parameters if p.name != "epochs")


def epochs(trial: Trial) -> float:
    return next(float(p.value) for p in trial.parameters if p.name == "epochs")


def tag(trial: Trial, suffix: str) -> str:
    """The value of the tag that ends so; each suffix stands once."""
    (value,) = [t.value for t in trial.tags if t.name.endswith(f"_{suffix}")]
    return value


def curve(trial: Trial) -> tuple[TrialState, float | None]:
    """The bowl, which a trial comes near to with the square root of its epochs."""
    state, value = bowl(replace(trial, parameters=trial.parameters[:4]))
    assert value is not None
    return state, value + 1.0 / math.sqrt(epochs(trial))


def best(manager: MiniManager) -> float:
    return min(t.objective for t in manager.trials if t.objective is not None)


class HalvingContract(AlgorithmContract):
    settings = (("Seed", 1), ("ResourceName", "epochs"))
    extra = (EPOCHS,)
    prefix: ClassVar[str]

    # Configurations are what is not repeated; each may have several trials, of growing resources.

    @pytest.mark.long
    @pytest.mark.parametrize("parallel", [1, 3, 0])
    @pytest.mark.parametrize("space", [FINITE, FINITE_LOG], ids=["finite", "finite with a log scale"])
    def test_a_finite_space_is_tried_without_repetition_until_it_is_exhausted(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], parallel: int
    ) -> None:
        manager = self.manager(algorithm, space, ("MaxParallel", parallel))
        size = SearchSpace.of(space).cardinality

        reply = manager.run()

        assert (reply.completed, reply.reason, reply.suggestions) == (True, StudyReason.EXHAUSTED, ())
        begun = [configuration(t) for t in manager.trials if tag(t, "shi") == "1"]
        assert len(set(begun)) == len(begun) == size
        assert len({t.parameters for t in manager.trials}) == len(manager.trials)
        assert {configuration(t) for t in manager.trials} == set(begun)

    def test_an_exhausted_space_is_not_completed_while_a_trial_runs(self, algorithm: Algorithm) -> None:
        manager = self.manager(algorithm, FINITE, ("MaxParallel", 0))
        for _ in range(1000):
            reply = manager.ask()
            running = [t for t in manager.trials if not t.state.finished]
            if not running:
                break
            assert not reply.completed
            manager.finish(most=1)

        assert reply.completed

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_with_the_same_epochs_in_all_it_finds_better_ones_than_random_search(self, algorithm: Algorithm) -> None:
        """Of ten pairs with the same seed it wins nine or more; an algorithm no better than random search would once in 93
        times."""
        pairs = []
        for seed in range(10):
            settings = (*(s for s in self.settings if s[0] != "Seed"), ("Seed", seed), ("MaxParallel", 9))
            own = MiniManager(algorithm, study((*BOWL, EPOCHS), *settings, max_trials=120), outcome=curve)
            own.run()
            # Each of random search has all epochs.
            budget = round(sum(map(epochs, own.trials)) / 81)
            space = (*BOWL, parameter("epochs", INT, 81, 81))
            other = MiniManager(RandomSearch(), study(space, ("Seed", seed), max_trials=budget), outcome=curve)
            other.run()
            pairs.append((best(own), best(other)))
            won = sum(own < random for own, random in pairs)
            if won == 9 or len(pairs) - won == 2:
                break

        assert won == 9, pairs

    @EVERY_SPACE
    def test_asking_for_several_at_once_is_asking_for_one_after_another(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        once, single = (self.after(algorithm, space, 12) for _ in range(2))

        at_once = values(once.ask())
        one_by_one = []
        for parallel in (3, 4, 5):
            single.spec = self.manager(algorithm, space, ("MaxParallel", parallel), ("SuggestionNum", 1000)).spec
            one_by_one += values(single.ask())

        assert len(at_once) == 3
        assert one_by_one == at_once

    def test_a_configuration_keeps_its_id_and_its_parameters_from_rung_to_rung(self, algorithm: Algorithm) -> None:
        manager = self.after(algorithm, INFINITE, 130)

        by_id: dict[str, list[Trial]] = {}
        for trial in manager.trials:
            assert [t.name for t in trial.tags] == [f"{self.prefix}_{n}" for n in ("BracketID", "s", "r", "shi")]
            assert float(tag(trial, "r")) == epochs(trial)
            by_id.setdefault(tag(trial, "BracketID"), []).append(trial)

        assert max(map(len, by_id.values())) >= 3
        for trials in by_id.values():
            assert len({configuration(t) for t in trials}) == 1
            assert tag(trials[0], "BracketID") == str(trials[0].number)
            amounts = [epochs(t) for t in trials]
            assert amounts == sorted(set(amounts))

    def test_trials_of_another_search_space_do_not_go_on(self, algorithm: Algorithm) -> None:
        """As after a change of the study's parameters: their tags are ours, their parameters are not the study's."""
        manager = self.after(algorithm, INFINITE, 40)
        others = self.manager(algorithm, FINITE_LOG, ("MaxParallel", 5), ("SuggestionNum", 1000))
        others.trials = manager.trials

        suggestions = others.ask().suggestions

        assert suggestions
        for suggestion in suggestions:
            assert [p.name for p in suggestion.parameters] == ["units", "optimizer", "epochs"]

    @pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30, "", "٣"])
    def test_tags_that_say_nothing_are_passed_over(self, algorithm: Algorithm, text: str) -> None:
        manager = self.after(algorithm, INFINITE, 20)
        manager.trials = [
            replace(t, tags=tuple(replace(tag, value=text) if tag.name.endswith("_shi") else tag for tag in t.tags))
            for t in manager.trials
        ]

        suggestions = manager.ask().suggestions

        assert {t.value for s in suggestions for t in s.tags if t.name.endswith("_shi")} == {"1"}

    # Refusals

    @pytest.mark.parametrize(
        ("settings", "field", "expected"),
        [
            ([], "", "expected the name of a DOUBLE or INT parameter for ResourceName: lr, epochs"),
            ([("ResourceName", "epoch")], "[0].value", "for ResourceName: lr, epochs"),
            ([("ResourceName", "opt")], "[0].value", "expected the name of a DOUBLE or INT parameter"),
            ([("ResourceName", "")], "[0].value", "expected the name of a DOUBLE or INT parameter for ResourceName"),
            ([("ResourceName", "epochs"), ("R", 82)], "[1].value", "from 1 to 81, the range of epochs, for R"),
            ([("ResourceName", "epochs"), ("R", 0)], "[1].value", "expected a number more than 0 for R"),
            ([("ResourceName", "epochs"), ("R", "many")], "[1].value", "expected a number more than 0 for R"),
            ([("ResourceName", "epochs"), ("R", 9), ("MinResource", 10)], "[2].value", "to R for MinResource"),
            ([("ResourceName", "epochs"), ("MinResource", "0.5")], "[1].value", "the minimum of epochs, to R"),
            ([("ResourceName", "epochs"), ("Eta", 1)], "[1].value", "expected a number from 1.5 to 1000 for Eta"),
            ([("ResourceName", "lr")], "", "expected a number above 0 from 0, the minimum of lr, to R"),
        ],
    )
    def test_a_resource_that_cannot_be_is_refused(
        self, algorithm: Algorithm, settings: list[tuple[str, object]], field: str, expected: str
    ) -> None:
        space = (
            parameter("lr", DOUBLE, 0, 1),
            parameter("opt", CATEGORICAL, values=("a", "b")),
            EPOCHS,
        )
        with pytest.raises(InvalidArgumentError) as caught:
            check(algorithm, study(space, *settings, max_trials=100))

        (violation,) = caught.value.violations
        assert violation.field == f"study_config.suggestion_parameters{field}"
        assert expected in violation.expected

    def test_a_study_without_anything_to_search_is_refused(self, algorithm: Algorithm) -> None:
        with pytest.raises(InvalidArgumentError, match="expected a parameter to search beside the resource"):
            check(algorithm, study((EPOCHS,), ("ResourceName", "epochs"), max_trials=5))

    def test_a_resource_of_more_rungs_than_can_be_counted_with_is_refused(self, algorithm: Algorithm) -> None:
        space = (parameter("lr", DOUBLE, 0, 1), parameter("share", DOUBLE, "1e-300", "1"))
        settings = ("ResourceName", "share"), ("Eta", 1.5)
        with pytest.raises(InvalidArgumentError, match="expected at least 1e-18 for MinResource"):
            check(algorithm, study(space, *settings, max_trials=5))
        check(algorithm, study(space, *settings, ("MinResource", "1e-18"), max_trials=5))

    def test_the_longest_int_is_a_resource(self, algorithm: Algorithm) -> None:
        space = (parameter("lr", DOUBLE, 0, 1), parameter("steps", INT, 1, 2**50))
        check(algorithm, study(space, ("ResourceName", "steps"), ("Eta", 1.5), max_trials=5))

    def test_a_resource_below_nothing_is_refused(self, algorithm: Algorithm) -> None:
        space = (parameter("lr", DOUBLE, 0, 1), parameter("epochs", INT, -5, 0))
        with pytest.raises(InvalidArgumentError, match="with a maximum above 0 for ResourceName"):
            check(algorithm, study(space, ("ResourceName", "epochs"), max_trials=5))
