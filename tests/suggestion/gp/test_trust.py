"""The box in which a model of many parameters is trusted."""

import numpy as np
import pytest

from katib.suggestion.gp import trust
from tests.suggestion.gp.spaces import MIXED, encoding_of


class TestSide:
    def test_it_grows_with_success_and_shrinks_without(self) -> None:
        better = np.linspace(3, 0, 4)

        assert trust.side(np.empty(0), 30) == trust.FIRST
        assert trust.side(better, 30) == 2 * trust.FIRST
        assert trust.side(np.concatenate([better, np.full(7, 1.0)]), 30) == trust.FIRST
        assert trust.side(np.concatenate([better, np.full(14, 1.0)]), 30) == trust.FIRST / 2

    def test_where_nothing_gets_better_it_starts_anew(self) -> None:
        sides = [trust.side(np.ones(n), 30) for n in range(1, 80)]

        assert min(sides) == pytest.approx(trust.FIRST / 2**5)
        assert sides[sides.index(min(sides)) :].count(trust.FIRST) > 0


class TestRegion:
    def test_it_is_longer_where_the_objective_changes_slowly_and_keeps_all_categories(self) -> None:
        encoding = encoding_of(MIXED)
        centre = np.array([0.5, 0.9, 0.4, 0.5, 2.0])

        region = trust.region(encoding, centre, np.array([1.0, -1.0, 0.0, 0.0, 0.0]), 0.2)

        width = region.high - region.low
        assert width[0] > width[2] > 0.15
        assert (region.low[1], region.high[1]) == (pytest.approx(0.9 - 0.1 / np.e), pytest.approx(0.9 + 0.1 / np.e))
        assert (region.low[4], region.high[4]) == (0, 1)
        assert region.high.max() <= 1
