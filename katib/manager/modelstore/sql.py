"""The model store in the manager's database."""

from collections.abc import Callable, Sequence
from typing import Final

from katib.domain.errors import AlreadyExistsError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.study import Study
from katib.domain.views import Page
from katib.manager.models import FinishedTrial
from katib.manager.modelstore.keys import check_model, check_study, project_of
from katib.manager.storage.sql import models
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.session import Session


class SqlModelStore:
    name: Final = "sql"

    def __init__(self, database: Database) -> None:
        """The database stays the storage's, which closes it."""
        self._database = database

    def save_study(self, study: SavedStudy) -> None:
        check_study(study)
        self._write(lambda session: models.save_study(session, study))

    def save_model(self, model: SavedModel) -> None:
        check_model(model)
        self._write(lambda session: models.save_model(session, model))

    def saved_studies(self) -> Sequence[SavedStudy]:
        return self._database.read(models.list_studies)

    def saved_models(self, study_name: str, page_size: int, page_token: str) -> Page[SavedModel]:
        return self._database.read(lambda session: models.list_models(session, study_name, page_size, page_token))

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        return self._database.read(lambda session: models.get_model(session, study_name, trial_id))

    def keep(self, study: Study, finished: Sequence[FinishedTrial]) -> None:
        project, kept = project_of(study), [of.model for of in finished]
        self._write(lambda session: models.keep(session, project, kept))

    def kept_models(self, study: Study) -> Sequence[SavedModel]:
        return self._database.read(lambda session: models.kept_models(session, study.id))

    def remove(self, study: Study, trial_ids: Sequence[str]) -> None:
        if trial_ids:
            self._database.write(lambda session: models.remove(session, study.spec.name, trial_ids))

    def close(self) -> None:
        pass

    def _write(self, function: Callable[[Session], None]) -> None:
        """Saving again replaces: whoever finds that another manager has just inserted the same, does so."""
        try:
            self._database.write(function)
        except AlreadyExistsError:
            self._database.write(function)
