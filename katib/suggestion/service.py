"""What a suggestion service does, whatever its algorithm: check a study, and ask the algorithm where there is room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from katib.domain.errors import InvalidArgumentError, violation
from katib.domain.metrics import Observation
from katib.domain.search_space import SearchSpace
from katib.domain.study import StudyReason, StudySpec
from katib.domain.study_checks import check_limits
from katib.domain.trial import Trial
from katib.suggestion.base import SETTINGS_PATH, STUDY_PATH, Algorithm, History, Problem, Reply, Request
from katib.suggestion.histories import Delta, Histories
from katib.suggestion.room import room


@dataclass(frozen=True, slots=True)
class Call:
    """What a manager sends. `first_number` 0: it does not say, as those of Katib 0.1. `problem`: that of `spec`, where it has
    been checked already."""

    study_id: str
    spec: StudySpec
    finished_count: int
    unfinished_count: int
    first_number: int = 0
    finished: Sequence[Trial] = ()
    unfinished: Sequence[Trial] = ()
    curves: Mapping[str, Sequence[Observation]] = field(default_factory=dict)
    problem: Problem | None = None


def check(algorithm: Algorithm, spec: StudySpec) -> Problem:
    """Raises InvalidArgumentError when the algorithm cannot do this study."""
    space = SearchSpace.of(spec.parameters, f"{STUDY_PATH}.parameter_configs")
    violations = check_limits(spec.limits, STUDY_PATH)
    if violations:
        raise InvalidArgumentError(violations)
    values = algorithm.options.read(spec.settings, SETTINGS_PATH, [d.name for d in space])
    problem = Problem(spec, space, values)
    algorithm.check(problem)
    return problem


def generate(algorithm: Algorithm, call: Call) -> Reply:
    """Raises InvalidArgumentError as `check`: a call may be the first that this process hears of a study."""
    counts = {
        "completed_count": call.finished_count,
        "running_count": call.unfinished_count,
        "first_number": call.first_number,
    }
    violations = [violation(name, count, "expected 0 or more") for name, count in counts.items() if count < 0]
    if violations:
        raise InvalidArgumentError(violations)
    problem = _problem(algorithm, call)
    free = room(problem.spec, problem.values, call.finished_count, call.unfinished_count)
    if free.completed:
        return Reply((), completed=True, reason=StudyReason.MAX_TRIALS)
    if free.count == 0:
        return Reply(())
    return algorithm.suggest(
        Request(
            study_id=call.study_id,
            problem=problem,
            first_number=call.first_number or call.finished_count + call.unfinished_count + 1,
            count=free.count,
            finished_count=call.finished_count,
            unfinished_count=call.unfinished_count,
            finished=_by_number(call.finished),
            unfinished=_by_number(call.unfinished),
            curves=call.curves,
        )
    )


def generate_delta(algorithm: Algorithm, histories: Histories, delta: Delta, call: Call) -> Reply | None:
    """As `generate`, with the finished trials that come of the delta; None when they are not to be had."""
    finished = histories.complete(delta)
    if finished is None:
        return None
    problem = _problem(algorithm, call)
    looked_at = finished if algorithm.history(problem) is History.CURVES else ()
    curves = {**call.curves, **{known.trial.id: known.curve for known in looked_at}}
    whole = replace(call, finished=[known.trial for known in finished], curves=curves, problem=problem)
    return generate(algorithm, whole)


def _problem(algorithm: Algorithm, call: Call) -> Problem:
    return check(algorithm, call.spec) if call.problem is None else call.problem


def _by_number(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Those of Katib 0.1 have no numbers: by id then."""
    if len({trial.number for trial in trials}) < len(trials):
        trials = sorted(trials, key=attrgetter("id"))
    return sorted(trials, key=attrgetter("number"))
