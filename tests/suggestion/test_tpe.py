"""The tree-structured Parzen estimator: the contract, the settings, and what is its own."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import Scale, SearchSpace
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.tpe import PORTION, Tpe
from katib.suggestion.cells import Cells, Points
from katib.suggestion.gp.encoding import Encoding
from katib.suggestion.service import check
from katib.suggestion.tpe.parzen import Kernels, Mixture
from tests.suggestion.learning import LearningContract
from tests.suggestion.studies import (
    BOWL,
    CATEGORICAL,
    DOUBLE,
    INFINITE,
    INT,
    NOW,
    MiniManager,
    bowl,
    parameter,
    study,
    values,
)


class TestTpeKeepsTheContract(LearningContract):
    name = "tpe"
    settings = (("Seed", 1),)
    trials = 60
    near = 0.15


def run(trials: int, *settings: tuple[str, object]) -> MiniManager:
    manager = MiniManager(Tpe(), study(BOWL, ("SuggestionNum", trials), ("MaxParallel", 1), *settings), outcome=bowl)
    manager.run()
    return manager


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("burn_in", "0", "a whole number from 1 to 10000"),
            ("gamma", "0", "a number more than 0 and at most 0.5"),
            ("gamma", "0.6", "a number more than 0 and at most 0.5"),
            ("prior_weight", "-1", "a number more than 0 and at most 100"),
            ("n_EI_candidates", "0", "a whole number from 1 to 10000"),
        ],
    )
    def test_what_is_none_of_its_values_is_refused(self, name: str, value: str, expected: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(Tpe(), study(BOWL, (name, value), max_trials=5))

        (violation,) = caught.value.violations
        assert (violation.value, violation.expected) == (value, f"expected {expected} for {name}")

    @pytest.mark.parametrize(
        "setting", [("burn_in", 12), ("gamma", 0.4), ("prior_weight", 3), ("n_EI_candidates", 5)], ids=str
    )
    def test_each_makes_a_difference(self, setting: tuple[str, object]) -> None:
        plain, other = run(25, ("Seed", 3)), run(25, ("Seed", 3), setting)

        assert [t.parameters for t in other.trials] != [t.parameters for t in plain.trials]

    def test_the_burn_in_is_a_latin_hypercube(self) -> None:
        space = [parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3)]
        manager = MiniManager(Tpe(), study(space, ("burn_in", 16), ("MaxParallel", 0), max_trials=16))

        points = np.array(values(manager.ask()), dtype=float)

        assert (np.sort(np.floor(points * 16), axis=0) == np.arange(16)[:, None]).all()

    def test_a_study_that_nothing_would_end_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="the search space is infinite"):
            check(Tpe(), study(INFINITE))


class TestManyAtOnce:
    def test_more_than_a_portion_comes_in_portions(self) -> None:
        manager = MiniManager(
            Tpe(), study(BOWL, ("SuggestionNum", 1000), ("MaxParallel", 0), ("Seed", 1)), outcome=bowl
        )

        assert [len(manager.ask().suggestions) for _ in range(2)] == [PORTION, PORTION]
        assert len({t.parameters for t in manager.trials}) == 2 * PORTION

    def test_a_batch_is_spread_and_not_piled_up_at_the_most_promising_point(self) -> None:
        manager = run(30, ("Seed", 2))
        manager.spec = study(BOWL, ("SuggestionNum", 100), ("MaxParallel", 8), ("Seed", 2))
        space = SearchSpace.of(BOWL)

        points = np.array([space.to_unit(s.parameters) for s in manager.ask().suggestions])

        apart = np.abs(points[:, None] - points).max(axis=-1) + np.eye(8)
        assert apart.min() > 0.005


class TestMixture:
    """The densities, against sums and draws."""

    SPACE = (
        parameter("x", DOUBLE, 0, 1),
        parameter("n", INT, 1, 5),
        parameter("units", INT, 1, 9, scale=Scale.LOG),
        parameter("kind", CATEGORICAL, values=("a", "b", "c")),
    )

    def mixture(self) -> tuple[Cells, Mixture]:
        cells = Cells(Encoding(SearchSpace.of(self.SPACE)))
        rows = cells.encoding.snap(np.array([[0.05, 0.25, 0.4, 0], [0.9, 1.0, 0.0, 2], [0.95, 0.75, 1.0, 2]]))
        kernels = Kernels(np.array([0.1, 0.15, 0.3]), np.array([0.2]))
        return cells, Mixture(cells, cells.points(rows), np.array([1.0, 2.0, 0.5]), 1.5, kernels)

    def every(self, cells: Cells, smooth: int) -> tuple[Points, np.ndarray]:
        """A point in each cell, with `smooth` of them along the continuum, and their shares of the cube."""
        x = (np.arange(smooth) + 0.5) / smooth
        axes = [x] + [0.5 * (b[1:] + b[:-1]) for _, b in cells.stepped] + [np.arange(3.0)]
        shares = [np.full(smooth, 1 / smooth)] + [np.diff(b) for _, b in cells.stepped] + [np.full(3, 1 / 3)]
        grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
        volume = np.prod(np.stack([s.ravel() for s in np.meshgrid(*shares, indexing="ij")], axis=1), axis=1)
        return Points(grid[:, :3], grid[:, 3:].astype(np.intp)), volume

    def test_a_density_integrates_to_one(self) -> None:
        cells, mixture = self.mixture()

        points, volume = self.every(cells, 400)

        assert np.exp(mixture.log_density(points)) @ volume == pytest.approx(1.0, abs=1e-4)

    def test_draws_are_distributed_as_the_density_says(self) -> None:
        cells, mixture = self.mixture()
        count = 60_000
        drawn = mixture.sample(count, np.random.default_rng(1))
        points, volume = self.every(cells, 100)
        expected = np.exp(mixture.log_density(points)) * volume

        def place(p: Points) -> np.ndarray:
            bins = [np.minimum((p.numbers[:, 0] * 4).astype(int), 3)]
            bins += [np.clip(np.searchsorted(b, p.numbers[:, i]) - 1, 0, len(b) - 2) for i, b in cells.stepped]
            shape = (4, *(len(b) - 1 for _, b in cells.stepped), 3)
            return np.ravel_multi_index((*bins, p.categories[:, 0]), shape)

        size = int(place(points).max()) + 1
        seen = np.bincount(place(drawn), minlength=size)
        wanted = np.bincount(place(points), weights=expected, minlength=size) * count
        common = wanted > 20
        chi = ((seen - wanted)[common] ** 2 / wanted[common]).sum()
        # Its mean is the number of cells, its deviation the root of twice that: six deviations.
        assert chi < common.sum() + 6 * math.sqrt(2 * common.sum())

    def test_without_trials_it_is_uniform(self) -> None:
        cells = Cells(Encoding(SearchSpace.of(self.SPACE)))
        nothing = cells.points(np.empty((0, 4)))
        mixture = Mixture(cells, nothing, np.ones(0), 1.0, Kernels(np.full(3, 0.3), np.array([0.5])))

        points, _ = self.every(cells, 5)

        assert mixture.log_density(points) == pytest.approx(0.0)
        assert len(mixture.sample(7, np.random.default_rng(1))) == 7


class TestLongHistories:
    def history(self, count: int) -> list[Trial]:
        space = SearchSpace.of(BOWL)
        rng = np.random.default_rng(0)
        trials = []
        for number in range(1, count + 1):
            point = space.from_unit(rng.random(4).tolist())
            trial = Trial(f"b{number:015x}", "s", number, 1, TrialState.RUNNING, point, NOW, revision=0)
            state, objective = bowl(trial)
            trials.append(replace(trial, state=state, objective=objective))
        return trials

    def test_what_is_remembered_of_trials_changes_no_answer(self) -> None:
        """The same trials as other objects, one of them with another objective meanwhile."""
        spec = study(BOWL, ("MaxParallel", 1), ("Seed", 1), max_trials=10_000)
        trials = self.history(60)
        manager = MiniManager(Tpe(), spec, trials=list(trials))
        first = values(replace(manager, trials=list(trials)).ask())
        best = min(range(60), key=lambda i: trials[i].objective or 0.0)
        changed = [replace(t, objective=9.0) if i == best else replace(t) for i, t in enumerate(trials)]
        second = values(replace(manager, trials=list(changed)).ask())

        assert second != first
        assert second == values(replace(manager, study_id="another", trials=list(changed)).ask())
        assert values(replace(manager, trials=list(trials)).ask()) == first

    @pytest.mark.slow
    def test_the_time_of_a_suggestion_hardly_grows_with_them(self) -> None:
        """Of 8 parameters 2, 4 and 11 ms of processor time were measured for 100, 1,000 and 10,000 trials; a wide margin."""
        spec = study(BOWL, ("MaxParallel", 1), ("Seed", 1), max_trials=100_000)
        took = {}
        for count in (100, 10_000):
            trials = self.history(count)
            for _ in range(4):
                manager = MiniManager(Tpe(), spec, trials=list(trials))
                begin = time.process_time()
                manager.ask()
                took[count] = min(took.get(count, math.inf), time.process_time() - begin)

        assert took[10_000] < 0.1
        assert took[10_000] < 20 * took[100]
