"""Between the wire's messages and the domain's types: trials and their observations."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.times import period_from_proto, period_to_proto, time_from_proto, time_to_proto
from katib.api.value_converters import (
    PARAMETER_TYPE_OF,
    objective_to_proto,
    parameters_from_proto,
    tags_from_proto,
    tags_to_proto,
)
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import Observation, format_value, parse_value
from katib.domain.times import EPOCH
from katib.domain.trial import Trial, TrialAttempt, TrialState

TRIAL_STATES: Final = {
    pb.PENDING: TrialState.PENDING,
    pb.RUNNING: TrialState.RUNNING,
    pb.COMPLETED: TrialState.COMPLETED,
    pb.KILLED: TrialState.KILLED,
    pb.ERROR: TrialState.ERROR,
}
_TRIAL_STATE_OF: Final = {v: k for k, v in TRIAL_STATES.items()}


def trial_to_proto(trial: Trial, curve: Sequence[Observation] = ()) -> pb.Trial:
    """`curve`: the observations that become the trial's eval_logs."""
    message = pb.Trial(
        trial_id=trial.id,
        study_id=trial.study_id,
        status=_TRIAL_STATE_OF[trial.state],
        eval_logs=logs_to_proto(curve),
        objective_value=objective_to_proto(trial.objective),
        tags=tags_to_proto(trial.tags),
        number=trial.number,
        attempt=trial.attempt,
        reason=trial.reason,
        message=trial.message,
        create_time=time_to_proto(trial.created_at),
        start_time=time_to_proto(trial.started_at),
        end_time=time_to_proto(trial.ended_at),
        run=trial.run,
        client_id=trial.client_id,
        lease=None if trial.lease is None else period_to_proto(trial.lease),
        lease_end_time=time_to_proto(trial.lease_until),
    )
    # Made in their place: as messages of their own they would be copied, and lists of trials are made of little else.
    add = message.parameter_set.add
    for parameter in trial.parameters:
        add(name=parameter.name, parameter_type=PARAMETER_TYPE_OF[parameter.type], value=parameter.value)
    return message


def logs_to_proto(curve: Iterable[Observation]) -> list[pb.EvaluationLog]:
    return [
        pb.EvaluationLog(
            time=o.time.isoformat(), metrics=[pb.Metrics(name=o.name, value=format_value(o.value))], step=o.step
        )
        for o in curve
    ]


def attempt_to_proto(attempt: TrialAttempt) -> pb.TrialAttempt:
    return pb.TrialAttempt(
        number=attempt.number,
        run=attempt.run,
        reason=attempt.reason,
        message=attempt.message,
        objective_value=objective_to_proto(attempt.objective),
        start_time=time_to_proto(attempt.started_at),
        end_time=time_to_proto(attempt.ended_at),
    )


def attempt_from_proto(message: pb.TrialAttempt) -> TrialAttempt:
    return TrialAttempt(
        number=message.number,
        run=message.run,
        reason=message.reason,
        message=message.message,
        objective=parse_value(message.objective_value),
        started_at=time_from_proto(message.start_time) if message.HasField("start_time") else None,
        ended_at=time_from_proto(message.end_time) if message.HasField("end_time") else None,
    )


def trial_from_proto(message: pb.Trial, path: str = "trial") -> Trial:
    """The wire does not carry what only the manager needs (cursor, stop request, revision): those are empty.

    A 0.1 manager sends neither number nor times: 0 and the epoch.
    """
    return Trial(
        id=message.trial_id,
        study_id=message.study_id,
        number=message.number,
        attempt=message.attempt,
        state=trial_state_from_proto(message.status, f"{path}.status"),
        parameters=parameters_from_proto(message.parameter_set, f"{path}.parameter_set"),
        created_at=time_from_proto(message.create_time),
        revision=0,
        reason=message.reason,
        message=message.message,
        tags=tags_from_proto(message.tags),
        run=message.run,
        client_id=message.client_id,
        objective=parse_value(message.objective_value),
        started_at=time_from_proto(message.start_time) if message.HasField("start_time") else None,
        ended_at=time_from_proto(message.end_time) if message.HasField("end_time") else None,
        lease=period_from_proto(message.lease, f"{path}.lease") if message.HasField("lease") else None,
        lease_until=time_from_proto(message.lease_end_time) if message.HasField("lease_end_time") else None,
    )


def curve_from_proto(message: pb.Trial) -> list[Observation]:
    """A trial's eval_logs as observations, numbered in their order; values that are no numbers are left out."""
    return [
        Observation(metric.name, value, _log_time(log.time), message.attempt, "output", i, j, _log_step(log))
        for i, log in enumerate(message.eval_logs)
        for j, metric in enumerate(log.metrics)
        if (value := parse_value(metric.value)) is not None
    ]


def curves_from_trials(trials: Iterable[pb.Trial]) -> Mapping[str, Sequence[Observation]]:
    """By trial id."""
    return {t.trial_id: curve_from_proto(t) for t in trials}


def _log_step(log: pb.EvaluationLog) -> int | None:
    return log.step if log.HasField("step") else None


def _log_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return EPOCH


def trial_state_from_proto(number: pb.TrialState, field: str) -> TrialState:
    state = TRIAL_STATES.get(number)
    if state is None:
        raise InvalidArgumentError.of(
            field, number, "expected 0 (PENDING), 1 (RUNNING), 2 (COMPLETED), 3 (KILLED) or 120 (ERROR)"
        )
    return state


def trial_state_to_proto(state: TrialState) -> pb.TrialState:
    return _TRIAL_STATE_OF[state]


def observation_to_proto(observation: Observation) -> pb.Observation:
    return pb.Observation(
        name=observation.name,
        value=observation.value,
        step=observation.step,
        time=time_to_proto(observation.time),
        attempt=observation.attempt,
        source=observation.source,
        sequence=observation.position,
    )


def observation_from_proto(message: pb.Observation, now: datetime | None = None, path: str = "") -> Observation:
    """`now` stands for a time that was not sent."""
    return Observation(
        name=message.name,
        value=message.value,
        time=time_from_proto(message.time, f"{path}.time") if message.HasField("time") or now is None else now,
        attempt=message.attempt,
        source=message.source,
        position=message.sequence,
        step=message.step if message.HasField("step") else None,
    )
