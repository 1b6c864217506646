"""Tree-structured Parzen estimator: two densities, of the good trials and of the others; the next trial is where their ratio
is greatest."""

from typing import Final

from katib.domain.settings import Options, real, whole
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request, Suggestion
from katib.suggestion.ends import check_ends
from katib.suggestion.randomness import SEED, study_seed
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

BURN_IN: Final = whole("burn_in", 8, "Trials with an objective before the model takes over.", least=1, most=10_000)
GAMMA: Final = real(
    "gamma", 0.15, "The share of the trials that count as good, 25 of them at most.", above=0.0, most=0.5
)
PRIOR: Final = real(
    "prior_weight",
    1.0,
    "The weight of the uniform distribution in either density, in trials: the more, the further it looks around.",
    above=0.0,
    most=100.0,
)
CANDIDATES: Final = whole(
    "n_EI_candidates",
    48,
    "Points drawn from the density of the good trials, of which the one with the greatest ratio is tried.",
    least=1,
    most=10_000,
)
# Suggestions of one answer: each of them takes milliseconds, and who asks has a deadline.
PORTION: Final = 100


class Tpe:
    name = "tpe"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, BURN_IN, GAMMA, PRIOR, CANDIDATES))

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        # Here, not above: numerics take time to import, and a service that nobody asks needs none of them.
        from katib.suggestion.seen import seen
        from katib.suggestion.tpe.optimizer import Optimizer, Style

        problem = request.problem
        values = problem.values
        before = seen(request.study_id, problem.spec.parameters)
        past = before.past(request.finished, request.unfinished, problem.spec.optimization)
        style = Style(values[BURN_IN], values[GAMMA], values[PRIOR], values[CANDIDATES])
        optimizer = Optimizer(before.cells, past, study_seed(values, request.study_id), style)
        suggestions: list[Suggestion] = []
        while len(suggestions) < min(request.count, PORTION) and not past.taken.everything:
            row = optimizer.next_row(request.first_number + len(suggestions))
            suggestions.append(Suggestion(before.encoding.parameters(row)))
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions))
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)
