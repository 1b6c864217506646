"""CMA-ES: a normal distribution that moves, grows and turns with the best of each generation of trials."""

from typing import Final

from katib.domain.settings import Options, choice, real, whole
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request, Suggestion
from katib.suggestion.ends import check_ends
from katib.suggestion.randomness import SEED, study_seed
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

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
    history = History.FINALS
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, SIZE, STEP, RESTARTS))

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def suggest(self, request: Request) -> Reply:
        # Here, not above: numerics take time to import, and a service that nobody asks needs none of them.
        from katib.suggestion.cmaes.drawing import Drawing
        from katib.suggestion.cmaes.runs import Runs, Style, memory
        from katib.suggestion.seen import seen

        problem = request.problem
        values = problem.values
        objective = problem.spec.optimization
        before = seen(request.study_id, problem.spec.parameters)
        taken = before.past(request.finished, request.unfinished, objective).taken
        seed = study_seed(values, request.study_id)
        style = Style(values[SIZE], values[STEP], values[RESTARTS])
        known = memory(request.study_id, problem.spec.parameters, objective)
        runs = Runs(known, (*request.finished, *request.unfinished), seed, style)
        drawing = Drawing(before.cells, runs.position(), taken, seed)
        suggestions: list[Suggestion] = []
        while len(suggestions) < request.count and not taken.everything:
            row, tags = drawing.next_row(request.first_number + len(suggestions))
            suggestions.append(Suggestion(before.encoding.parameters(row), tags))
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions))
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)
