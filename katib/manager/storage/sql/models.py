"""The model store's tables."""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, insert, select, update

from katib.domain.errors import NotFoundError
from katib.domain.study_json import parameters_from_json, parameters_to_json
from katib.manager.models import SavedModel, SavedStudy
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.tables import saved_models, saved_studies

_STUDIES: Final = Statement(
    select(saved_studies.c.name, saved_studies.c.owner, saved_studies.c.description).order_by(saved_studies.c.name)
)
# The lock lets two that save the same model follow one another, so that neither finds the other's row in the way.
_LOCK_STUDY: Final = Statement(
    select(saved_studies.c.name).where(saved_studies.c.name == bindparam("study")).with_for_update()
)
_STUDY: Final = Statement(select(saved_studies.c.name).where(saved_studies.c.name == bindparam("study")))
_INSERT_STUDY: Final = Statement(insert(saved_studies))
_UPDATE_STUDY: Final = Statement(
    update(saved_studies).where(saved_studies.c.name == bindparam("study")), ("owner", "description")
)
_models: Final = select(
    saved_models.c.study_name,
    saved_models.c.trial_id,
    saved_models.c.parameters,
    saved_models.c.metrics,
    saved_models.c.model_path,
    saved_models.c.data_set_name,
    saved_models.c.data_set_path,
).where(saved_models.c.study_name == bindparam("study"))
_MODELS: Final = Statement(_models.order_by(saved_models.c.trial_id))
_MODEL: Final = Statement(_models.where(saved_models.c.trial_id == bindparam("trial")))
_INSERT_MODEL: Final = Statement(insert(saved_models))
_UPDATE_MODEL: Final = Statement(
    update(saved_models).where(
        saved_models.c.study_name == bindparam("study"), saved_models.c.trial_id == bindparam("trial")
    ),
    ("parameters", "metrics", "model_path", "data_set_name", "data_set_path"),
)


def save_study(session: Session, study: SavedStudy) -> None:
    values = {"owner": study.owner, "description": study.description}
    if not session.write(_UPDATE_STUDY, study=study.name, **values):
        session.write(_INSERT_STUDY, name=study.name, **values)


def save_model(session: Session, model: SavedModel) -> None:
    if session.row(_LOCK_STUDY, study=model.study_name) is None:
        raise _no_study(model.study_name)
    values = {
        "parameters": parameters_to_json(model.parameters),
        "metrics": json.dumps(model.metrics, separators=(",", ":")),
        "model_path": model.model_path,
        "data_set_name": model.data_set_name,
        "data_set_path": model.data_set_path,
    }
    if not session.write(_UPDATE_MODEL, study=model.study_name, trial=model.trial_id, **values):
        session.write(_INSERT_MODEL, study_name=model.study_name, trial_id=model.trial_id, **values)


def list_studies(session: Session) -> Sequence[SavedStudy]:
    return [SavedStudy(name, owner, description) for name, owner, description in session.rows(_STUDIES)]


def list_models(session: Session, study_name: str) -> Sequence[SavedModel]:
    rows = session.rows(_MODELS, study=study_name)
    if not rows and session.row(_STUDY, study=study_name) is None:
        raise _no_study(study_name)
    return [_model_from_row(row) for row in rows]


def get_model(session: Session, study_name: str, trial_id: str) -> SavedModel:
    row = session.row(_MODEL, study=study_name, trial=trial_id)
    if row is None:
        raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
    return _model_from_row(row)


def _model_from_row(row: Row) -> SavedModel:
    return SavedModel(
        study_name=row[0],
        trial_id=row[1],
        parameters=parameters_from_json(row[2]),
        metrics=tuple((name, value) for name, value in json.loads(row[3])),
        model_path=row[4],
        data_set_name=row[5],
        data_set_path=row[6],
    )


def _no_study(name: str) -> NotFoundError:
    return NotFoundError(f"no study {name} was saved")
