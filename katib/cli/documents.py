"""Studies and trials as plain data for programs: field names are stable, numbers are numbers, times are RFC 3339."""

import math
from datetime import UTC, datetime
from typing import Final, TypeAlias

from katib.domain.asked import algorithm_of
from katib.domain.metrics import Observation, parse_value
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.search_space import Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.study import StudySpec
from katib.domain.study_file_tree import study_tree
from katib.domain.study_file_values import parse_whole
from katib.domain.trial import Trial
from katib.domain.views import ServiceStatus, StudyDetail, StudySummary, TrialDetail

Document: TypeAlias = dict[str, object]

# The columns of a CSV, in order: what `study_document` and the others give.
STUDY_FIELDS: Final = (
    *("id", "name", "owner", "state", "reason", "message", "algorithm", "early_stopping"),
    *("objective_name", "objective_type", "max_trials", "max_parallel"),
    *("pending", "running", "completed", "killed", "failed"),
    *("best_trial_id", "best_objective", "created_at", "ended_at"),
)
TRIAL_FIELDS: Final = (
    *("id", "study_id", "number", "attempt", "state", "reason", "message", "objective", "parameters", "tags"),
    *("run", "client_id", "lease_until", "created_at", "started_at", "ended_at"),
)
MODEL_FIELDS: Final = (
    *("study_name", "study_id", "trial_id", "number", "state", "objective", "model_path", "parameters", "metrics"),
    *("data_set_name", "data_set_path", "saved_at", "kept"),
)
PROJECT_FIELDS: Final = ("name", "owner", "description")
SERVICE_FIELDS: Final = ("name", "kind", "serving", "address", "message")


def study_document(study: StudySummary) -> Document:
    return {
        "id": study.id,
        "name": study.name,
        "owner": study.owner,
        "state": study.state.value,
        "reason": study.reason,
        "message": study.message,
        "algorithm": study.algorithm,
        "early_stopping": study.early_stopping,
        "objective_name": study.objective_name,
        "objective_type": study.optimization.value if study.optimization else None,
        "max_trials": study.max_trials,
        "max_parallel": study.max_parallel,
        "pending": study.pending,
        "running": study.running,
        "completed": study.completed,
        "killed": study.killed,
        "failed": study.failed,
        "best_trial_id": study.best_trial_id or None,
        "best_objective": study.best_objective,
        "created_at": time(study.created_at),
        "ended_at": time(study.ended_at),
    }


def trial_document(trial: Trial) -> Document:
    return {
        "id": trial.id,
        "study_id": trial.study_id,
        "number": trial.number,
        "attempt": trial.attempt,
        "state": trial.state.value,
        "reason": trial.reason,
        "message": trial.message,
        "objective": trial.objective,
        "parameters": {parameter.name: parameter_value(parameter) for parameter in trial.parameters},
        "tags": {tag.name: tag.value for tag in trial.tags},
        "run": trial.run,
        "client_id": trial.client_id,
        "lease_until": time(trial.lease_until),
        "created_at": time(trial.created_at),
        "started_at": time(trial.started_at),
        "ended_at": time(trial.ended_at),
    }


def model_document(model: SavedModel) -> Document:
    return {
        "study_name": model.study_name,
        "study_id": model.study_id or None,
        "trial_id": model.trial_id,
        "number": model.number or None,
        "state": model.state.value if model.state else None,
        "objective": model.objective,
        "model_path": model.model_path or None,
        "parameters": {parameter.name: parameter_value(parameter) for parameter in model.parameters},
        "metrics": {name: _metric_value(value) for name, value in model.metrics},
        "data_set_name": model.data_set_name or None,
        "data_set_path": model.data_set_path or None,
        "saved_at": time(model.saved_at),
        "kept": model.kept,
    }


def project_document(study: SavedStudy) -> Document:
    return {"name": study.name, "owner": study.owner, "description": study.description}


def _metric_value(text: str) -> object:
    """A client may have saved anything as a metric."""
    value = parse_value(text)
    return text if value is None else value


def study_detail_document(detail: StudyDetail) -> Document:
    best = detail.best_trial
    return {
        **study_document(detail.summary),
        # Beside `algorithm`, which says by being empty that clients ask.
        "asked_algorithm": algorithm_of(detail.spec) or None,
        "best_trial": None if best is None else trial_document(best),
        "spec": spec_document(detail.spec),
    }


def spec_document(spec: StudySpec) -> Document:
    """The study's configuration with the keys of a study file; the bounds of numbers are numbers."""
    document = study_tree(spec)
    document["parameters"] = [_parameter_document(config) for config in spec.parameters]
    return document


def _parameter_document(config: ParameterConfig) -> Document:
    feasible = config.feasible
    numeric = config.type is not ParameterType.CATEGORICAL
    document: Document = {"name": config.name, "type": config.type.value if config.type else None}
    for name, text in (("min", feasible.min), ("max", feasible.max), ("step", feasible.step)):
        if text:
            document[name] = _number(text)
    if feasible.list:
        document["list"] = [_number(text) if numeric else text for text in feasible.list]
    if feasible.scale is not Scale.LINEAR:
        document["scale"] = feasible.scale.value
    return document


def trial_detail_document(detail: TrialDetail) -> Document:
    return {
        **trial_document(detail.trial),
        "observations": [observation_document(observation) for observation in detail.observations],
        "observations_truncated": detail.truncated,
        "earlier_attempts": [
            {
                "number": a.number,
                "run": a.run,
                "reason": a.reason,
                "message": a.message,
                "objective": a.objective,
                "started_at": time(a.started_at),
                "ended_at": time(a.ended_at),
            }
            for a in detail.earlier
        ],
    }


def observation_document(observation: Observation) -> Document:
    return {
        "name": observation.name,
        "value": observation.value,
        "step": observation.step,
        "time": time(observation.time),
        "attempt": observation.attempt,
        "source": observation.source,
    }


def service_document(service: ServiceStatus) -> Document:
    return {
        "name": service.name,
        "kind": service.kind.value,
        "serving": service.serving,
        "address": service.address,
        "message": service.message,
    }


def parameter_value(parameter: Parameter) -> str | int | float:
    """A number where the parameter's type is one, the text where it is none."""
    return parameter.value if parameter.type is ParameterType.CATEGORICAL else _number(parameter.value)


def _number(text: str) -> str | int | float:
    """A whole number keeps all its digits; what is no finite number stays a text."""
    whole = parse_whole(text)
    if whole is not None:
        return whole
    number = parse_value(text)
    return text if number is None or not math.isfinite(number) else number


def time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
