"""A model store, and its deliveries, that last as long as their process."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from katib.domain.errors import NotFoundError
from katib.domain.models import SavedModel, SavedStudy, completed_by, with_known
from katib.domain.study import Study
from katib.domain.views import Page
from katib.manager.models import FinishedTrial
from katib.manager.modelstore.keys import check_model, check_study, project_of
from katib.manager.storage.memory import MemoryStorage
from katib.manager.storage.tokens import MODEL_KEY, make_token, model_list, read_token


class MemoryModelStore:
    name: Final = "memory"

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
            models = self._of(model.study_name)
            before = models.get(model.trial_id)
            if before is not None:
                model = with_known(model, before)
            models[model.trial_id] = replace(model, kept=False)

    def saved_studies(self) -> Sequence[SavedStudy]:
        with self._lock:
            return [study for _, study in sorted(self._studies.items())]

    def saved_models(self, study_name: str, page_size: int, page_token: str) -> Page[SavedModel]:
        list_ = model_list(study_name)
        (after,) = read_token(list_, page_token, MODEL_KEY) if page_token else ("",)
        with self._lock:
            found = [model for id_, model in sorted(self._of(study_name).items()) if id_ > after]
        page = found[:page_size]
        return Page(page, make_token(list_, (page[-1].trial_id,)) if len(found) > page_size else "")

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        with self._lock:
            model = self._models.get(study_name, {}).get(trial_id)
        if model is None:
            raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
        return model

    def keep(self, study: Study, finished: Sequence[FinishedTrial]) -> None:
        project = project_of(study)
        with self._lock:
            self._studies.setdefault(project.name, project)
            models = self._models.setdefault(project.name, {})
            for model in (of.model for of in finished):
                before = models.get(model.trial_id)
                if before is None:
                    models[model.trial_id] = model
                elif not before.kept:
                    models[model.trial_id] = completed_by(before, model)

    def kept_models(self, study: Study) -> Sequence[SavedModel]:
        with self._lock:
            models = self._models.get(study.spec.name, {}).values()
            return [model for model in models if model.kept and model.study_id == study.id]

    def remove(self, study: Study, trial_ids: Sequence[str]) -> None:
        with self._lock:
            models = self._models.get(study.spec.name, {})
            for trial_id in trial_ids:
                if trial_id in models and models[trial_id].kept:
                    del models[trial_id]

    def close(self) -> None:
        pass

    def _of(self, study_name: str) -> dict[str, SavedModel]:
        models = self._models.get(study_name)
        if models is None:
            raise NotFoundError(f"no study {study_name} was saved")
        return models


class MemoryDeliveries:
    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._revisions: dict[tuple[str, str], int] = {}

    def behind(self, store: str, placement: str, limit: int) -> Sequence[str]:
        found = [
            study.id
            for study in self._storage.all_studies()
            if study.placement in ("", placement) and self.delivered(store, study.id) < study.revision
        ]
        return found[:limit]

    def delivered(self, store: str, study_id: str) -> int:
        return self._revisions.get((store, study_id), 0)

    def advance(self, store: str, study_id: str, revision: int) -> None:
        with self._lock:
            self._revisions[store, study_id] = max(revision, self.delivered(store, study_id))
