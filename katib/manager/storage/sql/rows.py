"""Rows of the tables as the domain's objects, and back."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from katib.domain.metrics import Observation
from katib.domain.study import Intent, Study, StudySpec, StudyState
from katib.domain.study_json import (
    parameters_from_json,
    parameters_to_json,
    spec_from_json,
    spec_to_json,
    tags_from_json,
    tags_to_json,
)
from katib.domain.times import (
    from_micros,
    from_micros_or_none,
    period_from_micros_or_none,
    period_to_micros_or_none,
    to_micros,
    to_micros_or_none,
)
from katib.domain.trial import Trial, TrialState
from katib.manager.storage.decisions import needs_driver
from katib.manager.storage.sql.session import Row
from katib.manager.storage.sql.tables import observations, studies, trials

# In a study's `state`: removed, but for trials that are still being deleted. No StudyState, so no reader takes it for one.
DELETED: Final = "DELETED"
# And in its `active`, where an index finds it.
DELETED_ACTIVE: Final = -1

STUDY_COLUMNS: Final = (
    studies.c.id,
    studies.c.spec,
    studies.c.state,
    studies.c.created_at,
    studies.c.revision,
    studies.c.reason,
    studies.c.message,
    studies.c.intent,
    studies.c.ended_at,
    studies.c.suggested,
    studies.c.pending,
    studies.c.running,
    studies.c.completed,
    studies.c.killed,
    studies.c.failed,
    studies.c.best_trial_id,
    studies.c.best_value,
    studies.c.best_kind,
    studies.c.manager,
    studies.c.placement,
    studies.c.request_id,
    studies.c.observed,
    studies.c.places,
    studies.c.suggester,
    studies.c.suggester_trials,
)
TRIAL_COLUMNS: Final = (
    trials.c.id,
    trials.c.study_id,
    trials.c.number,
    trials.c.attempt,
    trials.c.state,
    trials.c.parameters,
    trials.c.created_at,
    trials.c.revision,
    trials.c.reason,
    trials.c.message,
    trials.c.tags,
    trials.c.run,
    trials.c.client_id,
    trials.c.objective_value,
    trials.c.objective_kind,
    trials.c.stop_reason,
    trials.c.stop_message,
    trials.c.output_cursor,
    trials.c.not_before,
    trials.c.started_at,
    trials.c.ended_at,
    trials.c.lease,
    trials.c.lease_ends,
    trials.c.model_path,
)
OBSERVATION_COLUMNS: Final = (
    observations.c.name,
    observations.c.value,
    observations.c.kind,
    observations.c.time,
    observations.c.attempt,
    observations.c.source,
    observations.c.position,
    observations.c.ordinal,
    observations.c.step,
)

# What a change of trials may change of their study, and what a move of the study itself; see the functions of these names.
STUDY_COUNTS: Final = (
    "revision",
    "suggested",
    "pending",
    "running",
    "completed",
    "killed",
    "failed",
    "best_trial_id",
    "best_value",
    "best_kind",
    "observed",
    "suggester",
    "suggester_trials",
)
STUDY_STATE: Final = ("state", "reason", "message", "intent", "active", "ended_at", "request_id", "places")
STUDY_SPEC: Final = ("name", "algorithm", "rule", "spec")
# What may change of a trial while its state and its attempt stay: no index but that of the revision has a part in it.
TRIAL_PROGRESS: Final = (
    "revision",
    "reason",
    "message",
    "run",
    "objective_value",
    "objective_kind",
    "stop_reason",
    "stop_message",
    "output_cursor",
    "model_path",
    "not_before",
    "started_at",
    "ended_at",
)
# And of one that a client has.
TRIAL_LEASE: Final = ("lease", "lease_ends")

# What a number is, where DOUBLE can hold finite ones only: MySQL has no others, and SQLite takes NaN for NULL.
_FINITE: Final = 0
_SPECIAL: Final = {1: math.inf, 2: -math.inf, 3: math.nan}

_STUDY_STATES: Final = {state.value: state for state in StudyState}
_TRIAL_STATES: Final = {state.value: state for state in TrialState}
_INTENTS: Final = {intent.value: intent for intent in Intent}

# A spec is read with every write to its study and hardly ever changes: the same text is the same spec.
_spec: Final = lru_cache(maxsize=256)(spec_from_json)


def float_to_columns(value: float | None) -> tuple[float | None, int | None]:
    """(value, kind); (None, None) for no number."""
    if value is None:
        return None, None
    if math.isfinite(value):
        return value, _FINITE
    return None, 3 if math.isnan(value) else 1 if value > 0 else 2


def float_from_columns(value: float | None, kind: int | None) -> float | None:
    if kind:
        return _SPECIAL[kind]
    return value if value is None else float(value)


def value_from_columns(value: float, kind: int) -> float:
    """Where there always is one."""
    return _SPECIAL[kind] if kind else float(value)


def study_from_row(row: Row) -> Study:
    """From STUDY_COLUMNS."""
    return Study(
        row[0],
        _spec(row[1]),
        _STUDY_STATES[row[2]],
        from_micros(row[3]),
        row[4],
        row[5],
        row[6],
        _INTENTS[row[7]],
        from_micros_or_none(row[8]),
        row[9],
        row[10],
        row[11],
        row[12],
        row[13],
        row[14],
        row[15],
        float_from_columns(row[16], row[17]),
        row[18],
        row[19],
        row[20] or "",
        row[21] or 0,
        tuple((row[22] or "").split()),
        (row[23] or "") if row[24] == row[9] else "",
    )


def study_counts_to_row(study: Study) -> dict[str, Any]:
    best_value, best_kind = float_to_columns(study.best_objective)
    return {
        "revision": study.revision,
        "suggested": study.suggested,
        "pending": study.pending,
        "running": study.running,
        "completed": study.completed,
        "killed": study.killed,
        "failed": study.failed,
        "best_trial_id": study.best_trial_id,
        "best_value": best_value,
        "best_kind": best_kind,
        "observed": study.observed,
        "suggester": study.suggester or None,
        "suggester_trials": study.suggested if study.suggester else None,
    }


def study_state_to_row(study: Study) -> dict[str, Any]:
    return {
        "state": study.state.value,
        "reason": study.reason,
        "message": study.message,
        "intent": study.intent.value,
        "active": int(needs_driver(study)),
        "ended_at": to_micros_or_none(study.ended_at),
        "request_id": study.request_id or None,
        "places": " ".join(study.places) or None,
    }


def study_spec_to_row(spec: StudySpec) -> dict[str, Any]:
    return {"name": spec.name, "algorithm": spec.algorithm, "rule": spec.rule, "spec": spec_to_json(spec)}


def study_to_row(study: Study) -> dict[str, Any]:
    """The whole row of `studies`."""
    return {
        "id": study.id,
        "created_at": to_micros(study.created_at),
        "manager": study.manager,
        "placement": study.placement,
        **study_counts_to_row(study),
        **study_state_to_row(study),
        **study_spec_to_row(study.spec),
    }


def trial_from_row(row: Row) -> Trial:
    """From TRIAL_COLUMNS."""
    return Trial(
        row[0],
        row[1],
        row[2],
        row[3],
        _TRIAL_STATES[row[4]],
        parameters_from_json(row[5]),
        from_micros(row[6]),
        row[7],
        row[8],
        row[9],
        tags_from_json(row[10]),
        row[11],
        row[12],
        float_from_columns(row[13], row[14]),
        row[15],
        row[16],
        row[17],
        from_micros_or_none(row[18]),
        from_micros_or_none(row[19]),
        from_micros_or_none(row[20]),
        period_from_micros_or_none(row[21]),
        from_micros_or_none(row[22]),
        row[23] or "",
    )


def trial_progress_to_row(trial: Trial) -> dict[str, Any]:
    objective_value, objective_kind = float_to_columns(trial.objective)
    return {
        "revision": trial.revision,
        "reason": trial.reason,
        "message": trial.message,
        "run": trial.run,
        "objective_value": objective_value,
        "objective_kind": objective_kind,
        "stop_reason": trial.stop_reason,
        "stop_message": trial.stop_message,
        "output_cursor": trial.cursor,
        "model_path": trial.model_path or None,
        "not_before": to_micros_or_none(trial.not_before),
        "started_at": to_micros_or_none(trial.started_at),
        "ended_at": to_micros_or_none(trial.ended_at),
    }


def trial_lease_to_row(trial: Trial) -> dict[str, Any]:
    return {"lease": period_to_micros_or_none(trial.lease), "lease_ends": to_micros_or_none(trial.lease_until)}


def trial_to_row(trial: Trial) -> dict[str, Any]:
    """The whole row of `trials`, of one that has no observations."""
    return {
        "id": trial.id,
        "study_id": trial.study_id,
        "number": trial.number,
        "attempt": trial.attempt,
        "state": trial.state.value,
        "client_id": trial.client_id,
        "created_at": to_micros(trial.created_at),
        "taken": 0,
        "parameters": parameters_to_json(trial.parameters),
        "tags": tags_to_json(trial.tags),
        **trial_progress_to_row(trial),
        **trial_lease_to_row(trial),
    }


def observation_from_row(row: Row) -> Observation:
    """From OBSERVATION_COLUMNS."""
    return Observation(row[0], value_from_columns(row[1], row[2]), from_micros(row[3]), *row[4:9])


def observation_to_row(trial_id: str, seq: int, observation: Observation) -> Mapping[str, Any]:
    value, kind = float_to_columns(observation.value)
    return {
        "trial_id": trial_id,
        "seq": seq,
        "attempt": observation.attempt,
        "source": observation.source,
        "position": observation.position,
        "ordinal": observation.ordinal,
        "name": observation.name,
        "value": value,
        "kind": kind,
        "time": to_micros(observation.time),
        "step": observation.step,
    }
