"""Algorithms that know from the start which parameters trial number n will have, whatever comes of the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Reply, Request, Suggestion


@dataclass(frozen=True, slots=True)
class Points:
    """A study's points in the order in which they are tried: `at(0)` is trial number 1. `size` None: there is no last one."""

    size: int | None
    at: Callable[[int], tuple[Parameter, ...]]


class NumberedSearch(ABC):
    """Trial n is point n - 1 of a fixed order: nothing need be known of the trials before but how many there are.

    Who knows of trials that another algorithm suggested can tell it all the same: of finitely many points, those that they had
    are then left out.
    """

    history = History.NONE

    @abstractmethod
    def points(self, request: Request) -> Points: ...

    def suggest(self, request: Request) -> Reply:
        points = self.points(request)
        suggestions = tuple(Suggestion(p) for p in islice(_from(points, request), request.count))
        if suggestions or request.unfinished_count:
            return Reply(suggestions)
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)


def _from(points: Points, request: Request) -> Iterator[tuple[Parameter, ...]]:
    begin = request.first_number - 1
    trials = (*request.finished, *request.unfinished)
    if points.size is None or not trials:
        end = begin + request.count if points.size is None else points.size
        yield from map(points.at, range(begin, end))
        return
    space = request.problem.space
    taken = {_place(space, trial.parameters) for trial in trials}
    begin = min(begin, points.size)
    for point in map(points.at, chain(range(begin, points.size), range(begin))):
        if _place(space, point) not in taken:
            yield point


def _place(space: SearchSpace, parameters: Sequence[Parameter]) -> tuple[float, ...] | None:
    """The same for the same values, however they are written; None: they are not of this space."""
    values = {p.name: p.value for p in parameters}
    if not all(d.name in values and d.contains(values[d.name]) for d in space):
        return None
    return tuple(space.to_unit(parameters))
