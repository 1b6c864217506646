"""What those search algorithms keep that learn from the trials, beside what every one keeps."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from katib.domain.search_space import ParameterConfig
from katib.domain.study import StudyReason
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.base import Algorithm
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from tests.suggestion.contract import EVERY_SPACE, AlgorithmContract
from tests.suggestion.studies import BOWL, FINITE, INFINITE, INT, MiniManager, bowl, parameter, study, values


class LearningContract(AlgorithmContract):
    """What those keep that learn from the trials."""

    # Trials until `test_it_finds_the_best_point` wants it found, and how near.
    trials: ClassVar[int] = 30
    near: ClassVar[float] = 0.05
    # What 40 trials come to where the best, -2, lies on the border of those that fail.
    border: ClassVar[float] = -1.97

    def best(self, algorithm: Algorithm, seed: int, trials: int) -> float:
        """The least value that a study finds of a bowl over numbers and a category."""
        settings = [("Seed", seed), ("MaxParallel", 1), ("SuggestionNum", trials)]
        own = self.settings if algorithm.name == self.name else ()
        spec = study(BOWL, *[s for s in own if s[0] != "Seed"], *settings)
        manager = MiniManager(algorithm, spec, outcome=bowl)
        manager.run()
        return min(t.objective for t in manager.trials if t.objective is not None)

    @pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_it_finds_the_best_point(self, algorithm: Algorithm, seed: int) -> None:
        assert self.best(algorithm, seed, self.trials) < self.near

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_it_is_better_than_random_search(self, algorithm: Algorithm) -> None:
        """Of ten pairs with the same seed it wins nine or more; an algorithm no better than random search would once in 93
        times."""
        pairs = []
        for seed in range(10):
            pairs.append((self.best(algorithm, seed, self.trials), self.best(RandomSearch(), seed, self.trials)))
            won = sum(own < random for own, random in pairs)
            if won == 9 or len(pairs) - won == 2:
                break

        assert won == 9, pairs

    def test_a_trial_from_beyond_the_range_says_nothing_of_its_end(self, algorithm: Algorithm) -> None:
        space = (parameter("n", INT, 1, 4), parameter("x", INT, 1, 2))
        settings = [s for s in self.settings if s[0] not in {MAX_PARALLEL.name, SUGGESTION_NUM.name}]
        spec = study(space, *settings, (MAX_PARALLEL.name, 1), (SUGGESTION_NUM.name, 100))
        manager = MiniManager(algorithm, spec)
        manager.ask()
        foreign = tuple(replace(p, value="9") for p in manager.trials[0].parameters)
        manager.trials = [replace(manager.trials[0], parameters=foreign)]
        manager.finish()

        assert manager.run().reason is StudyReason.EXHAUSTED
        assert len({t.parameters for t in manager.trials[1:]}) == 8

    def test_trials_without_ids_are_told_apart(self, algorithm: Algorithm) -> None:
        manager = self.after(algorithm, BOWL, 12)
        expected = values(replace(manager, trials=list(manager.trials)).ask())

        manager.trials = [replace(t, id="") for t in manager.trials]

        assert values(manager.ask()) == expected

    @EVERY_SPACE
    def test_asking_for_several_at_once_is_asking_for_one_after_another(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        once = self.after(algorithm, space, 12)
        single = replace(once, trials=list(once.trials))
        settings = [s for s in self.settings if s[0] not in {MAX_PARALLEL.name, SUGGESTION_NUM.name}]

        at_once = values(once.ask())
        one_by_one = []
        for parallel in (3, 4, 5):
            single.spec = study(space, *settings, (MAX_PARALLEL.name, parallel), (SUGGESTION_NUM.name, 1000))
            one_by_one += values(single.ask())

        assert one_by_one == at_once

    @pytest.mark.parametrize(("space", "left"), [(INFINITE, 30), (FINITE, 22)], ids=["infinite", "finite"])
    def test_a_large_batch_has_no_point_twice(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], left: int
    ) -> None:
        """Nor one that has been tried or runs; of a finite space it is all the rest."""
        manager = self.after(algorithm, space, 12)
        manager.spec = self.manager(algorithm, space, (MAX_PARALLEL.name, 32), (SUGGESTION_NUM.name, 1000)).spec

        manager.ask()

        assert len({t.parameters for t in manager.trials}) == len(manager.trials) == 14 + left

    def test_failures_in_one_part_of_the_space_are_left_behind(self, algorithm: Algorithm) -> None:
        """Below a learning rate of 0.01 every trial fails: half of the space, and the slope leads there. The best is at the
        border, so that trials just beyond it may well fail."""
        manager = self.manager(algorithm, BOWL, (MAX_PARALLEL.name, 1), (SUGGESTION_NUM.name, 40))
        manager.outcome = lambda t: (
            (TrialState.ERROR, None) if float(t.parameters[0].value) < 0.01 else (TrialState.COMPLETED, _lr(t))
        )

        manager.run()

        assert sum(_lr(t) < math.log10(0.003) for t in manager.trials[20:]) <= 8
        assert min(t.objective for t in manager.trials if t.objective is not None) < self.border


def _lr(trial: Trial) -> float:
    return math.log10(float(trial.parameters[0].value))
