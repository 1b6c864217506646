"""What the plan may ask for: each action is idempotent, and each is done by exactly one line of the reconciler."""

from dataclasses import dataclass

from katib.domain.trial import Trial
from katib.manager.changes import StopRequest, StudyMove, TrialMove, TrialNote


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Start the pending trial's attempt; once it is there, the trial is RUNNING."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class FenceRun:
    """Make sure that an attempt that was never seen to start can never start. Done before what follows is stored."""

    run: str


@dataclass(frozen=True, slots=True)
class StopRun:
    """End a run; its trial knows already why. Done after the rest has been stored."""

    run: str


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Let go of a run that has ended and whose output is stored."""

    run: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the suggestion service for about `count` further trials."""

    count: int


@dataclass(frozen=True, slots=True)
class AskRule:
    """Ask the early-stopping service which of the running trials should end."""


@dataclass(frozen=True, slots=True)
class RemoveStudy:
    """Everything has ended and its user wants it gone."""


Action = (
    CreateRun
    | FenceRun
    | StopRun
    | DeleteRun
    | Ask
    | AskRule
    | RemoveStudy
    | TrialMove
    | TrialNote
    | StopRequest
    | StudyMove
)
