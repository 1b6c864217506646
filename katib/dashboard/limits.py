"""The limits of a study as its page shows them, to be changed there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from katib.dashboard import text
from katib.domain.counted import counted
from katib.domain.ending import ended_by
from katib.domain.study import Limits, StudySpec, effective_limits
from katib.domain.views import StudySummary

_LABELS: Final = {
    "max_trials": "Trials in all",
    "max_parallel": "Trials at once",
    "max_failed_trials": "Failed trials",
    "retry_limit": "Retries of a trial",
    "trial_timeout": "Time of an attempt",
    "max_duration": "Time of the study",
}


@dataclass(frozen=True)
class Field:
    """`value` as a person writes it; empty where there is no limit."""

    name: str
    label: str
    value: str


def limit_fields(study: StudySummary, spec: StudySpec) -> Sequence[Field]:
    limits = effective_limits(spec)
    values: dict[str, object] = {
        "max_trials": study.max_trials,
        "max_parallel": study.max_parallel,
        "max_failed_trials": limits.max_failed_trials,
        "retry_limit": limits.retry_limit,
        "trial_timeout": text.limit(limits.trial_timeout),
        "max_duration": text.limit(limits.max_duration),
    }
    fields = [Field(name, label, _shown(values[name])) for name, label in _LABELS.items()]
    return [*fields, Field("optimization_goal", f"Goal for {study.objective_name}", _shown(spec.goal))]


def cost_of(study: StudySummary, limits: Limits) -> str:
    """What these limits would end at once, as a sentence; empty where it is nothing."""
    reached = ended_by(study, limits)
    if reached is None:
        return ""
    return (
        f"{_LABELS[reached.name]}: {reached.limit} is reached already, with {counted(reached.count, 'trial')} {reached.what}. "
        f"The study would end, and with it what still runs, {counted(study.running, 'trial')}."
    )


def _shown(value: object) -> str:
    return "" if value is None else str(value)
