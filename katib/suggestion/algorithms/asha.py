"""ASHA: successive halving that never waits for a rung. Whatever is among the best of its rung so far goes on.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A system for massively parallel hyperparameter
tuning", Proceedings of Machine Learning and Systems 2 (2020), algorithm 2.
"""

import math
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import Final

from katib.domain.search_space import Parameter
from katib.domain.settings import Options, whole
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request
from katib.suggestion.ends import check_ends
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.rungs import resource as settings
from katib.suggestion.rungs.board import Board, Mark, Tags
from katib.suggestion.rungs.brackets import size
from katib.suggestion.rungs.configurations import MODEL, Configurations
from katib.suggestion.rungs.resource import Resource, refusal

TAGS: Final = Tags.of("ASHA")
BRACKETS: Final = whole(
    "Brackets",
    1,
    "Brackets side by side: in each one more rung is left out below, and the share of new configurations is Hyperband's.",
    least=1,
)


class Asha:
    """Where a rung has n finished trials, each of its best n / Eta goes on as soon as a slot is free; where nobody may, a new
    configuration begins. Trials that failed or were stopped count among the n, and never go on. It goes on until the study
    ends, or all of finitely many configurations have come as far as they may."""

    name = "asha"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, *settings.OPTIONS, MODEL, BRACKETS))

    def check(self, problem: Problem) -> None:
        resource = Resource.of(problem)
        most = len(amounts(resource))
        if problem.values[BRACKETS] > most:
            raise refusal(
                problem,
                BRACKETS,
                f"expected at most {most} for Brackets: there are no more rungs from MinResource to R",
            )
        check_ends(problem, resource.rest)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        values = request.problem.values
        resource = Resource.of(request.problem)
        board = Board(TAGS, resource, request)
        configurations = Configurations(resource, request)
        rungs = amounts(resource)
        promotions = deque(_promotions(board, resource, len(rungs)))
        last = len(rungs) - 1
        shares = list(accumulate(size(resource.eta, last, last - b) for b in range(values[BRACKETS])))
        suggestions = []
        for number in range(request.first_number, request.first_number + request.count):
            if promotions:
                configuration, mark = promotions.popleft()
                configurations.expect(configuration)
                suggestions.append(board.suggestion(configuration, mark, rungs[mark.rung]))
                continue
            new = configurations.next(number)
            if new is None:
                break
            bracket = bisect_right(shares, configurations.dice(number)[0] * shares[-1])
            suggestions.append(board.suggestion(new, Mark(str(number), bracket, bracket), rungs[bracket]))
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions))
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)


def amounts(resource: Resource) -> list[str]:
    """The resource of each rung: r * eta^k of the paper, and for the last one R itself, which is a power of eta as often as
    not. Rungs whose resource is one value of the parameter are one."""
    exact = [resource.least * resource.eta**k for k in range(resource.steps)] + [resource.most]
    return list(dict.fromkeys(map(resource.value, exact)))


def _promotions(board: Board, resource: Resource, count: int) -> list[tuple[tuple[Parameter, ...], Mark]]:
    """Whoever may go on now, from the highest rung downwards."""
    found = []
    for (bracket, rung), members in sorted(board.rungs(), key=lambda item: (-item[0][1], item[0][0])):
        if not 0 <= rung < count - 1:
            continue
        finished = {c: m for c, m in members.items() if m.finished}
        above = board.rung(bracket, rung + 1)
        for configuration, parameters in board.rising(finished, math.floor(len(finished) / resource.eta), above):
            found.append((parameters, Mark(configuration, bracket, rung + 1)))
    return found
