"""A model store that lasts as long as its process."""

import threading
from collections.abc import Sequence

from katib.domain.errors import NotFoundError
from katib.manager.models import SavedModel, SavedStudy
from katib.manager.modelstore.names import check_model, check_study


class MemoryModelStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._studies: dict[str, SavedStudy] = {}
        self._models: dict[str, dict[str, SavedModel]] = {}

    def save_study(self, study: SavedStudy) -> None:
        check_study(study)
        with self._lock:
            self._studies[study.name] = study
            self._models.setdefault(study.name, {})

    def save_model(self, model: SavedModel) -> None:
        check_model(model)
        with self._lock:
            self._of(model.study_name)[model.trial_id] = model

    def saved_studies(self) -> Sequence[SavedStudy]:
        with self._lock:
            return [study for _, study in sorted(self._studies.items())]

    def saved_models(self, study_name: str) -> Sequence[SavedModel]:
        with self._lock:
            return [model for _, model in sorted(self._of(study_name).items())]

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        with self._lock:
            model = self._models.get(study_name, {}).get(trial_id)
        if model is None:
            raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
        return model

    def _of(self, study_name: str) -> dict[str, SavedModel]:
        models = self._models.get(study_name)
        if models is None:
            raise NotFoundError(f"no study {study_name} was saved")
        return models
