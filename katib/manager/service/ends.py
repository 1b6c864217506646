"""How far a study is from its end, as its counters say: what the controller's next pass is going to find."""

from datetime import datetime

from katib.domain.counted import counted
from katib.domain.study import Study, effective_max_trials


def is_to_end(study: Study) -> bool:
    """Whether a pass is to end it now; of what else may, the controller learns in time."""
    return bool(_limit_reached(study))


def trials_left(study: Study) -> int:
    """How many trials it may still get; more than anybody asks for where there is no limit. None once it is about to end, as by
    the trial that reached its goal: they would be ended with it."""
    if is_to_end(study):
        return 0
    limit = effective_max_trials(study.spec)
    return 2**31 if limit is None else limit - study.suggested


def why_over(study: Study, now: datetime) -> str:
    """Why a study would end at once that went on now, and what to change for it; empty where it would not."""
    longest = study.spec.limits.max_duration
    if longest is not None and study.created_at + longest <= now:
        return "its max_duration is over; a longer one lets it go on"
    return _limit_reached(study)


def _limit_reached(study: Study) -> str:
    most, most_failed = effective_max_trials(study.spec), study.spec.limits.max_failed_trials
    best = study.best_objective
    if best is not None and study.spec.reaches_goal(best):
        goal = study.spec.goal
        return f"{study.spec.objective_name} has reached {best!r}, and the goal is {goal!r}; another one lets it go on"
    if most_failed is not None and study.failed >= most_failed:
        failed = counted(study.failed, "trial", "have")
        return f"{failed} failed, and max_failed_trials is {most_failed}; a higher one lets it go on"
    if most is not None and study.finished_trials >= most:
        finished = counted(study.finished_trials, "trial", "have")
        return f"{finished} finished, and max_trials is {most}; a higher one lets it go on"
    return ""
