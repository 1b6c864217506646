"""The factor at the ends of the ranges, and what becomes of a search by it."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.gp.edges import LEAST, MANY, WIDTH, Edges
from tests.suggestion.gp.spaces import CUBE, MIXED, encoding_of
from tests.suggestion.studies import DOUBLE, INT, MiniManager, parameter, study


class TestFactor:
    def test_it_is_one_inside_and_least_where_ranges_end(self) -> None:
        x = np.array([[0.5, 0.5, 0.5], [WIDTH, 1 - WIDTH, 0.3], [0.0, 0.5, 0.5], [0.5, 1.0, 0.0]])

        factors = np.exp(Edges(encoding_of(CUBE)).slopes(x)[0])

        assert factors == pytest.approx([1, 1, LEAST, LEAST**2])

    def test_its_slopes_are_those_of_differences(self) -> None:
        edges = Edges(encoding_of(CUBE))
        x = np.random.default_rng(0).choice([0.01, 0.05, 0.4, 0.6, 0.97, 0.99], (40, 3))

        differences = np.empty_like(x)
        for i in range(3):
            step = 1e-6 * np.eye(3)[i]
            differences[:, i] = (edges.slopes(x + step)[0] - edges.slopes(x - step)[0]) / 2e-6

        assert edges.slopes(x)[1] == pytest.approx(differences, rel=1e-4)

    def test_of_few_values_the_ends_are_like_others(self) -> None:
        few, many = (encoding_of([parameter("n", INT, 1, count)]) for count in (MANY - 1, MANY))
        ends = np.array([[0.0], [1.0]])

        assert Edges(few).slopes(ends)[0] == pytest.approx([0, 0])
        assert np.exp(Edges(many).slopes(ends)[0]) == pytest.approx([LEAST, LEAST])

    def test_categories_and_short_lists_have_none(self) -> None:
        encoding = encoding_of(MIXED)  # two numbers without steps, a few layers, a list, a category

        value, slopes = Edges(encoding).slopes(np.array([[0.5, 0.5, 0.0, 1.0, 2.0]]))

        assert value == pytest.approx([0])
        assert slopes.shape == (1, len(encoding.numeric))


def _searched(trials: int, seed: int, objective: Callable[[list[float]], float]) -> list[list[float]]:
    """The points of five numbers from 0 to 1 that a search tries."""

    def outcome(trial: Trial) -> tuple[TrialState, float | None]:
        return TrialState.COMPLETED, objective([float(p.value) for p in trial.parameters])

    space = [parameter(f"x{i}", DOUBLE, 0, 1) for i in range(5)]
    settings = (("SuggestionNum", trials), ("MaxParallel", 1), ("Seed", seed))
    manager = MiniManager(BayesianOptimization(), study(space, *settings), outcome=outcome)
    manager.run()
    return [[float(p.value) for p in t.parameters] for t in manager.trials]


class TestSearch:
    @pytest.mark.long
    def test_a_slope_is_followed_to_the_very_corner(self) -> None:
        points = _searched(25, 0, sum)

        assert min(map(sum, points)) == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [0, 1])
    def test_what_nobody_knows_anything_about_is_not_looked_for_in_the_corners(self, seed: int) -> None:
        def well(x: list[float]) -> float:
            return 1 - math.exp(-sum((v - 0.6) ** 2 for v in x) / 0.3)

        points = _searched(50, seed, well)

        ends = [sum(v in {0, 1} for v in point) for point in points[20:]]
        assert sum(ends) / (5 * len(ends)) < 0.1
