"""Halton sequences: points that fill the space more evenly than random ones, and from the first one on."""

from functools import lru_cache

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.domain.settings import Options
from katib.suggestion.algorithms.random import WithoutReplacement
from katib.suggestion.base import Problem, Request
from katib.suggestion.ends import check_ends
from katib.suggestion.numbered import NumberedSearch, Points
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM


class Halton(NumberedSearch):
    """Trial n is the n-th point, whatever became of the others."""

    name = "halton"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL))

    def check(self, problem: Problem) -> None:
        """Refuses a study that nothing would end."""
        check_ends(problem)

    def points(self, request: Request) -> Points:
        problem = request.problem
        size = problem.space.cardinality
        if size is None:
            return Points(None, lambda index: problem.space.from_unit(coordinates(index + 1, len(problem.space))))
        return Points(size, each_once(problem.spec.parameters).at)


@lru_cache(maxsize=32)
def each_once(parameters: tuple[ParameterConfig, ...]) -> WithoutReplacement:
    """Of finitely many points each comes once, in the order in which the sequence first meets them."""
    space = SearchSpace.of(parameters)
    return WithoutReplacement(0, space, lambda number: coordinates(number, len(space)))


def coordinates(number: int, count: int) -> list[float]:
    """Of point `number`, from 1 on. Each parameter counts in a base of its own: the prime numbers."""
    return [mirrored(number, base) for base in primes(count)]


def mirrored(number: int, base: int) -> float:
    """The digits of `number`, mirrored at the point: 6 is 110 in base 2, and becomes 0.011."""
    value, place = 0.0, 1.0
    while number:
        place /= base
        number, digit = divmod(number, base)
        value += digit * place
    return value


def primes(count: int) -> list[int]:
    """The first ones."""
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found
