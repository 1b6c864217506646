"""A saved model as text, for stores that know less than that."""

import json
from datetime import datetime

from katib.domain.metrics import format_value, parse_value
from katib.domain.models import SavedModel
from katib.domain.study_json import parameters_from_json, parameters_to_json
from katib.domain.trial import TrialState


def record_to_text(model: SavedModel) -> str:
    """ASCII."""
    record = {
        "study_name": model.study_name,
        "trial_id": model.trial_id,
        "parameters": parameters_to_json(model.parameters),
        "metrics": model.metrics,
        "model_path": model.model_path,
        "data_set": [model.data_set_name, model.data_set_path],
        "saved_at": model.saved_at.isoformat() if model.saved_at else "",
        "study_id": model.study_id,
        "number": model.number,
        "state": model.state.value if model.state else "",
        "objective": "" if model.objective is None else format_value(model.objective),
        "kept": model.kept,
    }
    return json.dumps(record, separators=(",", ":"))


def record_from_text(text: str) -> SavedModel:
    record = json.loads(text)
    return SavedModel(
        study_name=record["study_name"],
        trial_id=record["trial_id"],
        parameters=parameters_from_json(record["parameters"]),
        metrics=tuple((name, value) for name, value in record["metrics"]),
        model_path=record["model_path"],
        data_set_name=record["data_set"][0],
        data_set_path=record["data_set"][1],
        saved_at=datetime.fromisoformat(record["saved_at"]) if record["saved_at"] else None,
        study_id=record["study_id"],
        number=record["number"],
        state=TrialState(record["state"]) if record["state"] else None,
        objective=parse_value(record["objective"]),
        kept=record["kept"],
    )
