"""What an early-stopping service does, whatever its rule: check a study's settings, and put the question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from katib.domain.errors import InvalidArgumentError, violation
from katib.domain.metrics import Observation
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.earlystopping.base import SETTINGS_PATH, STUDY_PATH, Problem, Request, Rule
from katib.earlystopping.curve import Curve


@dataclass(frozen=True, slots=True)
class Call:
    """What a manager sends."""

    study_id: str
    spec: StudySpec
    running: Sequence[Trial]
    finished: Sequence[Trial]
    curves: Mapping[str, Sequence[Observation]] = field(default_factory=dict)


def check(rule: Rule, spec: StudySpec) -> Problem:
    """Raises InvalidArgumentError when the rule cannot do this study."""
    problem = Problem(spec, rule.options.read(spec.early_stopping_settings, SETTINGS_PATH))
    rule.check(problem)
    return problem


def should_stop(rule: Rule, call: Call) -> Sequence[Trial]:
    """Raises InvalidArgumentError as `check`, and when the call does not carry its study: nothing is kept from before, and
    no database read, as the services of Katib 0.1 did."""
    checked_question(call.spec)
    curves = {trial_id: by_metric(curve) for trial_id, curve in call.curves.items()}
    return rule.stop(Request(call.study_id, check(rule, call.spec), call.running, call.finished, curves))


def checked_question(spec: StudySpec) -> None:
    """Raises InvalidArgumentError when a question comes without its study."""
    found = []
    if spec.optimization is None:
        found.append(violation(f"{STUDY_PATH}.optimization_type", "", "expected minimize (1) or maximize (2)"))
    if not spec.objective_name:
        found.append(
            violation(f"{STUDY_PATH}.objective_value_name", "", "expected the study, and its trials, with the question")
        )
    if found:
        raise InvalidArgumentError(found)


def by_metric(observations: Sequence[Observation]) -> Mapping[str, Curve]:
    """In their order."""
    curves: dict[str, Curve] = {}
    for observation in observations:
        curves.setdefault(observation.name, Curve()).add(observation.value, observation.step)
    return curves
