"""Algorithms that know from the start which parameters trial number n will have, whatever comes of the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from katib.domain.search_space import Parameter
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Reply, Request, Suggestion


@dataclass(frozen=True, slots=True)
class Points:
    """A study's points in the order in which they are tried: `at(0)` is trial number 1. `size` None: there is no last one."""

    size: int | None
    at: Callable[[int], tuple[Parameter, ...]]


class NumberedSearch(ABC):
    """Trial n is point n - 1 of a fixed order: nothing need be known of the trials before but how many there are."""

    history = History.NONE

    @abstractmethod
    def points(self, request: Request) -> Points: ...

    def suggest(self, request: Request) -> Reply:
        points = self.points(request)
        begin = request.first_number - 1
        end = begin + request.count
        if points.size is not None:
            end = min(end, points.size)
        suggestions = tuple(Suggestion(points.at(i)) for i in range(begin, end))
        if suggestions or request.unfinished_count:
            return Reply(suggestions)
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)
