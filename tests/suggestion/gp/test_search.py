"""The search for the greatest acquisition, on landscapes whose maximum is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from katib.domain.search_space import ParameterConfig
from katib.suggestion.gp import search
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.search import Region, best_row, neighbours
from tests.suggestion.gp.spaces import MIXED, encoding_of
from tests.suggestion.studies import CATEGORICAL, DOUBLE, INFINITE, INT, parameter

CHOICES = (
    *(parameter(f"c{i}", CATEGORICAL, values="abcdefg") for i in range(4)),
    *(parameter(f"n{i}", INT, 1, 40) for i in range(3)),
)
NUMBERS = tuple(parameter(f"x{i}", DOUBLE, 0, 1) for i in range(6))


@dataclass
class Hill:
    """Highest at `top`, with ripples that a gradient gets caught in; a wrong category costs as much as half of a range."""

    encoding: Encoding
    top: Floats
    smooth: bool = True
    seen: int = 0

    def values(self, x: Floats) -> Floats:
        self.seen += len(x)
        off = x - self.top
        off[:, self.encoding.categorical] = 0.5 * (off[:, self.encoding.categorical] != 0)
        return np.asarray(-(off**2).sum(axis=1) - 0.01 * (1 - np.cos(40 * off)).sum(axis=1), dtype=np.float64)

    def slopes(self, x: Floats) -> tuple[Floats, Floats] | None:
        if not self.smooth:
            return None
        off = (x - self.top)[:, self.encoding.numeric]
        return self.values(x), -2 * off - 0.4 * np.sin(40 * off)


def find(space: Sequence[ParameterConfig], seed: int, smooth: bool = True, taken: int = 0) -> tuple[Floats, Floats]:
    encoding = encoding_of(space)
    rng = np.random.default_rng(seed)
    top = encoding.from_cube(rng.random((1, len(encoding))))[0]
    hill = Hill(encoding, top, smooth)
    avoid = {encoding.key(row) for row in [top, *neighbours(encoding, top)][:taken]}
    found = best_row(encoding, hill, Region.whole(encoding), np.empty((0, len(encoding))), avoid, rng)
    assert found is not None
    assert encoding.key(found) not in avoid
    return found, top


class TestBestRow:
    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("space", [CHOICES, NUMBERS, MIXED, INFINITE], ids=["choices", "numbers", "mixed", "all"])
    def test_it_climbs_to_the_top_in_every_kind_of_space(self, space: Sequence[ParameterConfig], seed: int) -> None:
        found, top = find(space, seed)

        assert np.abs(found - top).max() < 0.17, (found, top)  # the next ripple is 0.157 away

    @pytest.mark.parametrize("seed", range(3))
    def test_without_slopes_it_climbs_by_steps(self, seed: int) -> None:
        found, top = find(CHOICES, seed, smooth=False)

        assert (found == top).all()

    @pytest.mark.parametrize("taken", [1, 3, 20])
    def test_what_is_taken_is_passed_over_for_the_next_best(self, taken: int) -> None:
        found, top = find(CHOICES, 0, taken=taken)

        assert 0 < (found != top).sum() <= 2

    def test_a_region_bounds_the_numbers(self) -> None:
        encoding = encoding_of(NUMBERS)
        region = Region(np.full(6, 0.2), np.full(6, 0.4))
        hill = Hill(encoding, np.full(6, 0.9))

        found = best_row(encoding, hill, region, np.full((1, 6), 0.3), set(), np.random.default_rng(0))

        assert found is not None
        assert found == pytest.approx(np.full(6, 0.4))

    def test_a_hopeless_search_says_so(self) -> None:
        encoding = encoding_of((parameter("a", CATEGORICAL, values="ab"), parameter("b", CATEGORICAL, values="ab")))
        every = {encoding.key(row) for row in encoding.every_row()}

        found = best_row(encoding, Hill(encoding, np.zeros(2)), Region.whole(encoding), np.zeros((1, 2)), every, _rng())

        assert found is None


class TestNeighbours:
    def test_they_differ_in_one_parameter_and_are_points_of_the_space(self) -> None:
        encoding = encoding_of(INFINITE)
        row = encoding.from_cube(np.full((1, len(encoding)), 0.5))[0]

        around = neighbours(encoding, row)

        assert ((around != row).sum(axis=1) == 1).all()
        assert (encoding.snap(around) == around).all()
        assert set(np.nonzero(around != row)[1]) == set(encoding.stepped) | set(encoding.categorical)

    def test_of_very_many_categories_some_are_tried(self) -> None:
        encoding = encoding_of((parameter("c", CATEGORICAL, values=[str(i) for i in range(1000)]),))

        around = neighbours(encoding, np.array([7.0]))

        assert 10 < len(around) <= 30


class TestCandidates:
    def test_they_cover_the_space_and_crowd_around_the_incumbents(self) -> None:
        encoding = encoding_of(NUMBERS)
        incumbent = np.full((1, 6), 0.25)

        pool = search.candidates(encoding, Region.whole(encoding), incumbent, _rng())

        assert np.abs(np.sort(pool[: search.SPREAD, 0]) - np.linspace(0, 1, search.SPREAD)).max() < 0.01
        near = np.abs(pool[search.SPREAD :] - incumbent).max(axis=1)
        assert np.median(near) < 0.2
        assert (near > 0).all()


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
