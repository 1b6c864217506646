"""CMA-ES: a normal distribution that moves, grows and turns with the best of each generation of trials."""

from typing import TYPE_CHECKING, Final

from katib.domain.settings import Options, choice, real, whole
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request, Suggestion
from katib.suggestion.ends import check_ends
from katib.suggestion.randomness import SEED, study_seed
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

if TYPE_CHECKING:
    from katib.suggestion.cmaes.runs import Position

SIZE: Final = whole(
    "popsize",
    None,
    "Trials of a generation.",
    least=3,
    most=1000,
    default_text="4 + 1.5 ln of the number of parameters, rounded down",
)
STEP: Final = real(
    "sigma",
    0.17,
    "The deviation of the first generation, in widths of a parameter's range.",
    least=1e-5,
    most=1.0,
)
RESTARTS: Final = choice(
    "restart_strategy",
    "ipop",
    ("none", "ipop", "bipop"),
    "What follows when the distribution has shrunk to a point: nothing else, larger generations from elsewhere, or by turns "
    "larger and smaller ones.",
)


class CmaEs:
    """The distribution is told anew at each call from the tags and objectives of the trials."""

    name = "cmaes"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, SIZE, STEP, RESTARTS))

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        # Here, not above: numerics take time to import, and a service that nobody asks needs none of them.
        from katib.suggestion.cmaes.drawing import Drawing
        from katib.suggestion.seen import seen

        problem = request.problem
        before = seen(request.study_id, problem.spec.parameters)
        taken = before.past(request.finished, request.unfinished, problem.spec.optimization).taken
        drawing = Drawing(before.cells, _position(request), taken, study_seed(problem.values, request.study_id))
        suggestions: list[Suggestion] = []
        while len(suggestions) < request.count and not taken.everything:
            row, tags = drawing.next_row(request.first_number + len(suggestions))
            suggestions.append(Suggestion(before.encoding.parameters(row), tags))
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions))
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)


def restarts(request: Request) -> int:
    """How many runs have come to their end."""
    return _position(request).run


def _position(request: Request) -> "Position":
    from katib.suggestion.cmaes.runs import Runs, Style, memory

    problem = request.problem
    values = problem.values
    style = Style(values[SIZE], values[STEP], values[RESTARTS])
    known = memory(request.study_id, problem.spec.parameters, problem.spec.optimization)
    seed = study_seed(values, request.study_id)
    return Runs(known, (*request.finished, *request.unfinished), seed, style).position()
