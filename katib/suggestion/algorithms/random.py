"""Random search: independent draws, uniform on each parameter's scale; of finitely many points each once."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from katib.domain.search_space import Parameter, ParameterConfig, SearchSpace
from katib.domain.settings import Options
from katib.suggestion.base import Problem, Request
from katib.suggestion.ends import check_ends
from katib.suggestion.numbered import NumberedSearch, Points
from katib.suggestion.randomness import SEED, Permutation, study_seed, uniforms
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

# So many draws of a finite space keep to the shares of its values; the points that are left then are taken in any order.
DRAWS: Final = 10_000


class RandomSearch(NumberedSearch):
    """Trial n is draw n from the unit cube, which only the seed and n determine.

    Where at least one parameter is a continuum, no point comes twice (the probability is zero). A finite space is drawn
    without replacement: see `WithoutReplacement`.
    """

    name = "random"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED))

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def points(self, request: Request) -> Points:
        problem = request.problem
        space = problem.space
        seed = study_seed(problem.values, request.study_id)
        if space.cardinality is None:
            return Points(None, lambda index: space.from_unit(uniforms(seed, index + 1, len(space))))
        if all(d.equal_shares for d in space):
            order = Permutation(space.cardinality, seed)
            return Points(space.cardinality, lambda index: space.at(order[index]))
        return Points(space.cardinality, _without_replacement(seed, problem.spec.parameters).at)


class WithoutReplacement:
    """Every point of a finite space once, in an order that only the seed determines, where they are not all as likely as each
    other, or are drawn in an order that counts: `draw(n)` is draw number n, from 1 on, a point of the unit cube.

    First come the points of DRAWS draws, those left out that came before; then all others in random order. What was drawn is
    remembered, for speed alone.
    """

    def __init__(self, seed: int, space: SearchSpace, draw: Callable[[int], Sequence[float]] | None = None) -> None:
        assert space.cardinality is not None
        self._space = space
        self._unit = draw or (lambda number: uniforms(seed, number, len(space)))
        self._lock = threading.Lock()
        self._draws = 0
        self._drawn: set[int] = set()
        self._order: list[int] = []
        self._permutation = Permutation(space.cardinality, seed)
        # For each drawn point in the order of its place in the permutation: how many that were not drawn stand before it.
        self._undrawn_before: list[int] = []

    def at(self, index: int) -> tuple[Parameter, ...]:
        with self._lock:
            self._draw(index + 1)
        if index < len(self._order):
            return self._space.at(self._order[index])
        rest = index - len(self._order)
        return self._space.at(self._permutation[rest + bisect_right(self._undrawn_before, rest)])

    def _draw(self, points: int) -> None:
        """Draws until there are `points` different ones, or the draws are used up."""
        while len(self._order) < points and self._draws < DRAWS:
            self._draws += 1
            point = self._space.index_of(self._space.from_unit(self._unit(self._draws)))
            if point not in self._drawn:
                self._drawn.add(point)
                self._order.append(point)
            if self._draws == DRAWS:
                places = sorted(map(self._permutation.index, self._order))
                self._undrawn_before = [place - i for i, place in enumerate(places)]


@lru_cache(maxsize=32)
def _without_replacement(seed: int, parameters: tuple[ParameterConfig, ...]) -> WithoutReplacement:
    return WithoutReplacement(seed, SearchSpace.of(parameters))
