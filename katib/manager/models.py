"""The model store: what is kept of a study and of the model that each trial left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from katib.domain.search_space import Parameter


@dataclass(frozen=True, slots=True)
class SavedStudy:
    name: str
    owner: str
    description: str


@dataclass(frozen=True, slots=True)
class SavedModel:
    study_name: str
    trial_id: str
    parameters: tuple[Parameter, ...]
    metrics: tuple[tuple[str, str], ...]
    model_path: str
    data_set_name: str = ""
    data_set_path: str = ""


class ModelStore(Protocol):
    """Studies as projects, trials as models. Saving again under the same key replaces."""

    def save_study(self, study: SavedStudy) -> None: ...

    def save_model(self, model: SavedModel) -> None:
        """Raises NotFoundError when the study was not saved before."""

    def saved_studies(self) -> Sequence[SavedStudy]: ...

    def saved_models(self, study_name: str) -> Sequence[SavedModel]:
        """Raises NotFoundError for an unknown study."""

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel: ...
