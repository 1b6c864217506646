"""Use cases of the model store."""

from collections.abc import Sequence
from dataclasses import replace

from katib.domain.errors import InvalidArgumentError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.views import Page
from katib.manager.service.checks import MAX_PAGE, page_size_of
from katib.manager.service.context import UseCases


class ModelUseCases(UseCases):
    def save_study(self, study: SavedStudy) -> None:
        _required("study_name", study.name)
        self._context.models.save_study(study)

    def save_model(self, model: SavedModel, tensor_board: bool = False) -> None:
        _required("model.study_name", model.study_name)
        _required("model.trial_id", model.trial_id)
        if tensor_board and not _has_volume(model.model_path):
            raise InvalidArgumentError.of(
                "model.model_path", model.model_path, "expected VOLUME:PATH, so that a TensorBoard can be shown"
            )
        self._context.models.save_model(replace(model, saved_at=self._context.now()))

    def saved_studies(self) -> Sequence[SavedStudy]:
        return self._context.models.saved_studies()

    def saved_models(self, study_name: str, page_size: int = 0, page_token: str = "") -> Page[SavedModel]:
        """With neither size nor token all of them, as 0.1's clients expect."""
        _required("study_name", study_name)
        if page_size or page_token:
            return self._context.models.saved_models(study_name, page_size_of(page_size), page_token)
        found: list[SavedModel] = []
        while True:
            page = self._context.models.saved_models(study_name, MAX_PAGE, page_token)
            found += page.items
            page_token = page.next_token
            if not page_token:
                return Page(found)

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        return self._context.models.saved_model(_required("study_name", study_name), _required("trial_id", trial_id))


def _has_volume(path: str) -> bool:
    volume, separator, rest = path.partition(":")
    return bool(volume and separator and rest)


def _required(field: str, value: str) -> str:
    if not value or len(value) > 1000 or not value.isprintable():
        raise InvalidArgumentError.of(field, value, "expected 1 to 1000 printable characters")
    return value
