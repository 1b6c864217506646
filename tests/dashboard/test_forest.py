"""The forest beside scikit-learn's, on targets whose truth is known."""

import random

import pytest
from sklearn.ensemble import RandomForestRegressor

from katib.dashboard import forest

WORDS = (False, False, False, True)


def rows(count: int, seed: int = 1) -> list[list[float]]:
    rng = random.Random(seed)
    return [[rng.random(), rng.random(), rng.random(), float(rng.randrange(4))] for _ in range(count)]


def target(row: list[float]) -> float:
    return 2 * abs(row[0] - 0.5) + 0.5 * row[1] + {0: 0.0, 1: 0.4, 2: 0.1, 3: 0.3}[int(row[3])]


class TestQuality:
    @pytest.mark.long
    @pytest.mark.parametrize("count", [60, 400])
    def test_it_predicts_what_it_has_not_seen_about_as_well_as_another_forest(self, count: int) -> None:
        points = rows(count)
        values = [target(row) for row in points]
        split = [row[:3] + [float(row[3] == word) for word in range(4)] for row in points]
        other = RandomForestRegressor(
            100, min_samples_leaf=2, max_features=0.7, bootstrap=True, oob_score=True, random_state=0
        ).fit(split, values)
        assert forest.fit(points, values, WORDS).quality > other.oob_score_ - 0.05

    def test_of_noise_it_explains_nothing(self) -> None:
        rng = random.Random(2)
        assert forest.fit(rows(300), [rng.random() for _ in range(300)], WORDS).quality < 0.1


class TestWeights:
    def test_the_share_of_a_column_is_its_share_of_the_variance(self) -> None:
        """For a sum of independent columns, shuffling one loses twice its variance."""
        points = rows(1000)
        found = forest.fit(points, [3 * row[0] + 2 * row[1] for row in points], WORDS).weights
        assert found[0] / found[1] == pytest.approx(9 / 4, rel=0.25)
        assert found[0] + found[1] == pytest.approx(2, rel=0.2)
        assert found[2] + found[3] < 0.02

    @pytest.mark.long
    def test_the_order_of_words_does_not_matter(self) -> None:
        points = rows(400)
        values = [target(row) for row in points]
        renamed = [[*row[:3], {0.0: 2.0, 1.0: 0.0, 2.0: 3.0, 3.0: 1.0}[row[3]]] for row in points]
        before, after = forest.fit(points, values, WORDS), forest.fit(renamed, values, WORDS)
        assert after.weights == pytest.approx(before.weights, abs=0.1)

    def test_the_same_trials_give_the_same_weights(self) -> None:
        points = rows(50)
        values = [target(row) for row in points]
        assert forest.fit(points, values, WORDS) == forest.fit(points, values, WORDS)

    def test_columns_that_never_change_weigh_nothing(self) -> None:
        points = [[0.5, row[1], 0.0, 1.0] for row in rows(40)]
        found = forest.fit(points, [row[1] for row in points], WORDS).weights
        assert found[0] == found[2] == found[3] == 0
        assert found[1] > 1
