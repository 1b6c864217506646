"""Between the wire's messages and the domain's types. Enums go by one table each and its inverse; nothing else converts.

From the wire: what has no counterpart in the domain (an enum's unknown number, a time out of range) is an
InvalidArgumentError on the field's path; everything else is the domain's to check.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.pod_converters import pod_from_proto, pod_to_proto
from katib.api.times import EPOCH, period_from_proto, period_to_proto, time_from_proto, time_to_proto
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MetricStrategy, Observation, format_value, parse_value
from katib.domain.pod import NO_POD_SETTINGS
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec, StudyState
from katib.domain.trial import Tag, Trial, TrialAttempt, TrialState
from katib.domain.views import ServiceKind, ServiceStatus, StudySummary

PARAMETER_TYPES: Final = {
    pb.DOUBLE: ParameterType.DOUBLE,
    pb.INT: ParameterType.INT,
    pb.DISCRETE: ParameterType.DISCRETE,
    pb.CATEGORICAL: ParameterType.CATEGORICAL,
}
SCALES: Final = {pb.LINEAR: Scale.LINEAR, pb.LOG: Scale.LOG}
OBJECTIVES: Final = {pb.MINIMIZE: Objective.MINIMIZE, pb.MAXIMIZE: Objective.MAXIMIZE}
TRIAL_STATES: Final = {
    pb.PENDING: TrialState.PENDING,
    pb.RUNNING: TrialState.RUNNING,
    pb.COMPLETED: TrialState.COMPLETED,
    pb.KILLED: TrialState.KILLED,
    pb.ERROR: TrialState.ERROR,
}
STUDY_STATES: Final = {
    pb.STUDY_RUNNING: StudyState.RUNNING,
    pb.STUDY_PAUSED: StudyState.PAUSED,
    pb.STUDY_COMPLETED: StudyState.COMPLETED,
    pb.STUDY_STOPPED: StudyState.STOPPED,
    pb.STUDY_FAILED: StudyState.FAILED,
}
STRATEGIES: Final = {
    pb.METRIC_STRATEGY_LATEST: MetricStrategy.LATEST,
    pb.METRIC_STRATEGY_MIN: MetricStrategy.MIN,
    pb.METRIC_STRATEGY_MAX: MetricStrategy.MAX,
}
SERVICE_KINDS: Final = {
    pb.AlgorithmInfo.SUGGESTION: ServiceKind.SUGGESTION,
    pb.AlgorithmInfo.EARLY_STOPPING: ServiceKind.EARLY_STOPPING,
}
_PARAMETER_TYPE_OF: Final = {v: k for k, v in PARAMETER_TYPES.items()}
_SCALE_OF: Final = {v: k for k, v in SCALES.items()}
_OBJECTIVE_OF: Final = {v: k for k, v in OBJECTIVES.items()}
_TRIAL_STATE_OF: Final = {v: k for k, v in TRIAL_STATES.items()}
_STUDY_STATE_OF: Final = {v: k for k, v in STUDY_STATES.items()}
_STRATEGY_OF: Final = {v: k for k, v in STRATEGIES.items()}
_SERVICE_KIND_OF: Final = {v: k for k, v in SERVICE_KINDS.items()}

_LIMIT_COUNTS: Final = ("max_trials", "max_parallel", "max_failed_trials", "retry_limit")
_LIMIT_PERIODS: Final = ("trial_timeout", "max_duration")


# Studies


def spec_to_proto(spec: StudySpec) -> pb.StudyConfig:
    message = pb.StudyConfig(
        name=spec.name,
        owner=spec.owner,
        optimization_type=pb.UNKNOWN_OPTIMIZATION if spec.optimization is None else _OBJECTIVE_OF[spec.optimization],
        optimization_goal=spec.goal,
        access_permissions=spec.access_permissions,
        suggest_algorithm=spec.algorithm,
        early_stopping_algorithm=spec.early_stopping,
        study_task_name=spec.task_name,
        suggestion_parameters=[pb.SuggestionParameter(name=s.name, value=s.value) for s in spec.settings],
        early_stopping_parameters=[
            pb.EarlyStoppingParameter(name=s.name, value=s.value) for s in spec.early_stopping_settings
        ],
        tags=_tags_to_proto(spec.tags),
        objective_value_name=spec.objective_name,
        metrics=spec.metrics,
        image=spec.image,
        command=spec.command,
        gpu=spec.gpu,
        scheduler=spec.scheduler,
        pull_secret=spec.pull_secret,
        working_dir=spec.working_dir,
        objective_strategy=_STRATEGY_OF[spec.objective_strategy],
        pod=pod_to_proto(spec.pod),
    )
    message.parameter_configs.SetInParent()
    for config in spec.parameters:
        feasible = config.feasible
        message.parameter_configs.configs.add(
            name=config.name,
            parameter_type=pb.UNKNOWN_TYPE if config.type is None else _PARAMETER_TYPE_OF[config.type],
            feasible=pb.FeasibleSpace(
                max=feasible.max,
                min=feasible.min,
                list=feasible.list,
                step=feasible.step,
                scale=_SCALE_OF[feasible.scale],
            ),
        )
    if spec.mount is not None:
        message.mount.CopyFrom(pb.MountConf(pvc=spec.mount.pvc, path=spec.mount.path))
    for name in _LIMIT_COUNTS:
        if (value := getattr(spec.limits, name)) is not None:
            setattr(message, name, value)
    for name in _LIMIT_PERIODS:
        if (period := getattr(spec.limits, name)) is not None:
            getattr(message, name).CopyFrom(period_to_proto(period))
    return message


def spec_from_proto(message: pb.StudyConfig, path: str = "study_config") -> StudySpec:
    strategy = STRATEGIES.get(message.objective_strategy)
    if strategy is None:
        raise InvalidArgumentError.of(
            f"{path}.objective_strategy", message.objective_strategy, "expected 0 (latest), 1 (min) or 2 (max)"
        )
    return StudySpec(
        name=message.name,
        owner=message.owner,
        optimization=OBJECTIVES.get(message.optimization_type),
        goal=message.optimization_goal if message.HasField("optimization_goal") else None,
        parameters=tuple(
            _config_from_proto(config, f"{path}.parameter_configs.configs[{i}]")
            for i, config in enumerate(message.parameter_configs.configs)
        ),
        access_permissions=tuple(message.access_permissions),
        algorithm=message.suggest_algorithm,
        early_stopping=message.early_stopping_algorithm,
        task_name=message.study_task_name,
        settings=settings_from_proto(message.suggestion_parameters),
        early_stopping_settings=settings_from_proto(message.early_stopping_parameters),
        tags=tags_from_proto(message.tags),
        objective_name=message.objective_value_name,
        metrics=tuple(message.metrics),
        image=message.image,
        command=tuple(message.command),
        gpu=message.gpu,
        scheduler=message.scheduler,
        mount=Mount(message.mount.pvc, message.mount.path) if message.HasField("mount") else None,
        pull_secret=message.pull_secret,
        limits=limits_from_proto(message, path),
        working_dir=message.working_dir,
        objective_strategy=strategy,
        pod=pod_from_proto(message.pod, f"{path}.pod") if message.HasField("pod") else NO_POD_SETTINGS,
    )


def limits_from_proto(message: pb.StudyConfig | pb.UpdateStudyRequest, path: str = "") -> Limits:
    """The limits that are set in a message that has them under the names of `Limits`."""

    def at(name: str) -> str:
        return f"{path}.{name}" if path else name

    return Limits(
        max_trials=message.max_trials if message.HasField("max_trials") else None,
        max_parallel=message.max_parallel if message.HasField("max_parallel") else None,
        max_failed_trials=message.max_failed_trials if message.HasField("max_failed_trials") else None,
        retry_limit=message.retry_limit if message.HasField("retry_limit") else None,
        trial_timeout=period_from_proto(message.trial_timeout, at("trial_timeout"))
        if message.HasField("trial_timeout")
        else None,
        max_duration=period_from_proto(message.max_duration, at("max_duration"))
        if message.HasField("max_duration")
        else None,
    )


def _config_from_proto(config: pb.ParameterConfig, path: str) -> ParameterConfig:
    scale = SCALES.get(config.feasible.scale)
    if scale is None:
        raise InvalidArgumentError.of(f"{path}.feasible.scale", config.feasible.scale, "expected 0 (linear) or 1 (log)")
    feasible = config.feasible
    return ParameterConfig(
        config.name,
        PARAMETER_TYPES.get(config.parameter_type),
        FeasibleSpace(feasible.min, feasible.max, tuple(feasible.list), feasible.step, scale),
    )


def settings_from_proto(
    messages: Iterable[pb.SuggestionParameter] | Iterable[pb.EarlyStoppingParameter],
) -> tuple[Setting, ...]:
    return tuple(Setting(m.name, m.value) for m in messages)


def _tags_to_proto(tags: Sequence[Tag]) -> list[pb.Tag]:
    return [pb.Tag(name=t.name, value=t.value) for t in tags]


def tags_from_proto(messages: Iterable[pb.Tag]) -> tuple[Tag, ...]:
    return tuple(Tag(m.name, m.value) for m in messages)


def study_state_from_proto(number: pb.StudyState, field: str) -> StudyState:
    state = STUDY_STATES.get(number)
    if state is None:
        raise InvalidArgumentError.of(field, number, "expected one of StudyState but STUDY_STATE_UNSPECIFIED")
    return state


def study_state_to_proto(state: StudyState) -> pb.StudyState:
    return _STUDY_STATE_OF[state]


def summary_to_proto(study: StudySummary) -> pb.StudyInfo:
    return pb.StudyInfo(
        study_id=study.id,
        name=study.name,
        owner=study.owner,
        running_trial_num=study.running,
        completed_trial_num=study.completed,
        state=_STUDY_STATE_OF[study.state],
        reason=study.reason,
        message=study.message,
        create_time=time_to_proto(study.created_at),
        end_time=time_to_proto(study.ended_at),
        pending=study.pending,
        failed=study.failed,
        killed=study.killed,
        best_trial_id=study.best_trial_id,
        best_objective_value=_objective_to_proto(study.best_objective),
        suggest_algorithm=study.algorithm,
        early_stopping_algorithm=study.early_stopping,
        optimization_type=pb.UNKNOWN_OPTIMIZATION if study.optimization is None else _OBJECTIVE_OF[study.optimization],
        objective_value_name=study.objective_name,
        max_trials=study.max_trials,
        max_parallel=study.max_parallel,
        revision=study.revision,
    )


def summary_from_proto(message: pb.StudyInfo) -> StudySummary:
    return StudySummary(
        id=message.study_id,
        name=message.name,
        owner=message.owner,
        state=study_state_from_proto(message.state, "state"),
        reason=message.reason,
        message=message.message,
        created_at=time_from_proto(message.create_time),
        ended_at=time_from_proto(message.end_time) if message.HasField("end_time") else None,
        pending=message.pending,
        running=message.running_trial_num,
        completed=message.completed_trial_num,
        killed=message.killed,
        failed=message.failed,
        best_trial_id=message.best_trial_id,
        best_objective=parse_value(message.best_objective_value),
        algorithm=message.suggest_algorithm,
        early_stopping=message.early_stopping_algorithm,
        optimization=OBJECTIVES.get(message.optimization_type),
        objective_name=message.objective_value_name,
        max_trials=message.max_trials if message.HasField("max_trials") else None,
        max_parallel=message.max_parallel if message.HasField("max_parallel") else None,
        revision=message.revision,
    )


# Trials


def parameters_to_proto(parameters: Sequence[Parameter]) -> list[pb.Parameter]:
    return [pb.Parameter(name=p.name, parameter_type=_PARAMETER_TYPE_OF[p.type], value=p.value) for p in parameters]


def parameters_from_proto(messages: Sequence[pb.Parameter], path: str) -> tuple[Parameter, ...]:
    parameters = []
    for i, message in enumerate(messages):
        type_ = PARAMETER_TYPES.get(message.parameter_type)
        if type_ is None:
            raise InvalidArgumentError.of(
                f"{path}[{i}].parameter_type", message.parameter_type, "expected one of ParameterType"
            )
        parameters.append(Parameter(message.name, type_, message.value))
    return tuple(parameters)


def trial_to_proto(trial: Trial, curve: Sequence[Observation] = ()) -> pb.Trial:
    """`curve`: the observations that become the trial's eval_logs."""
    return pb.Trial(
        trial_id=trial.id,
        study_id=trial.study_id,
        parameter_set=parameters_to_proto(trial.parameters),
        status=_TRIAL_STATE_OF[trial.state],
        eval_logs=[
            pb.EvaluationLog(time=o.time.isoformat(), metrics=[pb.Metrics(name=o.name, value=format_value(o.value))])
            for o in curve
        ],
        objective_value=_objective_to_proto(trial.objective),
        tags=_tags_to_proto(trial.tags),
        number=trial.number,
        attempt=trial.attempt,
        reason=trial.reason,
        message=trial.message,
        create_time=time_to_proto(trial.created_at),
        start_time=time_to_proto(trial.started_at),
        end_time=time_to_proto(trial.ended_at),
        run=trial.run,
        client_id=trial.client_id,
    )


def attempt_to_proto(attempt: TrialAttempt) -> pb.TrialAttempt:
    return pb.TrialAttempt(
        number=attempt.number,
        run=attempt.run,
        reason=attempt.reason,
        message=attempt.message,
        objective_value=_objective_to_proto(attempt.objective),
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
    )


def curve_from_proto(message: pb.Trial) -> list[Observation]:
    """A trial's eval_logs as observations, numbered in their order; values that are no numbers are left out."""
    return [
        Observation(metric.name, value, _log_time(log.time), message.attempt, "output", i, j)
        for i, log in enumerate(message.eval_logs)
        for j, metric in enumerate(log.metrics)
        if (value := parse_value(metric.value)) is not None
    ]


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


def _objective_to_proto(value: float | None) -> str:
    return "" if value is None else format_value(value)


# Observations


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


# Services


def service_to_proto(service: ServiceStatus) -> pb.AlgorithmInfo:
    return pb.AlgorithmInfo(
        name=service.name,
        kind=_SERVICE_KIND_OF[service.kind],
        serving=service.serving,
        address=service.address,
        message=service.message,
    )


def service_from_proto(message: pb.AlgorithmInfo) -> ServiceStatus:
    return ServiceStatus(message.name, SERVICE_KINDS[message.kind], message.address, message.serving, message.message)


def curves_from_trials(trials: Iterable[pb.Trial]) -> Mapping[str, Sequence[Observation]]:
    """By trial id."""
    return {t.trial_id: curve_from_proto(t) for t in trials}
