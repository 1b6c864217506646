"""The model store's protocol, and how far a store has been served; implementations stand in `katib.manager.modelstore`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from katib.domain.models import SavedModel, SavedStudy
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.domain.views import Page


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A finished trial and the record to keep of it."""

    trial: Trial
    model: SavedModel


class ModelStore(Protocol):
    """Studies as projects, trials as models, found by the study's name and the trial's id.

    Raises NotFoundError for a study or a model that was not saved, InvalidArgumentError for keys that are too long, and
    UnavailableError when the store cannot be reached now. Every method may be called again with the same arguments.
    """

    @property
    def name(self) -> str:
        """Which store this is, for as long as it holds the same models; at most 255 characters, no secrets."""

    def save_study(self, study: SavedStudy) -> None:
        """Saving again replaces."""

    def save_model(self, model: SavedModel) -> None:
        """Saving again replaces what a client may give, and makes the model the client's (not `kept`)."""

    def saved_studies(self) -> Sequence[SavedStudy]:
        """By name."""

    def saved_models(self, study_name: str, page_size: int, page_token: str) -> Page[SavedModel]:
        """By trial id. Raises InvalidArgumentError for a token that this list did not give out."""

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel: ...

    def keep(self, study: Study, finished: Sequence[FinishedTrial]) -> None:
        """The manager's own way of saving: the study's project where there is none, and a model for each trial, once. One
        that a client has saved is completed (see `models.completed_by`)."""

    def kept_models(self, study: Study) -> Sequence[SavedModel]:
        """Those of this study that are `kept`."""

    def remove(self, study: Study, trial_ids: Sequence[str]) -> None:
        """Removes those of them that are `kept`. Gone already: no error."""

    def close(self) -> None: ...


class Deliveries(Protocol):
    """Up to which revision of a study everything that finished is in a model store. In the manager's database, so that what was
    missed, by whomever, is sent later."""

    def behind(self, store: str, placement: str, limit: int) -> Sequence[str]:
        """Studies whose revision is greater than what was delivered, of no placement or of this one; the longest waiting
        ones need not come first."""

    def delivered(self, store: str, study_id: str) -> int:
        """0: nothing yet."""

    def advance(self, store: str, study_id: str, revision: int) -> None:
        """Never back. A study that is gone: nothing happens."""
