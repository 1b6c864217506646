"""What a change of limits ends at once."""

from dataclasses import dataclass

from katib.domain.study import Limits
from katib.domain.views import StudySummary


@dataclass(frozen=True)
class Reached:
    """A limit that is reached already: `count` trials are `what`."""

    name: str
    limit: int
    count: int
    what: str


def ended_by(study: StudySummary, limits: Limits) -> Reached | None:
    """The limit with which the trials that run would be ended; None where none would. Nothing is lost with those that wait."""
    for name, limit, count, what in (
        ("max_trials", limits.max_trials, study.finished_trials, "finished"),
        ("max_failed_trials", limits.max_failed_trials, study.failed, "failed"),
    ):
        if study.running and limit is not None and limit <= count:
            return Reached(name, limit, count, what)
    return None
