"""What becomes of a trial that its client ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from katib.domain.metrics import Observation, parse_value
from katib.domain.search_space import check_name
from katib.domain.study import Study
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.changes import Intake, StopRequest, StudyChanges, TrialMove

# Where the values come from that are sent with a trial's completion.
COMPLETION_SOURCE: Final = "completion"
# Of what a client says of a failure, which may be a traceback.
_MAX_ERROR: Final = 4000


@dataclass(slots=True)
class Completion:
    """What a client says of a trial that it ends: `is_complete`, or `error` says what went wrong, or it gives it up.

    `objective` and `metrics` are values as texts, and `observations` what was left to report, as in `report_metrics`.
    `attempt`: the one that the client was given; a trial that has been handed on since is not ended by it. 0 is for clients
    that know of none, and is refused once a trial has been handed on.
    """

    is_complete: bool
    objective: str = ""
    metrics: Sequence[tuple[str, str]] = ()
    attempt: int = 0
    error: str = ""
    observations: Sequence[Observation] = ()
    reporter: str = ""


def end_of_run(trial: Trial, observations: Sequence[Observation]) -> StudyChanges | None:
    if observations:
        raise InvalidArgumentError.of(
            "observations",
            f"{len(observations)} observations",
            f"expected none: trial {trial.id} is run by the manager, which has what its run reports",
        )
    if not trial.state.finished:
        stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "a client completed it while its run was going on")
        return StudyChanges(stops=(stop,))
    if trial.state is not TrialState.KILLED:
        raise FailedPreconditionError(f"trial {trial.id} has ended already: it is {trial.state.value}")
    return None


def end_of_trial(
    study: Study, trial: Trial, intakes: Sequence[Intake], said: Completion, now: datetime
) -> StudyChanges | None:
    wanted, reason, message = TrialState.KILLED, TrialReason.ABANDONED, "its client gave it up"
    if said.is_complete:
        wanted, reason, message = TrialState.COMPLETED, "", ""
    elif said.error:
        wanted, reason, message = TrialState.ERROR, TrialReason.FAILED_AT_CLIENT, said.error[:_MAX_ERROR]
    if trial.state is wanted:
        return None
    if trial.state.finished:
        raise FailedPreconditionError(f"trial {trial.id} has ended already: it is {trial.state.value}")
    if wanted is TrialState.COMPLETED and trial.objective is None and not _has_objective(study, intakes):
        raise InvalidArgumentError.of(
            "objective_value",
            "",
            f"expected a number: nothing was reported for {study.spec.objective_name} before",
        )
    move = TrialMove(trial.id, trial.attempt, trial.state, wanted, reason, message, at=now)
    return StudyChanges(intakes=tuple(intakes), moves=(move,))


def _has_objective(study: Study, intakes: Sequence[Intake]) -> bool:
    return any(o.name == study.spec.objective_name for intake in intakes for o in intake.observations)


def reported(
    study: Study, trial: Trial, left: Sequence[Observation], said: Completion, now: datetime
) -> Sequence[Intake]:
    """What was `left` to report, and after it the values that came with the completion, the objective last so that it is the
    latest."""
    values = []
    named = [(f"metrics[{i}].value", name, text) for i, (name, text) in enumerate(said.metrics)]
    if said.objective:
        named.append(("objective_value", study.spec.objective_name, said.objective))
    for field, name, text in named:
        value = parse_value(text)
        if value is None:
            raise InvalidArgumentError.of(field, text, "expected a number")
        if found := check_name(field.replace("value", "name"), name):
            raise InvalidArgumentError(found)
        values.append((name, value))
    final = tuple(
        Observation(name, value, now, trial.attempt, COMPLETION_SOURCE, 1, ordinal)
        for ordinal, (name, value) in enumerate(values)
    )
    return [Intake(trial.id, trial.attempt, trial.cursor, trial.cursor, tuple(part)) for part in (left, final) if part]
