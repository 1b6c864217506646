"""What the model store keeps: studies as projects, and the model that each trial left."""

from dataclasses import dataclass, replace
from datetime import datetime

from katib.domain.search_space import Parameter
from katib.domain.trial import TrialState


@dataclass(frozen=True, slots=True)
class SavedStudy:
    name: str
    owner: str
    description: str


@dataclass(frozen=True, slots=True)
class SavedModel:
    """`metrics`: (name, value) pairs; of a model that the manager has kept, the last value of each metric.

    From `study_id` on: what the manager knows of the trial; a client that saves a model gives none of it. `kept`: by the
    manager, after the trial had finished, and for the study's retention to remove.
    """

    study_name: str
    trial_id: str
    parameters: tuple[Parameter, ...]
    metrics: tuple[tuple[str, str], ...]
    model_path: str
    data_set_name: str = ""
    data_set_path: str = ""
    saved_at: datetime | None = None
    study_id: str = ""
    number: int = 0
    state: TrialState | None = None
    objective: float | None = None
    kept: bool = False


def with_known(given: SavedModel, before: SavedModel) -> SavedModel:
    """What a client saves again: its own word in place of what stood there, beside what the manager knows."""
    return replace(
        given,
        study_id=before.study_id,
        number=before.number,
        state=before.state,
        objective=before.objective,
        kept=False,
    )


def completed_by(saved: SavedModel, own: SavedModel) -> SavedModel:
    """What a client has saved, completed by what the manager knows of the same trial: the client's word is never replaced."""
    return replace(
        saved,
        parameters=saved.parameters or own.parameters,
        metrics=saved.metrics or own.metrics,
        model_path=saved.model_path or own.model_path,
        saved_at=saved.saved_at or own.saved_at,
        study_id=own.study_id,
        number=own.number,
        state=own.state,
        objective=own.objective,
    )
