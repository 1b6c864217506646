"""Models between the wire and the domain."""

from datetime import datetime

from katib.api import api_pb2 as pb
from katib.api.times import time_from_proto, time_to_proto
from katib.api.trial_converters import trial_state_from_proto, trial_state_to_proto
from katib.api.value_converters import objective_to_proto, parameters_from_proto, parameters_to_proto
from katib.domain.metrics import parse_value
from katib.domain.models import SavedModel, SavedStudy


def saved_study_to_proto(study: SavedStudy) -> pb.StudyOverview:
    return pb.StudyOverview(name=study.name, owner=study.owner, description=study.description)


def saved_study_from_proto(message: pb.StudyOverview | pb.SaveStudyRequest) -> SavedStudy:
    name = message.study_name if isinstance(message, pb.SaveStudyRequest) else message.name
    return SavedStudy(name, message.owner, message.description)


def given_model_from_proto(request: pb.SaveModelRequest) -> SavedModel:
    """What a client may say of a model. Raises InvalidArgumentError."""
    model = request.model
    return SavedModel(
        study_name=model.study_name,
        trial_id=model.trial_id,
        parameters=parameters_from_proto(model.parameters, "model.parameters"),
        metrics=tuple((m.name, m.value) for m in model.metrics),
        model_path=model.model_path,
        data_set_name=request.data_set.name,
        data_set_path=request.data_set.path,
    )


def model_to_proto(model: SavedModel) -> pb.ModelInfo:
    message = pb.ModelInfo(
        study_name=model.study_name,
        trial_id=model.trial_id,
        parameters=parameters_to_proto(model.parameters),
        metrics=[pb.Metrics(name=name, value=value) for name, value in model.metrics],
        model_path=model.model_path,
        study_id=model.study_id,
        number=model.number,
        objective_value=objective_to_proto(model.objective),
        kept=model.kept,
    )
    if model.state is not None:
        message.state = trial_state_to_proto(model.state)
    if (time := time_to_proto(model.saved_at)) is not None:
        message.save_time.CopyFrom(time)
    if model.data_set_name or model.data_set_path:
        message.data_set.CopyFrom(pb.DataSetInfo(name=model.data_set_name, path=model.data_set_path))
    return message


def model_from_proto(message: pb.ModelInfo) -> SavedModel:
    return SavedModel(
        study_name=message.study_name,
        trial_id=message.trial_id,
        parameters=parameters_from_proto(message.parameters, "parameters"),
        metrics=tuple((m.name, m.value) for m in message.metrics),
        model_path=message.model_path,
        data_set_name=message.data_set.name,
        data_set_path=message.data_set.path,
        saved_at=_time(message),
        study_id=message.study_id,
        number=message.number,
        state=trial_state_from_proto(message.state, "state") if message.HasField("state") else None,
        objective=parse_value(message.objective_value),
        kept=message.kept,
    )


def _time(message: pb.ModelInfo) -> datetime | None:
    return time_from_proto(message.save_time) if message.HasField("save_time") else None
