"""When a study ends, said a second time: what the controller decides is held against this."""

from datetime import datetime

from katib.domain.study import Intent, Study, StudyReason, StudyState, effective_limits


def end_of(study: Study, asked: Intent, now: datetime, *, exhausted: bool) -> tuple[StudyState, str] | None:
    """How a study with these counters ends; of more than one reason the first counts. `asked`: by a user."""
    limits, spec = effective_limits(study.spec), study.spec
    best = study.best_objective
    if asked is not Intent.NONE:
        return StudyState.STOPPED, StudyReason.STOPPED_BY_USER
    if best is not None and spec.goal is not None and (best >= spec.goal or best == spec.goal):
        return StudyState.COMPLETED, StudyReason.GOAL
    if limits.max_failed_trials is not None and study.failed >= limits.max_failed_trials:
        return StudyState.FAILED, StudyReason.MAX_FAILED_TRIALS
    if limits.max_duration is not None and now >= study.created_at + limits.max_duration:
        return StudyState.COMPLETED, StudyReason.MAX_DURATION
    if limits.max_trials is not None and study.finished_trials >= limits.max_trials:
        return StudyState.COMPLETED, StudyReason.MAX_TRIALS
    if study.reason == StudyReason.NO_SUGGESTIONS:
        return StudyState.FAILED, StudyReason.NO_SUGGESTIONS
    return (StudyState.COMPLETED, StudyReason.EXHAUSTED) if exhausted else None


def is_to_end(study: Study) -> bool:
    """Whether its counters say so."""
    limits, best, goal = effective_limits(study.spec), study.best_objective, study.spec.goal
    return (
        (limits.max_trials is not None and study.finished_trials >= limits.max_trials)
        or (limits.max_failed_trials is not None and study.failed >= limits.max_failed_trials)
        or (best is not None and goal is not None and best >= goal)
    )
