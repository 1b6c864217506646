"""The model store in the manager's database."""

from collections.abc import Sequence

from katib.manager.models import SavedModel, SavedStudy
from katib.manager.modelstore.names import check_model, check_study
from katib.manager.storage.sql import models
from katib.manager.storage.sql.database import Database


class SqlModelStore:
    def __init__(self, database: Database) -> None:
        """The database stays the storage's, which closes it."""
        self._database = database

    def save_study(self, study: SavedStudy) -> None:
        check_study(study)
        self._database.write(lambda session: models.save_study(session, study))

    def save_model(self, model: SavedModel) -> None:
        check_model(model)
        self._database.write(lambda session: models.save_model(session, model))

    def saved_studies(self) -> Sequence[SavedStudy]:
        return self._database.read(models.list_studies)

    def saved_models(self, study_name: str) -> Sequence[SavedModel]:
        return self._database.read(lambda session: models.list_models(session, study_name))

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        return self._database.read(lambda session: models.get_model(session, study_name, trial_id))
