"""Hyperband: many configurations with little of a resource, few of them with much; in brackets that weigh this differently."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from katib.domain.search_space import Parameter
from katib.domain.settings import Options
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.rungs import resource as settings
from katib.suggestion.rungs.board import Board, Mark, Tags
from katib.suggestion.rungs.brackets import Bracket, brackets
from katib.suggestion.rungs.configurations import MODEL, Configurations
from katib.suggestion.rungs.resource import Resource

TAGS: Final = Tags.of("HyperBand")
_ONE_RUNG: Final = (
    "R is less than Eta times MinResource, so the sweep is one trial: a greater R, or a smaller MinResource or "
    "Eta, makes it more"
)


class Hyperband:
    """One sweep over the brackets, exactly as Li et al. have it, then the study is done.

    A rung is complete when all its trials have finished, in whatever way; the best of those that came to a number go on. While
    a rung is waited for, the next brackets begin, so that all slots of the study are used.
    """

    name = "hyperband"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, *settings.OPTIONS, MODEL))

    def check(self, problem: Problem) -> None:
        Resource.of(problem)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        resource = Resource.of(request.problem)
        board = Board(TAGS, resource, request)
        configurations = Configurations(resource, request)
        sweep = [_progress(b, board, configurations.exhausted) for b in brackets(resource)]
        promotions = deque(p for progress in sweep for p in progress.promotions)
        vacancies = deque(progress for progress in sweep if progress.vacant)
        suggestions = []
        for number in range(request.first_number, request.first_number + request.count):
            if promotions:
                step = promotions.popleft()
                configurations.expect(step.configuration)
                suggestions.append(board.suggestion(step.configuration, step.mark, step.value))
                continue
            new = configurations.next(number) if vacancies else None
            if new is None:
                break
            progress = vacancies[0]
            first = progress.bracket.rungs[0]
            suggestions.append(board.suggestion(new, Mark(str(number), progress.bracket.s, first.index), first.value))
            progress.vacant -= 1
            if not progress.vacant:
                vacancies.popleft()
        note = "" if resource.steps else _ONE_RUNG
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions), note=note)
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED if vacancies else StudyReason.SWEPT, note=note)


@dataclass(frozen=True, slots=True)
class _Promotion:
    configuration: tuple[Parameter, ...]
    mark: Mark
    value: str


@dataclass(slots=True)
class _Progress:
    """How far a bracket is: configurations that its first rung has room for, and what may go on now."""

    bracket: Bracket
    vacant: int
    promotions: list[_Promotion]


def _progress(bracket: Bracket, board: Board, exhausted: bool) -> _Progress:
    """`exhausted`: there are no new configurations, so a first rung that is not full stays so."""
    rung = board.rung(bracket.s, bracket.rungs[0].index)
    vacant = max(0, bracket.size - len(rung))
    size = len(rung) if exhausted else None
    if vacant and not (exhausted and rung):
        return _Progress(bracket, vacant, [])
    for following in bracket.rungs[1:]:
        if not all(m.finished for m in rung.values()):
            break
        above = board.rung(bracket.s, following.index)
        rising = board.rising(rung, bracket.count(following.index, size), above)
        if rising:
            promotions = [_Promotion(p, Mark(c, bracket.s, following.index), following.value) for c, p in rising]
            return _Progress(bracket, vacant, promotions)
        rung = above
    return _Progress(bracket, vacant, [])
