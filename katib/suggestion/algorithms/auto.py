"""The algorithm that a study gets whose user named none: one of the others, by what the study says of itself.

The choice depends on the study alone, never on how its trials went, so it is the same at each call; after a change of its
limits it may be another, which takes the trials so far as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import ParameterType
from katib.domain.settings import Option, Options
from katib.domain.study import Setting
from katib.domain.trial import Tag
from katib.suggestion.algorithms.asha import Asha
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.algorithms.cmaes import CmaEs
from katib.suggestion.algorithms.sobol import SobolSearch
from katib.suggestion.algorithms.tpe import Tpe
from katib.suggestion.base import SETTINGS_PATH, Algorithm, History, Problem, Reply, Request
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM, max_trials
from katib.suggestion.rungs import resource
from katib.suggestion.rungs.configurations import MODEL

# Up to so many trials a Gaussian process is asked for each of them; beyond, its time counts more than what it finds per trial.
MODELLED_TRIALS: Final = 1000
# Of more parameters than this a Gaussian process sees too little in so many trials.
MODELLED_PARAMETERS: Final = 50
# Where more than this share of the parameters is a choice, densities of good values find more than a distribution that moves.
CHOICES: Final = 0.5
# A distribution that moves with each generation needs generations: so many rounds at the least.
GENERATIONS: Final = 30
# With fewer rounds, as many trials as may run at once each, there is nothing to learn from in time.
ROUNDS: Final = 2

NAME: Final[Option[str]] = Option(
    resource.NAME.name,
    "The DOUBLE or INT parameter that says how much a trial may spend. With it, short trainings decide which ones go on.",
    resource.NAME.expected,
    resource.NAME.parse,
    "",
    "none",
)
# The tag that says which algorithm suggested a trial.
CHOSEN: Final = "Auto_algorithm"
# Of no use without it.
_OF_RESOURCE: Final = frozenset({resource.MOST.name, resource.ETA.name, resource.LEAST.name})


@dataclass(frozen=True, slots=True)
class Choice:
    """`settings` are those that the study's own are added to."""

    make: Callable[[], Algorithm]
    why: str
    settings: tuple[Setting, ...] = ()


class Auto:
    name = "auto"
    history = History.FINALS
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, NAME, resource.MOST, resource.ETA, resource.LEAST))

    def check(self, problem: Problem) -> None:
        if not problem.values[NAME]:
            for i, setting in enumerate(problem.spec.settings):
                if setting.name in _OF_RESOURCE:
                    raise InvalidArgumentError.of(
                        f"{SETTINGS_PATH}[{i}].name", setting.name, f"expected {NAME.name} beside it"
                    )
        algorithm, delegated = _delegated(problem, choose(problem))
        algorithm.check(delegated)

    def suggest(self, request: Request) -> Reply:
        choice = choose(request.problem)
        algorithm, delegated = _delegated(request.problem, choice)
        reply = algorithm.suggest(replace(request, problem=delegated))
        # On each trial too: another change of the study's limits, another algorithm.
        tag = Tag(CHOSEN, algorithm.name)
        suggestions = tuple(replace(s, tags=(*s.tags, tag)) for s in reply.suggestions)
        return replace(reply, suggestions=suggestions, note=f"auto uses {algorithm.name}: {choice.why}")


def choose(problem: Problem) -> Choice:
    spec, values = problem.spec, problem.values
    if values[NAME]:
        return Choice(Asha, f"{values[NAME]} says how much a trial may spend", (Setting(MODEL.name, "gp"),))
    total, parallel = _limits(problem)
    if spec.client_driven:
        # How many run at once is its clients' affair, and what the settings say of it holds for one question only.
        total, parallel = spec.limits.max_trials, spec.limits.max_parallel or 1
    if parallel is None:
        return Choice(
            SobolSearch, "all trials run at once, so none can be learned from; max_parallel would change that"
        )
    if total is not None and total < ROUNDS * parallel:
        return Choice(
            SobolSearch, f"{total} trials, {parallel} of them at once, are over before there is much to learn from"
        )
    if total is None or total > MODELLED_TRIALS:
        many = "trials without a limit" if total is None else f"{total} trials"
        choices = sum(p.type is ParameterType.CATEGORICAL for p in spec.parameters)
        if choices > CHOICES * len(spec.parameters):
            return Choice(Tpe, f"{many} want an answer at once however many there are, and most parameters are choices")
        if total is not None and total < GENERATIONS * parallel:
            return Choice(Tpe, f"{many} want an answer at once, and {parallel} at a time leave too few generations")
        return Choice(
            CmaEs, f"{many} want an answer at once however many there are, and suffice to follow the good ones"
        )
    if len(problem.space) > MODELLED_PARAMETERS:
        return Choice(Tpe, f"{len(problem.space)} parameters are too many for a Gaussian process")
    return Choice(BayesianOptimization, f"of {total} trials each is worth a model of all those before")


def _limits(problem: Problem) -> tuple[int | None, int | None]:
    """Trials in all, and at once; None: no limit."""
    parallel = problem.values[MAX_PARALLEL]
    if parallel is None:
        parallel = problem.spec.limits.max_parallel
    return max_trials(problem.spec, problem.values), parallel if parallel is not None and parallel > 0 else None


def _delegated(problem: Problem, choice: Choice) -> tuple[Algorithm, Problem]:
    """The algorithm, and the problem with those of the study's settings that it knows."""
    algorithm = choice.make()
    known = {row.name for row in algorithm.options.rows}
    settings = (*choice.settings, *(s for s in problem.spec.settings if s.name in known))
    values = algorithm.options.read(settings, SETTINGS_PATH, [d.name for d in problem.space])
    return algorithm, replace(problem, values=values)
