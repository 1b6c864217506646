"""Algorithms that know from the start which parameters trial number n will have, whatever comes of the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Final

from katib.domain.search_space import Parameter, ParameterConfig, SearchSpace
from katib.domain.study import Setting, StudyReason
from katib.suggestion.base import History, Problem, Reply, Request, Suggestion
from katib.suggestion.places import Places
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

_OF_CALLS: Final = frozenset({MAX_PARALLEL.name, SUGGESTION_NUM.name})


@dataclass(frozen=True, slots=True)
class Points:
    """A study's points in the order in which they are tried: `at(0)` is trial number 1. `size` None: there is no last one."""

    size: int | None
    at: Callable[[int], tuple[Parameter, ...]]


class NumberedSearch(ABC):
    """Trial n is point n - 1 of a fixed order: nothing need be known of the trials before but how many there are.

    Where another algorithm has suggested some of them, finitely many points are left out as far as trials had them, and those
    whose numbers went to the others come last.
    """

    @property
    @abstractmethod
    def name(self) -> str: ...

    def history(self, problem: Problem, /) -> History:
        """For `points` that are as many as the search space has."""
        return History.NONE if problem.space.cardinality is None else History.OTHERS

    @abstractmethod
    def points(self, request: Request) -> Points:
        """By nothing but the study's id, its parameters and the algorithm's own settings: no limit, which may change."""

    def suggest(self, request: Request) -> Reply:
        points = self.points(request)
        suggestions = tuple(Suggestion(p) for p in islice(self._untried(points, request), request.count))
        if suggestions or request.unfinished_count:
            return Reply(suggestions)
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)

    def _untried(self, points: Points, request: Request) -> Iterator[tuple[Parameter, ...]]:
        begin = request.first_number - 1
        trials = (*request.finished, *request.unfinished)
        if points.size is None or not trials:
            end = begin + request.count if points.size is None else points.size
            yield from map(points.at, range(begin, end))
            return
        places = _places(self.name, request.study_id, request.problem.spec.parameters, _own(request.problem))
        taken = places.taken(trials)
        begin = min(begin, points.size)
        for index in chain(range(begin, points.size), range(begin)):
            if places.of_point(index, points.at) not in taken:
                yield points.at(index)


def _own(problem: Problem) -> tuple[Setting, ...]:
    """The settings that a study's order may depend on: the others change from call to call."""
    return tuple(s for s in problem.spec.settings if s.name not in _OF_CALLS)


@lru_cache(maxsize=32)
def _places(
    _name: str, _study_id: str, parameters: tuple[ParameterConfig, ...], _settings: tuple[Setting, ...]
) -> Places:
    return Places(SearchSpace.of(parameters))
