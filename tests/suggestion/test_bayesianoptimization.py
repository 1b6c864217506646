"""Bayesian optimization: the contract, the settings, and what is its own."""

import math
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import SearchSpace
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.bayesianoptimization import PORTION, BayesianOptimization
from katib.suggestion.gp.subset import best_and_spread, near_and_spread
from katib.suggestion.service import check
from tests.suggestion.learning import LearningContract
from tests.suggestion.studies import BOWL, DOUBLE, INFINITE, NOW, MiniManager, bowl, parameter, study, values


@pytest.mark.long
class TestBayesianOptimizationKeepsTheContract(LearningContract):
    name = "bayesianoptimization"
    settings = (("Seed", 1),)


@pytest.mark.slow
class TestARandomForestKeepsTheContract(LearningContract):
    name = "bayesianoptimization"
    settings = (("Seed", 1), ("model_type", "rf"))
    trials = 60
    near = 0.15


def run(trials: int, *settings: tuple[str, object]) -> MiniManager:
    manager = MiniManager(
        BayesianOptimization(), study(BOWL, ("SuggestionNum", trials), ("MaxParallel", 1), *settings), outcome=bowl
    )
    manager.run()
    return manager


@cache
def plain() -> MiniManager:
    return run(9, ("Seed", 3))


@cache
def forest() -> MiniManager:
    return run(9, ("Seed", 3), ("model_type", "rf"))


def best(manager: MiniManager) -> float:
    return min(t.objective for t in manager.trials if t.objective is not None)


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("model_type", "svm", "gp or rf"),
            ("kernel_type", "linear", "matern or rbf"),
            ("nu", "2", "0.5, 1.5 or 2.5"),
            ("mode", "ucb", "ei, pi or lcb"),
            ("length_scale", "0", "a number from 1e-06 to 1000"),
            ("length_scale", "wide", "a number from 1e-06 to 1000"),
            ("noise", "-1", "a number from 1e-10 to 1"),
            ("trade_off", "-0.1", "a number from 0 to 100"),
            ("burn_in", "0", "a whole number from 1 on"),
            ("input_warping", "maybe", "no or yes"),
            ("N", "0", "a whole number from 1 to 100000"),
            ("n_estimators", "0", "a whole number from 1 to 1000"),
            *(
                ("max_features", value, "auto (all), sqrt, log2, a whole number from 1 on, or a share such as 0.5")
                for value in ("half", "0", "0.0", "1.5", "-1", "nan", "")
            ),
        ],
    )
    def test_what_is_none_of_its_values_is_refused(self, name: str, value: str, expected: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(BayesianOptimization(), study(BOWL, (name, value), max_trials=5))

        (violation,) = caught.value.violations
        assert violation.value == value
        assert violation.expected == f"expected {expected} for {name}"

    def test_those_of_katib_0_1_are_known_with_its_values(self) -> None:
        old = {"N": 100, "length_scale": 0.5, "noise": 0.00005, "nu": 1.5, "kernel_type": "matern", "mode": "ei"}

        manager = run(12, *old.items(), ("trade_off", 0.01), ("model_type", "gp"), ("burn_in", 5))

        assert len(manager.trials) == 12

    def test_a_number_may_be_written_in_any_way(self) -> None:
        assert values(run(8, ("nu", "1.50")).ask()) == values(run(8, ("nu", "1.5")).ask())

    @pytest.mark.long
    @pytest.mark.parametrize(
        "settings",
        [
            {"mode": "lcb"},
            {"mode": "pi"},
            {"mode": "ei", "trade_off": 0.5},
            {"kernel_type": "rbf"},
            {"nu": "0.5"},
            {"nu": "1.5"},
            {"length_scale": 0.2},
            {"noise": 0.1},
            pytest.param({"model_type": "rf"}, marks=pytest.mark.slow),
            {"burn_in": 8},
            {"N": 16},
        ],
        ids=str,
    )
    def test_each_makes_a_difference(self, settings: dict[str, object]) -> None:
        other = run(9, ("Seed", 3), *settings.items())

        assert [t.parameters for t in other.trials] != [t.parameters for t in plain().trials]

    def test_all_settings_of_katib_0_1_are_known(self) -> None:
        settings = {
            "N": 100,
            "model_type": "rf",
            "n_estimators": 50,
            "max_features": "auto",
            "length_scale": 0.5,
            "noise": 0.0005,
            "nu": 1.5,
            "kernel_type": "matern",
            "mode": "ei",
            "trade_off": 0.01,
        }

        assert check(BayesianOptimization(), study(BOWL, *settings.items(), max_trials=5))

    @pytest.mark.long
    @pytest.mark.parametrize(
        "settings",
        [{"n_estimators": 5}, *({"max_features": value} for value in ("auto", "sqrt", "log2", "1", "1000000", "0.2"))],
        ids=str,
    )
    def test_the_forest_has_the_trees_and_sees_the_columns_that_are_asked_for(
        self, settings: dict[str, object]
    ) -> None:
        other = run(9, ("Seed", 3), ("model_type", "rf"), *settings.items())

        assert [t.parameters for t in other.trials] != [t.parameters for t in forest().trials]

    @pytest.mark.slow
    def test_input_warping_makes_a_difference_once_there_are_trials_to_learn_it_from(self) -> None:
        straight, warped = run(24, ("Seed", 3)), run(24, ("Seed", 3), ("input_warping", "yes"))

        differ = [a.parameters != b.parameters for a, b in zip(straight.trials, warped.trials, strict=True)]
        assert differ.index(True) == 20

    def test_the_burn_in_is_quasi_random_and_begins_at_the_centre(self) -> None:
        space = [parameter(f"x{i}", DOUBLE, 0, 1) for i in range(2)]
        manager = MiniManager(BayesianOptimization(), study(space, ("burn_in", 65), ("MaxParallel", 0), max_trials=65))

        points = [[float(v) for v in point] for point in values(manager.ask())]

        assert points[0] == [0.5, 0.5]
        # A net in base 2: of 64 points each eighth of each side has eight, each of 64 squares one.
        cells = {(int(8 * x), int(8 * y)) for x, y in points[1:]}
        assert len(cells) == 64

    def test_a_study_that_nothing_would_end_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="the search space is infinite"):
            check(BayesianOptimization(), study(INFINITE))


class TestATrap:
    @pytest.mark.slow
    def test_a_local_optimum_is_left_once_it_is_known_well(self) -> None:
        """Two wells; the first trials see the wide one, the deep one is narrow."""

        def wells(trial: Trial) -> tuple[TrialState, float | None]:
            x, y = (float(p.value) for p in trial.parameters)
            wide = 0.6 * math.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / 0.08)
            deep = math.exp(-((x - 0.85) ** 2 + (y - 0.8) ** 2) / 0.02)
            return TrialState.COMPLETED, 1 - max(wide, deep)

        space = [parameter(n, DOUBLE, 0, 1) for n in "xy"]
        manager = MiniManager(
            BayesianOptimization(),
            study(space, ("SuggestionNum", 60), ("MaxParallel", 1), ("Seed", 2)),
            outcome=wells,
        )
        manager.run()

        assert best(manager) < 0.05
        points = {tuple(round(float(p.value), 3) for p in t.parameters) for t in manager.trials}
        assert len(points) > 50


class TestManyAtOnce:
    @pytest.mark.long
    def test_more_than_a_portion_comes_in_portions(self) -> None:
        manager = run(5)
        manager.spec = study(BOWL, ("SuggestionNum", 1000), ("MaxParallel", 0), ("burn_in", 1000))

        assert [len(manager.ask().suggestions) for _ in range(2)] == [PORTION, PORTION]
        assert len({t.parameters for t in manager.trials}) == len(manager.trials)

    @pytest.mark.long
    def test_the_more_candidates_there_are_the_fewer_come_at_once(self) -> None:
        manager = run(5)
        manager.spec = study(BOWL, ("SuggestionNum", 1000), ("MaxParallel", 0), ("burn_in", 1000), ("N", 10 * 1024))

        assert len(manager.ask().suggestions) == PORTION // 10

    @pytest.mark.long
    def test_a_batch_is_spread_and_not_piled_up_at_the_most_promising_point(self) -> None:
        manager = run(16, ("Seed", 2))
        manager.spec = study(BOWL, ("SuggestionNum", 100), ("MaxParallel", 8), ("Seed", 2))
        space = SearchSpace.of(BOWL)

        points = np.array([space.to_unit(s.parameters) for s in manager.ask().suggestions])

        apart = np.abs(points[:, None] - points).max(axis=-1) + np.eye(8)
        assert apart.min() > 0.005

    @pytest.mark.long
    def test_what_runs_is_not_tried_again(self) -> None:
        manager = run(16, ("Seed", 2))
        manager.spec = study(BOWL, ("SuggestionNum", 100), ("MaxParallel", 4), ("Seed", 2))
        first = values(manager.ask())
        manager.spec = study(BOWL, ("SuggestionNum", 100), ("MaxParallel", 8), ("Seed", 2))

        second = values(manager.ask())

        assert len(first) == len(second) == 4
        assert not set(first) & set(second)


class TestFailures:
    @pytest.mark.slow
    def test_random_failures_cost_little(self) -> None:
        def flaky(trial: Trial) -> tuple[TrialState, float | None]:
            return (TrialState.ERROR, None) if trial.number % 4 == 0 else bowl(trial)

        manager = MiniManager(
            BayesianOptimization(),
            study(BOWL, ("SuggestionNum", 40), ("MaxParallel", 1), ("Seed", 1)),
            outcome=flaky,
        )
        manager.run()

        assert best(manager) < 0.1

    def test_a_study_of_which_every_trial_fails_goes_on(self) -> None:
        manager = MiniManager(
            BayesianOptimization(),
            study(BOWL, ("SuggestionNum", 25), ("MaxParallel", 1)),
            outcome=lambda t: (TrialState.COMPLETED, math.nan),
        )
        manager.run()

        assert len({t.parameters for t in manager.trials}) == 25

    @pytest.mark.long
    def test_a_stopped_trial_counts_with_its_last_value_and_one_without_says_nothing(self) -> None:
        manager = run(12, ("Seed", 1))
        call = [replace(t, state=TrialState.KILLED) if t.number == 7 else t for t in manager.trials]
        manager.spec = study(BOWL, ("SuggestionNum", 100), ("MaxParallel", 1), ("Seed", 1))
        whole = values(replace(manager, trials=list(manager.trials)).ask())

        assert values(replace(manager, trials=call).ask()) == whole
        silent = [replace(t, objective=None) if t.number == 7 else t for t in call]
        assert values(replace(manager, trials=silent).ask()) != whole


class TestLongHistories:
    def history(self, count: int) -> list[Trial]:
        space = SearchSpace.of(BOWL)
        rng = np.random.default_rng(0)
        trials = []
        for number in range(1, count + 1):
            trial = Trial(
                f"b{number:015x}",
                "s",
                number,
                1,
                TrialState.RUNNING,
                space.from_unit(rng.random(4).tolist()),
                NOW,
                revision=0,
            )
            state, objective = bowl(trial)
            trials.append(replace(trial, state=state, objective=objective))
        return trials

    @pytest.mark.long
    def test_a_part_of_it_is_enough_to_find_better_points(self) -> None:
        manager = MiniManager(
            BayesianOptimization(), study(BOWL, ("MaxParallel", 1), ("Seed", 1), max_trials=10_000), outcome=bowl
        )
        manager.trials = self.history(1500)
        before = best(manager)
        for _ in range(5):
            manager.ask()
            manager.finish()

        assert best(manager) < before / 5

    @pytest.mark.slow
    def test_the_time_of_a_suggestion_hardly_grows_with_it(self) -> None:
        """On an idle machine 0.1 and 0.4 seconds; measured in processor time, with a wide margin."""
        spec = study(BOWL, ("MaxParallel", 1), ("Seed", 1), max_trials=10_000)
        took = {}
        for count in (100, 5000):
            manager = MiniManager(BayesianOptimization(), spec, trials=self.history(count))
            begin = time.process_time()
            manager.ask()
            took[count] = time.process_time() - begin

        assert took[5000] < 10 * took[100] + 1

    def test_the_part_holds_the_best_the_nearest_and_some_of_the_rest(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.random((1000, 3))
        y = np.asarray(((x - 0.5) ** 2).sum(axis=1), dtype=np.float64)
        best_ones = set(np.argsort(y)[:30])

        near = near_and_spread(x, y, 90, rng)
        spread = best_and_spread(y, 90, rng)

        for part in (near, spread):
            assert len(set(part)) == 90
            assert best_ones <= set(part)
        distances = ((x - x[np.argmin(y)]) ** 2).sum(axis=1)
        others = set(range(1000)) - best_ones
        assert set(sorted(others, key=lambda i: distances[i])[:30]) <= set(near)
        assert y[near].max() > np.quantile(y, 0.9)
        assert (best_and_spread(y[:50], 90, rng) == np.arange(50)).all()
