"""Sobol search: a scrambled Sobol sequence, which fills the search space more evenly than independent draws do."""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.domain.settings import Options
from katib.suggestion.algorithms.random import WithoutReplacement
from katib.suggestion.base import Problem, Request
from katib.suggestion.ends import check_ends
from katib.suggestion.numbered import NumberedSearch, Points
from katib.suggestion.randomness import SEED, study_seed, uniforms
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

if TYPE_CHECKING:
    from scipy.stats import qmc

# A sequence is so long; its successor is scrambled anew. Skipping a whole one takes a fraction of a millisecond, so the cost of
# a point does not grow with its number.
LENGTH: Final = 2**14
# Of each coordinate: with more than 32 scipy 1.17 cannot skip points.
_BITS: Final = 30


class SobolSearch(NumberedSearch):
    """Trial n is point n of a sequence that only the seed determines.

    Its first 2^k points fill the unit cube evenly for each k up to 14. Where at least one parameter is a continuum no point
    comes twice; of finitely many points each comes once, in the order in which the sequence first meets them.
    """

    name = "sobol"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED))

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def points(self, request: Request) -> Points:
        problem = request.problem
        space = problem.space
        seed = study_seed(problem.values, request.study_id)
        if space.cardinality is not None:
            return Points(space.cardinality, _without_replacement(seed, problem.spec.parameters).at)
        cube = _cube(seed, len(space))
        return Points(None, lambda index: space.from_unit(cube.at(index)))


class Cube:
    """Scrambled Sobol sequences in the unit cube, one after the other: Owen's nested scrambling in the form of Matoušek (1998),
    as scipy has it. What was generated last is remembered, for speed alone."""

    def __init__(self, seed: int, columns: int) -> None:
        self._seed = seed
        self._columns = columns
        self._lock = threading.Lock()
        self._which = -1
        self._engine: qmc.Sobol | None = None

    def at(self, index: int) -> list[float]:
        which, place = divmod(index, LENGTH)
        with self._lock:
            if self._engine is None or which != self._which:
                self._engine, self._which = self._sequence(which), which
            if place < self._engine.num_generated:
                self._engine.reset()
            if place > self._engine.num_generated:
                self._engine.fast_forward(place - self._engine.num_generated)
            point: list[float] = self._engine.random(1)[0].tolist()
        # Anywhere in the cell that its bits leave open, so that those of different sequences do not coincide.
        within = uniforms(self._seed, index, self._columns)
        return [u + v * 2.0**-_BITS for u, v in zip(point, within, strict=True)]

    def _sequence(self, which: int) -> "qmc.Sobol":
        # Here, not above: they take a second to import, and a service that nobody asks needs none of it.
        import numpy as np
        from scipy.stats import qmc

        return qmc.Sobol(self._columns, bits=_BITS, rng=np.random.default_rng([self._seed, which]))


@lru_cache(maxsize=32)
def _cube(seed: int, columns: int) -> Cube:
    return Cube(seed, columns)


@lru_cache(maxsize=32)
def _without_replacement(seed: int, parameters: tuple[ParameterConfig, ...]) -> WithoutReplacement:
    space = SearchSpace.of(parameters)
    cube = _cube(seed, len(space))
    return WithoutReplacement(seed, space, lambda number: cube.at(number - 1))
