"""Between the wire's messages and the domain's types: studies.

Enums go by one table each and its inverse; nothing else converts.

From the wire: what has no counterpart in the domain (an enum's unknown number, a time out of range) is an
InvalidArgumentError on the field's path; everything else is the domain's to check.
"""

from collections.abc import Iterable
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.collector_converters import collector_from_proto, collector_to_proto
from katib.api.pod_converters import pod_from_proto, pod_to_proto
from katib.api.times import period_from_proto, period_to_proto, time_from_proto, time_to_proto
from katib.api.value_converters import (
    PARAMETER_TYPE_OF,
    PARAMETER_TYPES,
    objective_to_proto,
    tags_from_proto,
    tags_to_proto,
)
from katib.domain.collector import DEFAULT_COLLECTOR
from katib.domain.errors import InvalidArgumentError, below
from katib.domain.metrics import MetricStrategy, parse_value
from katib.domain.pod import NO_POD_SETTINGS
from katib.domain.search_space import FeasibleSpace, ParameterConfig, Scale
from katib.domain.study import Limits, Mount, Objective, Setting, StudySpec, StudyState
from katib.domain.views import StudySummary

SCALES: Final = {pb.LINEAR: Scale.LINEAR, pb.LOG: Scale.LOG}
OBJECTIVES: Final = {pb.MINIMIZE: Objective.MINIMIZE, pb.MAXIMIZE: Objective.MAXIMIZE}
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
_SCALE_OF: Final = {v: k for k, v in SCALES.items()}
_OBJECTIVE_OF: Final = {v: k for k, v in OBJECTIVES.items()}
_STUDY_STATE_OF: Final = {v: k for k, v in STUDY_STATES.items()}
_STRATEGY_OF: Final = {v: k for k, v in STRATEGIES.items()}

_LIMIT_COUNTS: Final = ("max_trials", "max_parallel", "max_failed_trials", "retry_limit")
_LIMIT_PERIODS: Final = ("trial_timeout", "max_duration")


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
        tags=tags_to_proto(spec.tags),
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
        metrics_collector=collector_to_proto(spec.collector),
        keep_models=spec.keep_models,
    )
    message.parameter_configs.SetInParent()
    for config in spec.parameters:
        feasible = config.feasible
        message.parameter_configs.configs.add(
            name=config.name,
            parameter_type=pb.UNKNOWN_TYPE if config.type is None else PARAMETER_TYPE_OF[config.type],
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
        collector=collector_from_proto(message.metrics_collector, f"{path}.metrics_collector")
        if message.HasField("metrics_collector")
        else DEFAULT_COLLECTOR,
        keep_models=message.keep_models,
    )


def limits_from_proto(message: pb.StudyConfig | pb.UpdateStudyRequest, path: str = "") -> Limits:
    """The limits that are set in a message that has them under the names of `Limits`."""
    return Limits(
        max_trials=message.max_trials if message.HasField("max_trials") else None,
        max_parallel=message.max_parallel if message.HasField("max_parallel") else None,
        max_failed_trials=message.max_failed_trials if message.HasField("max_failed_trials") else None,
        retry_limit=message.retry_limit if message.HasField("retry_limit") else None,
        trial_timeout=period_from_proto(message.trial_timeout, below(path, "trial_timeout"))
        if message.HasField("trial_timeout")
        else None,
        max_duration=period_from_proto(message.max_duration, below(path, "max_duration"))
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
        best_objective_value=objective_to_proto(study.best_objective),
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
