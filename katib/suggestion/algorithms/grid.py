"""Grid search: every combination of some values of each parameter, the last parameter varying fastest."""

from typing import Final

from katib.domain.dimensions import Dimension, Spread
from katib.domain.errors import InvalidArgumentError, violation
from katib.domain.search_space import Parameter
from katib.domain.settings import Options, Values, whole
from katib.suggestion.base import SETTINGS_PATH, History, Problem, Request
from katib.suggestion.numbered import NumberedSearch, Points
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

DEFAULT_GRID: Final = whole(
    "DefaultGrid",
    None,
    "Points of each parameter that has no setting of its own.",
    least=1,
    default_text="every value of a list, an INT or a DOUBLE with a step",
)
POINTS: Final = whole(
    "the name of a parameter",
    None,
    "Points of that parameter: evenly on its scale or over its list, both ends included; one point is the minimum or the "
    "first of the list.",
    least=1,
    default_text="DefaultGrid",
)


class GridSearch(NumberedSearch):
    """The combinations are never held: number n's are computed from n, so a grid of any size costs nothing."""

    name = "grid"
    # It throws no dice; who changes a study's algorithm may leave the seed where it is.
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, DEFAULT_GRID), per_parameter=POINTS)

    def check(self, problem: Problem) -> None:
        endless = [d.name for d in problem.space if _points(d, problem.values) is None]
        if endless:
            raise InvalidArgumentError(
                violation(
                    SETTINGS_PATH,
                    "",
                    f"expected a setting {name} or DefaultGrid that says how many points to try, or a step: {name} has "
                    "infinitely many values",
                )
                for name in endless
            )

    def history(self, _problem: Problem, /) -> History:
        return History.OTHERS

    def points(self, request: Request) -> Points:
        values = request.problem.values
        axes = [(d, d.spread(_points(d, values) or 1)) for d in request.problem.space]
        size = 1
        for _, spread in axes:
            size *= len(spread)
        return Points(size, lambda index: _combination(axes, index))


def _points(dimension: Dimension, values: Values) -> int | None:
    """How many points to try of a parameter; None: nothing says it."""
    return values.of_parameter(dimension.name, POINTS) or values[DEFAULT_GRID] or dimension.cardinality


def _combination(axes: list[tuple[Dimension, Spread]], index: int) -> tuple[Parameter, ...]:
    parameters = []
    for dimension, values in reversed(axes):
        index, digit = divmod(index, len(values))
        parameters.append(dimension.parameter(values[digit]))
    return tuple(reversed(parameters))
