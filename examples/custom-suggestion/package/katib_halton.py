"""Halton sequences: points that fill the space more evenly than random ones, and from the first one on."""

from katib.domain.search_space import Parameter
from katib.domain.settings import Options
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
        """Each parameter counts in a base of its own: the prime numbers."""
        space = request.problem.space
        bases = primes(len(space))

        def point(index: int) -> tuple[Parameter, ...]:
            return space.from_unit([mirrored(index + 1, base) for base in bases])

        return Points(None, point)


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
