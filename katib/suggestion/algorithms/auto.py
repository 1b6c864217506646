"""The algorithm that a study gets whose user named none: one of the others, by its space, its limits, and the noise of what its
trials reported.

The choice follows from the request alone, so it is the same in any process; after a change of the study's limits it may be
another, which takes the trials so far as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import ParameterType
from katib.domain.settings import Option, Options
from katib.domain.study import Setting
from katib.domain.trial import Tag
from katib.suggestion import following
from katib.suggestion.algorithms.asha import Asha
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.algorithms.cmaes import STEP, CmaEs, restarts
from katib.suggestion.algorithms.sobol import SobolSearch
from katib.suggestion.algorithms.tpe import Tpe
from katib.suggestion.base import SETTINGS_PATH, Algorithm, History, Problem, Reply, Request
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM, max_trials
from katib.suggestion.rungs import resource
from katib.suggestion.rungs.configurations import MODEL

# So many trials a Gaussian process is asked for; beyond, its time counts more than what it finds per trial.
MODELLED_TRIALS: Final = 1000
# Of more parameters than this, most of them choices, a Gaussian process finds no more than densities, and takes longer; and
# where so many trials are wanted of them, its time is too much.
MODELLED_PARAMETERS: Final = 50
# Where this many run at once, and there is no end in sight, who asks does not wait for a model.
MODELLED_PARALLEL: Final = 100
# Where more than this share of the parameters is a choice, densities of good values find more than a distribution that moves.
CHOICES: Final = 0.5
# A distribution that moves with each generation needs generations: so many rounds at the least, and so many trials.
GENERATIONS: Final = 30
FEW: Final = 300

# Whether there is noise is asked of so many trials for the first time, and of each hundred more.
JUDGED: Final = 200
_AGAIN: Final = 100
# In deviations of the objective. Without noise a process says 0.001 or little more, but up to 0.017 of ripples that it is about
# to see; with three thousandths of what lies between the best and the better fifth of random points 0.004 and more, with a
# tenth more than 0.2.
QUIET: Final = 0.003
# With what deviation a trial begins to be followed, in widths of a parameter's range: where a process has been it is near.
NEAR: Final = 0.01

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
    """`settings` are those that the study's own are added to. `sees`: the request as the algorithm is to see it. `follows`: the
    number of the trial that its suggestions follow. `name`: what the study says that is used; "": the algorithm's own."""

    make: Callable[[], Algorithm]
    why: str
    sees: Request
    settings: tuple[Setting, ...] = ()
    follows: int | None = None
    name: str = ""


class Auto:
    name = "auto"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL, SEED, NAME, resource.MOST, resource.ETA, resource.LEAST))

    def check(self, problem: Problem) -> None:
        if not problem.values[NAME]:
            for i, setting in enumerate(problem.spec.settings):
                if setting.name in _OF_RESOURCE:
                    raise InvalidArgumentError.of(
                        f"{SETTINGS_PATH}[{i}].name", setting.name, f"expected {NAME.name} beside it"
                    )
        choice = choose(Request("", problem, 1, 1, 0, 0))
        algorithm = choice.make()
        algorithm.check(_delegated(algorithm, choice).problem)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        choice = choose(request)
        algorithm = choice.make()
        reply = algorithm.suggest(_delegated(algorithm, choice))
        # On each trial too: another choice, another algorithm.
        tags = [Tag(CHOSEN, algorithm.name)]
        if choice.follows is not None:
            tags.append(following.tag(choice.follows))
        suggestions = tuple(replace(s, tags=(*s.tags, *tags)) for s in reply.suggestions)
        return replace(reply, suggestions=suggestions, note=f"auto uses {choice.name or algorithm.name}: {choice.why}")


def choose(request: Request) -> Choice:
    problem = request.problem
    resource_name = problem.values[NAME]
    if resource_name:
        parallel = _limits(problem)[1]
        # With so many at once a model learns little before the study is over.
        model = "gp" if parallel is not None and parallel <= MODELLED_PARALLEL else "none"
        settings = (Setting(MODEL.name, model),)
        return Choice(Asha, f"{resource_name} says how much a trial may spend", request, settings)
    total, parallel = _limits(problem)
    if parallel is None:
        why = "all trials run at once, so none can be learned from; max_parallel would change that"
        return Choice(SobolSearch, why, request)
    if total is not None and total <= parallel:
        why = f"{total} trial{'s' if total > 1 else ''} may run at once, so none can be learned from"
        return Choice(SobolSearch, why, request)
    trials = following.Following(request)
    many = total is None or total >= MODELLED_TRIALS + FEW
    if len(problem.space) > MODELLED_PARAMETERS and not many and _choices(problem) > CHOICES:
        why = f"{len(problem.space)} parameters, most of them choices, are too many for a Gaussian process"
        return Choice(Tpe, why, request)
    beyond = len(problem.space) > MODELLED_PARAMETERS or parallel > MODELLED_PARALLEL
    if many and (beyond or len(trials.others) >= MODELLED_TRIALS):
        return _quick(trials.rest(), total, parallel)
    which = f"the first {MODELLED_TRIALS}" if many else str(total)
    why = f"of {which} trials each is worth a model of all those before"
    noise = _noise(request, trials)
    number = _followed(request, trials, noise, total, parallel)
    if number is not None:
        why = f"{why}, and two of three more follow trial {number}, the best when they told of no noise"
        name = f"{BayesianOptimization.name} and {CmaEs.name} by turns"
        if trials.turn():
            return replace(_follower(trials, number), why=why, name=name)
        return Choice(BayesianOptimization, why, trials.rest(), name=name)
    if noise is not None:
        much = f"have noise of {100 * noise:.2g}% of their objective's deviation"
        why = f"{why}, which {much if noise > QUIET else 'tell of no noise'}"
    return Choice(BayesianOptimization, why, trials.rest())


def _followed(
    request: Request, trials: following.Following, noise: float | None, total: int | None, parallel: int
) -> int | None:
    """The number of the trial that is followed: the last one until that is over, then another one, if there is one and time for
    it. What was begun goes on, whatever the trials tell of noise meanwhile."""
    last = trials.last
    if last is not None and not _over(trials, last):
        return last
    left = None if total is None else total - request.finished_count - request.unfinished_count
    if noise is None or noise > QUIET or (left is not None and left < max(FEW, GENERATIONS * parallel)):
        return None
    from katib.suggestion.seen import seen

    encoding = seen(request.study_id, request.problem.spec.parameters).encoding
    return trials.next(lambda t: len(encoding.rows([t.parameters])[1]) > 0)


def _follower(trials: following.Following, number: int) -> Choice:
    return Choice(CmaEs, "", trials.episode(number), (Setting(STEP.name, f"{NEAR:g}"),), follows=number)


def _over(trials: following.Following, number: int) -> bool:
    choice = _follower(trials, number)
    return not choice.sees.finished or restarts(_delegated(choice.make(), choice)) > 0


def _quick(request: Request, total: int | None, parallel: int) -> Choice:
    """Whose answer takes milliseconds after any number of trials."""
    many = "trials without a limit" if total is None else f"{total} trials"
    why = f"{many} want an answer at once however many there are"
    if _choices(request.problem) > CHOICES:
        return Choice(Tpe, f"{why}, and most parameters are choices", request)
    if total is not None and total < GENERATIONS * parallel:
        return Choice(
            Tpe, f"{many} want an answer at once, and {parallel} at a time leave too few generations", request
        )
    return Choice(CmaEs, f"{why}, and suffice to follow the good ones", request)


def _choices(problem: Problem) -> float:
    return sum(p.type is ParameterType.CATEGORICAL for p in problem.spec.parameters) / len(problem.spec.parameters)


def _noise(request: Request, trials: following.Following) -> float | None:
    """What the trials that follow none tell of it, in deviations of the objective; None: there are too few of them yet, or it
    does not matter: without a continuum, or where most is a choice, there is nothing to follow."""
    problem = request.problem
    told = trials.settled()
    if len(told) < JUDGED or problem.space.cardinality is not None or _choices(problem) > CHOICES:
        return None
    # Here, not above: numerics take a second to import, and a service that nobody asks needs none of them.
    from katib.suggestion.cmaes.runs import RUN
    from katib.suggestion.gp import noise
    from katib.suggestion.seen import seen

    # Those of an evolution strategy are near one another: what they report says little of how much noise that is.
    told = [t for t in told if not any(tag.name == RUN for tag in t.tags)][:MODELLED_TRIALS]
    past = seen(request.study_id, problem.spec.parameters).past(told, (), problem.spec.optimization)
    judged = len(past.y) // _AGAIN * _AGAIN
    if judged < JUDGED or past.y[:judged].min() == past.y[:judged].max():
        return None
    return noise.deviation(problem.spec.parameters, past.x[:judged], past.y[:judged])


def _limits(problem: Problem) -> tuple[int | None, int | None]:
    """Trials in all, and at once; None: no limit."""
    if problem.spec.client_driven:
        # How many run at once is its clients' affair, and what the settings say of it holds for one question only.
        return problem.spec.limits.max_trials, problem.spec.limits.max_parallel or 1
    parallel = problem.values[MAX_PARALLEL]
    if parallel is None:
        parallel = problem.spec.limits.max_parallel
    return max_trials(problem.spec, problem.values), parallel if parallel is not None and parallel > 0 else None


def _delegated(algorithm: Algorithm, choice: Choice) -> Request:
    """What the algorithm is to see, and of the study's settings those that it knows."""
    problem = choice.sees.problem
    known = {row.name for row in algorithm.options.rows}
    settings = (*choice.settings, *(s for s in problem.spec.settings if s.name in known))
    values = algorithm.options.read(settings, SETTINGS_PATH, [d.name for d in problem.space])
    return replace(choice.sees, problem=replace(problem, values=values))
