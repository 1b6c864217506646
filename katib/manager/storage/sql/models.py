"""The model store's tables."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, insert, select, update

from katib.domain.errors import NotFoundError
from katib.domain.models import SavedModel, SavedStudy, completed_by
from katib.domain.study_json import parameters_from_json, parameters_to_json
from katib.domain.times import from_micros_or_none, to_micros_or_none
from katib.domain.trial import TrialState
from katib.domain.views import Page
from katib.manager.storage.sql.rows import float_from_columns, float_to_columns
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement, parameters
from katib.manager.storage.sql.tables import saved_models, saved_studies
from katib.manager.storage.tokens import MODEL_KEY, make_token, model_list, read_token

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
# What a client gives, and what else the manager knows.
_GIVEN: Final = ("parameters", "metrics", "model_path", "data_set_name", "data_set_path", "saved_at")
_KNOWN: Final = ("study_id", "number", "state", "objective_value", "objective_kind")
_columns: Final = [saved_models.c[name] for name in ("study_name", "trial_id", *_GIVEN, *_KNOWN, "kept")]
_models: Final = select(*_columns).where(saved_models.c.study_name == bindparam("study"))
_MODELS: Final = Statement(
    _models.where(saved_models.c.trial_id > bindparam("after"))
    .order_by(saved_models.c.trial_id)
    .limit(bindparam("size"))
)
_MODEL: Final = Statement(_models.where(saved_models.c.trial_id == bindparam("trial")))
_KEPT: Final = Statement(
    select(*_columns).where(saved_models.c.study_id == bindparam("study"), saved_models.c.kept == 1)
)
_INSERT_MODEL: Final = Statement(insert(saved_models))
_update: Final = update(saved_models).where(
    saved_models.c.study_name == bindparam("study"), saved_models.c.trial_id == bindparam("trial")
)
_REPLACE_GIVEN: Final = Statement(_update, (*_GIVEN, "kept"))
_REPLACE: Final = Statement(_update, (*_GIVEN, *_KNOWN))
_REMOVE: Final = Statement(
    delete(saved_models).where(
        saved_models.c.study_name == bindparam("study"),
        saved_models.c.trial_id == bindparam("trial"),
        saved_models.c.kept == 1,
    )
)


def save_study(session: Session, study: SavedStudy) -> None:
    values = {"owner": study.owner, "description": study.description}
    if not session.write(_UPDATE_STUDY, study=study.name, **values):
        session.write(_INSERT_STUDY, name=study.name, **values)


def save_model(session: Session, model: SavedModel) -> None:
    if session.row(_LOCK_STUDY, study=model.study_name) is None:
        raise _no_study(model.study_name)
    row = {**_to_row(model), "kept": 0}
    given = {name: row[name] for name in (*_GIVEN, "kept")}
    if not session.write(_REPLACE_GIVEN, study=model.study_name, trial=model.trial_id, **given):
        session.write(_INSERT_MODEL, **row)


def keep(session: Session, study: SavedStudy, models: Sequence[SavedModel]) -> None:
    """The study unless it is there, and the models; one that a client has saved is completed."""
    if session.row(_LOCK_STUDY, study=study.name) is None:
        session.write(_INSERT_STUDY, name=study.name, owner=study.owner, description=study.description)
    if not models:
        return
    ids = {f"trial{i}": model.trial_id for i, model in enumerate(models)}
    there = {row[1]: _model_from_row(row) for row in session.rows(_named(len(ids)), study=study.name, **ids)}
    new = [_to_row(model) for model in models if model.trial_id not in there]
    changed = []
    for model in models:
        before = there.get(model.trial_id)
        if before is None:
            continue
        # One of our own that is there was kept already, before whatever made us try again.
        after = before if before.kept else completed_by(before, model)
        if after != before:
            changed.append({"study": study.name, "trial": model.trial_id, **_to_row(after)})
    session.write_all(_INSERT_MODEL, new)
    session.write_all(_REPLACE, changed)


def remove(session: Session, study_name: str, trial_ids: Sequence[str]) -> None:
    session.write_all(_REMOVE, [{"study": study_name, "trial": trial_id} for trial_id in trial_ids])


def list_studies(session: Session) -> Sequence[SavedStudy]:
    return [SavedStudy(name, owner, description) for name, owner, description in session.rows(_STUDIES)]


def list_models(session: Session, study_name: str, page_size: int, page_token: str) -> Page[SavedModel]:
    list_ = model_list(study_name)
    (after,) = read_token(list_, page_token, MODEL_KEY) if page_token else ("",)
    rows = session.rows(_MODELS, study=study_name, after=after, size=page_size + 1)
    if not rows and session.row(_STUDY, study=study_name) is None:
        raise _no_study(study_name)
    page = [_model_from_row(row) for row in rows[:page_size]]
    return Page(page, make_token(list_, (page[-1].trial_id,)) if len(rows) > page_size else "")


def kept_models(session: Session, study_id: str) -> Sequence[SavedModel]:
    return [_model_from_row(row) for row in session.rows(_KEPT, study=study_id)]


def get_model(session: Session, study_name: str, trial_id: str) -> SavedModel:
    row = session.row(_MODEL, study=study_name, trial=trial_id)
    if row is None:
        raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
    return _model_from_row(row)


@cache
def _named(trials: int) -> Statement:
    statement: Select[Any] = _models.where(saved_models.c.trial_id.in_(parameters("trial", trials)))
    return Statement(statement)


def _to_row(model: SavedModel) -> Mapping[str, Any]:
    objective_value, objective_kind = float_to_columns(model.objective)
    return {
        "study_name": model.study_name,
        "trial_id": model.trial_id,
        "parameters": parameters_to_json(model.parameters),
        "metrics": json.dumps(model.metrics, separators=(",", ":")),
        "model_path": model.model_path,
        "data_set_name": model.data_set_name,
        "data_set_path": model.data_set_path,
        "saved_at": to_micros_or_none(model.saved_at),
        "study_id": model.study_id,
        "number": model.number,
        "state": model.state.value if model.state else "",
        "objective_value": objective_value,
        "objective_kind": objective_kind,
        "kept": int(model.kept),
    }


def _model_from_row(row: Row) -> SavedModel:
    return SavedModel(
        study_name=row[0],
        trial_id=row[1],
        parameters=parameters_from_json(row[2]),
        metrics=tuple((name, value) for name, value in json.loads(row[3])),
        model_path=row[4],
        data_set_name=row[5],
        data_set_path=row[6],
        saved_at=from_micros_or_none(row[7]),
        study_id=row[8],
        number=row[9],
        state=TrialState(row[10]) if row[10] else None,
        objective=float_from_columns(row[11], row[12]),
        kept=bool(row[13]),
    )


def _no_study(name: str) -> NotFoundError:
    return NotFoundError(f"no study {name} was saved")
