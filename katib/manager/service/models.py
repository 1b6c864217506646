"""Use cases of the model store."""

from collections.abc import Sequence

from katib.domain.errors import InvalidArgumentError
from katib.manager.models import SavedModel, SavedStudy
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
        self._context.models.save_model(model)

    def saved_studies(self) -> Sequence[SavedStudy]:
        return self._context.models.saved_studies()

    def saved_models(self, study_name: str) -> Sequence[SavedModel]:
        return self._context.models.saved_models(_required("study_name", study_name))

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        return self._context.models.saved_model(_required("study_name", study_name), _required("trial_id", trial_id))


def _has_volume(path: str) -> bool:
    volume, separator, rest = path.partition(":")
    return bool(volume and separator and rest)


def _required(field: str, value: str) -> str:
    if not value or len(value) > 1000 or not value.isprintable():
        raise InvalidArgumentError.of(field, value, "expected 1 to 1000 printable characters")
    return value
