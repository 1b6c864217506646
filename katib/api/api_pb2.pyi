import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParameterType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN_TYPE: _ClassVar[ParameterType]
    DOUBLE: _ClassVar[ParameterType]
    INT: _ClassVar[ParameterType]
    DISCRETE: _ClassVar[ParameterType]
    CATEGORICAL: _ClassVar[ParameterType]

class OptimizationType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN_OPTIMIZATION: _ClassVar[OptimizationType]
    MINIMIZE: _ClassVar[OptimizationType]
    MAXIMIZE: _ClassVar[OptimizationType]

class TrialState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PENDING: _ClassVar[TrialState]
    RUNNING: _ClassVar[TrialState]
    COMPLETED: _ClassVar[TrialState]
    KILLED: _ClassVar[TrialState]
    ERROR: _ClassVar[TrialState]

class Scale(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINEAR: _ClassVar[Scale]
    LOG: _ClassVar[Scale]

class StudyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STUDY_STATE_UNSPECIFIED: _ClassVar[StudyState]
    STUDY_RUNNING: _ClassVar[StudyState]
    STUDY_PAUSED: _ClassVar[StudyState]
    STUDY_COMPLETED: _ClassVar[StudyState]
    STUDY_STOPPED: _ClassVar[StudyState]
    STUDY_FAILED: _ClassVar[StudyState]

class History(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HISTORY_FINALS: _ClassVar[History]
    HISTORY_NONE: _ClassVar[History]
    HISTORY_CURVES: _ClassVar[History]
    HISTORY_OTHERS: _ClassVar[History]

class MetricStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_STRATEGY_LATEST: _ClassVar[MetricStrategy]
    METRIC_STRATEGY_MIN: _ClassVar[MetricStrategy]
    METRIC_STRATEGY_MAX: _ClassVar[MetricStrategy]

class MetricsSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRICS_SOURCE_OUTPUT: _ClassVar[MetricsSource]
    METRICS_SOURCE_FILE: _ClassVar[MetricsSource]
    METRICS_SOURCE_TENSORBOARD: _ClassVar[MetricsSource]

class MetricsReader(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRICS_READER_MANAGER: _ClassVar[MetricsReader]
    METRICS_READER_SDK: _ClassVar[MetricsReader]

class MetricsFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRICS_FORMAT_TEXT: _ClassVar[MetricsFormat]
    METRICS_FORMAT_JSON: _ClassVar[MetricsFormat]
    METRICS_FORMAT_PATTERN: _ClassVar[MetricsFormat]
UNKNOWN_TYPE: ParameterType
DOUBLE: ParameterType
INT: ParameterType
DISCRETE: ParameterType
CATEGORICAL: ParameterType
UNKNOWN_OPTIMIZATION: OptimizationType
MINIMIZE: OptimizationType
MAXIMIZE: OptimizationType
PENDING: TrialState
RUNNING: TrialState
COMPLETED: TrialState
KILLED: TrialState
ERROR: TrialState
LINEAR: Scale
LOG: Scale
STUDY_STATE_UNSPECIFIED: StudyState
STUDY_RUNNING: StudyState
STUDY_PAUSED: StudyState
STUDY_COMPLETED: StudyState
STUDY_STOPPED: StudyState
STUDY_FAILED: StudyState
HISTORY_FINALS: History
HISTORY_NONE: History
HISTORY_CURVES: History
HISTORY_OTHERS: History
METRIC_STRATEGY_LATEST: MetricStrategy
METRIC_STRATEGY_MIN: MetricStrategy
METRIC_STRATEGY_MAX: MetricStrategy
METRICS_SOURCE_OUTPUT: MetricsSource
METRICS_SOURCE_FILE: MetricsSource
METRICS_SOURCE_TENSORBOARD: MetricsSource
METRICS_READER_MANAGER: MetricsReader
METRICS_READER_SDK: MetricsReader
METRICS_FORMAT_TEXT: MetricsFormat
METRICS_FORMAT_JSON: MetricsFormat
METRICS_FORMAT_PATTERN: MetricsFormat

class FeasibleSpace(_message.Message):
    __slots__ = ("max", "min", "list", "step", "scale")
    MAX_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    max: str
    min: str
    list: _containers.RepeatedScalarFieldContainer[str]
    step: str
    scale: Scale
    def __init__(self, max: _Optional[str] = ..., min: _Optional[str] = ..., list: _Optional[_Iterable[str]] = ..., step: _Optional[str] = ..., scale: _Optional[_Union[Scale, str]] = ...) -> None: ...

class ParameterConfig(_message.Message):
    __slots__ = ("name", "parameter_type", "feasible")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_TYPE_FIELD_NUMBER: _ClassVar[int]
    FEASIBLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameter_type: ParameterType
    feasible: FeasibleSpace
    def __init__(self, name: _Optional[str] = ..., parameter_type: _Optional[_Union[ParameterType, str]] = ..., feasible: _Optional[_Union[FeasibleSpace, _Mapping]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "parameter_type", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameter_type: ParameterType
    value: str
    def __init__(self, name: _Optional[str] = ..., parameter_type: _Optional[_Union[ParameterType, str]] = ..., value: _Optional[str] = ...) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class EvaluationLog(_message.Message):
    __slots__ = ("time", "metrics", "step")
    TIME_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    time: str
    metrics: _containers.RepeatedCompositeFieldContainer[Metrics]
    step: int
    def __init__(self, time: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[Metrics, _Mapping]]] = ..., step: _Optional[int] = ...) -> None: ...

class SuggestionParameter(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class EarlyStoppingParameter(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class MountConf(_message.Message):
    __slots__ = ("pvc", "path")
    PVC_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    pvc: str
    path: str
    def __init__(self, pvc: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class Trial(_message.Message):
    __slots__ = ("trial_id", "study_id", "parameter_set", "status", "eval_logs", "objective_value", "tags", "number", "attempt", "reason", "message", "create_time", "start_time", "end_time", "run", "client_id", "lease", "lease_end_time")
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_SET_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EVAL_LOGS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    study_id: str
    parameter_set: _containers.RepeatedCompositeFieldContainer[Parameter]
    status: TrialState
    eval_logs: _containers.RepeatedCompositeFieldContainer[EvaluationLog]
    objective_value: str
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    number: int
    attempt: int
    reason: str
    message: str
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    run: str
    client_id: str
    lease: _duration_pb2.Duration
    lease_end_time: _timestamp_pb2.Timestamp
    def __init__(self, trial_id: _Optional[str] = ..., study_id: _Optional[str] = ..., parameter_set: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., status: _Optional[_Union[TrialState, str]] = ..., eval_logs: _Optional[_Iterable[_Union[EvaluationLog, _Mapping]]] = ..., objective_value: _Optional[str] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., number: _Optional[int] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run: _Optional[str] = ..., client_id: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TrialColumns(_message.Message):
    __slots__ = ("trial_ids", "numbers", "statuses", "attempts", "objectives", "without_objective", "reasons", "reason_places", "create_times", "start_times", "end_times", "parameters")
    TRIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVES_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    REASON_PLACES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIMES_FIELD_NUMBER: _ClassVar[int]
    START_TIMES_FIELD_NUMBER: _ClassVar[int]
    END_TIMES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    trial_ids: _containers.RepeatedScalarFieldContainer[str]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    statuses: _containers.RepeatedScalarFieldContainer[TrialState]
    attempts: _containers.RepeatedScalarFieldContainer[int]
    objectives: _containers.RepeatedScalarFieldContainer[float]
    without_objective: _containers.RepeatedScalarFieldContainer[int]
    reasons: _containers.RepeatedCompositeFieldContainer[TrialReason]
    reason_places: _containers.RepeatedScalarFieldContainer[int]
    create_times: _containers.RepeatedScalarFieldContainer[int]
    start_times: _containers.RepeatedScalarFieldContainer[int]
    end_times: _containers.RepeatedScalarFieldContainer[int]
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterColumn]
    def __init__(self, trial_ids: _Optional[_Iterable[str]] = ..., numbers: _Optional[_Iterable[int]] = ..., statuses: _Optional[_Iterable[_Union[TrialState, str]]] = ..., attempts: _Optional[_Iterable[int]] = ..., objectives: _Optional[_Iterable[float]] = ..., without_objective: _Optional[_Iterable[int]] = ..., reasons: _Optional[_Iterable[_Union[TrialReason, _Mapping]]] = ..., reason_places: _Optional[_Iterable[int]] = ..., create_times: _Optional[_Iterable[int]] = ..., start_times: _Optional[_Iterable[int]] = ..., end_times: _Optional[_Iterable[int]] = ..., parameters: _Optional[_Iterable[_Union[ParameterColumn, _Mapping]]] = ...) -> None: ...

class TrialReason(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ParameterColumn(_message.Message):
    __slots__ = ("name", "values", "without_value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[str]
    without_value: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ..., without_value: _Optional[_Iterable[int]] = ...) -> None: ...

class TrialAttempt(_message.Message):
    __slots__ = ("number", "run", "reason", "message", "objective_value", "start_time", "end_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    run: str
    reason: str
    message: str
    objective_value: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., run: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., objective_value: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PodToleration(_message.Message):
    __slots__ = ("key", "operator", "value", "effect", "toleration_seconds")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    TOLERATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    key: str
    operator: str
    value: str
    effect: str
    toleration_seconds: int
    def __init__(self, key: _Optional[str] = ..., operator: _Optional[str] = ..., value: _Optional[str] = ..., effect: _Optional[str] = ..., toleration_seconds: _Optional[int] = ...) -> None: ...

class PodConfig(_message.Message):
    __slots__ = ("namespace", "labels", "annotations", "environment", "requests", "limits", "node_selector", "tolerations", "service_account", "start_timeout", "template")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RequestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class NodeSelectorEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NODE_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    TOLERATIONS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    START_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    labels: _containers.ScalarMap[str, str]
    annotations: _containers.ScalarMap[str, str]
    environment: _containers.ScalarMap[str, str]
    requests: _containers.ScalarMap[str, str]
    limits: _containers.ScalarMap[str, str]
    node_selector: _containers.ScalarMap[str, str]
    tolerations: _containers.RepeatedCompositeFieldContainer[PodToleration]
    service_account: str
    start_timeout: _duration_pb2.Duration
    template: str
    def __init__(self, namespace: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., annotations: _Optional[_Mapping[str, str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., requests: _Optional[_Mapping[str, str]] = ..., limits: _Optional[_Mapping[str, str]] = ..., node_selector: _Optional[_Mapping[str, str]] = ..., tolerations: _Optional[_Iterable[_Union[PodToleration, _Mapping]]] = ..., service_account: _Optional[str] = ..., start_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., template: _Optional[str] = ...) -> None: ...

class MetricsCollector(_message.Message):
    __slots__ = ("format", "pattern", "step", "source", "path", "reader")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    format: MetricsFormat
    pattern: str
    step: str
    source: MetricsSource
    path: str
    reader: MetricsReader
    def __init__(self, format: _Optional[_Union[MetricsFormat, str]] = ..., pattern: _Optional[str] = ..., step: _Optional[str] = ..., source: _Optional[_Union[MetricsSource, str]] = ..., path: _Optional[str] = ..., reader: _Optional[_Union[MetricsReader, str]] = ...) -> None: ...

class StudyConfig(_message.Message):
    __slots__ = ("name", "owner", "optimization_type", "optimization_goal", "parameter_configs", "access_permissions", "suggest_algorithm", "early_stopping_algorithm", "study_task_name", "suggestion_parameters", "early_stopping_parameters", "tags", "objective_value_name", "metrics", "image", "command", "gpu", "scheduler", "mount", "pull_secret", "max_trials", "max_parallel", "max_failed_trials", "retry_limit", "trial_timeout", "max_duration", "working_dir", "pod", "objective_strategy", "metrics_collector", "keep_models")
    class ParameterConfigs(_message.Message):
        __slots__ = ("configs",)
        CONFIGS_FIELD_NUMBER: _ClassVar[int]
        configs: _containers.RepeatedCompositeFieldContainer[ParameterConfig]
        def __init__(self, configs: _Optional[_Iterable[_Union[ParameterConfig, _Mapping]]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZATION_GOAL_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    ACCESS_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    SUGGEST_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STUDY_TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_NAME_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    GPU_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    MOUNT_FIELD_NUMBER: _ClassVar[int]
    PULL_SECRET_FIELD_NUMBER: _ClassVar[int]
    MAX_TRIALS_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    MAX_FAILED_TRIALS_FIELD_NUMBER: _ClassVar[int]
    RETRY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TRIAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    METRICS_COLLECTOR_FIELD_NUMBER: _ClassVar[int]
    KEEP_MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    optimization_type: OptimizationType
    optimization_goal: float
    parameter_configs: StudyConfig.ParameterConfigs
    access_permissions: _containers.RepeatedScalarFieldContainer[str]
    suggest_algorithm: str
    early_stopping_algorithm: str
    study_task_name: str
    suggestion_parameters: _containers.RepeatedCompositeFieldContainer[SuggestionParameter]
    early_stopping_parameters: _containers.RepeatedCompositeFieldContainer[EarlyStoppingParameter]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    objective_value_name: str
    metrics: _containers.RepeatedScalarFieldContainer[str]
    image: str
    command: _containers.RepeatedScalarFieldContainer[str]
    gpu: int
    scheduler: str
    mount: MountConf
    pull_secret: str
    max_trials: int
    max_parallel: int
    max_failed_trials: int
    retry_limit: int
    trial_timeout: _duration_pb2.Duration
    max_duration: _duration_pb2.Duration
    working_dir: str
    pod: PodConfig
    objective_strategy: MetricStrategy
    metrics_collector: MetricsCollector
    keep_models: str
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., optimization_type: _Optional[_Union[OptimizationType, str]] = ..., optimization_goal: _Optional[float] = ..., parameter_configs: _Optional[_Union[StudyConfig.ParameterConfigs, _Mapping]] = ..., access_permissions: _Optional[_Iterable[str]] = ..., suggest_algorithm: _Optional[str] = ..., early_stopping_algorithm: _Optional[str] = ..., study_task_name: _Optional[str] = ..., suggestion_parameters: _Optional[_Iterable[_Union[SuggestionParameter, _Mapping]]] = ..., early_stopping_parameters: _Optional[_Iterable[_Union[EarlyStoppingParameter, _Mapping]]] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., objective_value_name: _Optional[str] = ..., metrics: _Optional[_Iterable[str]] = ..., image: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., gpu: _Optional[int] = ..., scheduler: _Optional[str] = ..., mount: _Optional[_Union[MountConf, _Mapping]] = ..., pull_secret: _Optional[str] = ..., max_trials: _Optional[int] = ..., max_parallel: _Optional[int] = ..., max_failed_trials: _Optional[int] = ..., retry_limit: _Optional[int] = ..., trial_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., working_dir: _Optional[str] = ..., pod: _Optional[_Union[PodConfig, _Mapping]] = ..., objective_strategy: _Optional[_Union[MetricStrategy, str]] = ..., metrics_collector: _Optional[_Union[MetricsCollector, _Mapping]] = ..., keep_models: _Optional[str] = ...) -> None: ...

class StudyInfo(_message.Message):
    __slots__ = ("study_id", "name", "owner", "running_trial_num", "completed_trial_num", "state", "reason", "message", "create_time", "end_time", "pending", "failed", "killed", "best_trial_id", "best_objective_value", "suggest_algorithm", "early_stopping_algorithm", "optimization_type", "objective_value_name", "max_trials", "max_parallel", "revision")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TRIAL_NUM_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TRIAL_NUM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    KILLED_FIELD_NUMBER: _ClassVar[int]
    BEST_TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    BEST_OBJECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    SUGGEST_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_TRIALS_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    name: str
    owner: str
    running_trial_num: int
    completed_trial_num: int
    state: StudyState
    reason: str
    message: str
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    pending: int
    failed: int
    killed: int
    best_trial_id: str
    best_objective_value: str
    suggest_algorithm: str
    early_stopping_algorithm: str
    optimization_type: OptimizationType
    objective_value_name: str
    max_trials: int
    max_parallel: int
    revision: int
    def __init__(self, study_id: _Optional[str] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ..., running_trial_num: _Optional[int] = ..., completed_trial_num: _Optional[int] = ..., state: _Optional[_Union[StudyState, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pending: _Optional[int] = ..., failed: _Optional[int] = ..., killed: _Optional[int] = ..., best_trial_id: _Optional[str] = ..., best_objective_value: _Optional[str] = ..., suggest_algorithm: _Optional[str] = ..., early_stopping_algorithm: _Optional[str] = ..., optimization_type: _Optional[_Union[OptimizationType, str]] = ..., objective_value_name: _Optional[str] = ..., max_trials: _Optional[int] = ..., max_parallel: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("name", "value", "step", "time", "attempt", "source", "sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    step: int
    time: _timestamp_pb2.Timestamp
    attempt: int
    source: str
    sequence: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., step: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., source: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("violations",)
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    violations: _containers.RepeatedCompositeFieldContainer[FieldViolation]
    def __init__(self, violations: _Optional[_Iterable[_Union[FieldViolation, _Mapping]]] = ...) -> None: ...

class FieldViolation(_message.Message):
    __slots__ = ("field", "value", "expected")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    expected: str
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., expected: _Optional[str] = ...) -> None: ...

class CreateStudyRequest(_message.Message):
    __slots__ = ("study_config", "request_id")
    STUDY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    study_config: StudyConfig
    request_id: str
    def __init__(self, study_config: _Optional[_Union[StudyConfig, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateStudyReply(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class StopStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class StopStudyReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStudiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStudiesReply(_message.Message):
    __slots__ = ("study_infos",)
    STUDY_INFOS_FIELD_NUMBER: _ClassVar[int]
    study_infos: _containers.RepeatedCompositeFieldContainer[StudyInfo]
    def __init__(self, study_infos: _Optional[_Iterable[_Union[StudyInfo, _Mapping]]] = ...) -> None: ...

class SuggestTrialsRequest(_message.Message):
    __slots__ = ("study_id", "suggest_algorithm", "configs", "count", "client_id", "lease")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    SUGGEST_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    suggest_algorithm: str
    configs: StudyConfig
    count: int
    client_id: str
    lease: _duration_pb2.Duration
    def __init__(self, study_id: _Optional[str] = ..., suggest_algorithm: _Optional[str] = ..., configs: _Optional[_Union[StudyConfig, _Mapping]] = ..., count: _Optional[int] = ..., client_id: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SuggestTrialsReply(_message.Message):
    __slots__ = ("trials", "completed")
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    completed: bool
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., completed: _Optional[bool] = ...) -> None: ...

class CompleteTrialRequest(_message.Message):
    __slots__ = ("study_id", "trial_id", "is_complete", "objective_value", "metrics", "attempt", "error", "reporter", "observations", "next")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPORTER_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    trial_id: str
    is_complete: bool
    objective_value: str
    metrics: _containers.RepeatedCompositeFieldContainer[Metrics]
    attempt: int
    error: str
    reporter: str
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    next: SuggestTrialsRequest
    def __init__(self, study_id: _Optional[str] = ..., trial_id: _Optional[str] = ..., is_complete: _Optional[bool] = ..., objective_value: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[Metrics, _Mapping]]] = ..., attempt: _Optional[int] = ..., error: _Optional[str] = ..., reporter: _Optional[str] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ..., next: _Optional[_Union[SuggestTrialsRequest, _Mapping]] = ...) -> None: ...

class CompleteTrialReply(_message.Message):
    __slots__ = ("next",)
    NEXT_FIELD_NUMBER: _ClassVar[int]
    next: SuggestTrialsReply
    def __init__(self, next: _Optional[_Union[SuggestTrialsReply, _Mapping]] = ...) -> None: ...

class EarlyStoppingRequest(_message.Message):
    __slots__ = ("study_id", "early_stopping_algorithm")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    early_stopping_algorithm: str
    def __init__(self, study_id: _Optional[str] = ..., early_stopping_algorithm: _Optional[str] = ...) -> None: ...

class EarlyStoppingReply(_message.Message):
    __slots__ = ("trials",)
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ...) -> None: ...

class GetObjectValueRequest(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class GetObjectValueReply(_message.Message):
    __slots__ = ("trials",)
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ...) -> None: ...

class AddMeasurementToTrialsRequest(_message.Message):
    __slots__ = ("study_id", "metrics")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    metrics: str
    def __init__(self, study_id: _Optional[str] = ..., metrics: _Optional[str] = ...) -> None: ...

class AddMeasurementToTrialsReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InitializeSuggestServiceRequest(_message.Message):
    __slots__ = ("study_id", "suggest_algorithm", "suggestion_parameters", "configs")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    SUGGEST_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    suggest_algorithm: str
    suggestion_parameters: _containers.RepeatedCompositeFieldContainer[SuggestionParameter]
    configs: StudyConfig
    def __init__(self, study_id: _Optional[str] = ..., suggest_algorithm: _Optional[str] = ..., suggestion_parameters: _Optional[_Iterable[_Union[SuggestionParameter, _Mapping]]] = ..., configs: _Optional[_Union[StudyConfig, _Mapping]] = ...) -> None: ...

class InitializeSuggestServiceReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StudyOverview(_message.Message):
    __slots__ = ("name", "owner", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    description: str
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("study_name", "trial_id", "parameters", "metrics", "model_path", "study_id", "state", "number", "objective_value", "save_time", "data_set", "kept")
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    MODEL_PATH_FIELD_NUMBER: _ClassVar[int]
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    SAVE_TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_SET_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    study_name: str
    trial_id: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    metrics: _containers.RepeatedCompositeFieldContainer[Metrics]
    model_path: str
    study_id: str
    state: TrialState
    number: int
    objective_value: str
    save_time: _timestamp_pb2.Timestamp
    data_set: DataSetInfo
    kept: bool
    def __init__(self, study_name: _Optional[str] = ..., trial_id: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[Metrics, _Mapping]]] = ..., model_path: _Optional[str] = ..., study_id: _Optional[str] = ..., state: _Optional[_Union[TrialState, str]] = ..., number: _Optional[int] = ..., objective_value: _Optional[str] = ..., save_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data_set: _Optional[_Union[DataSetInfo, _Mapping]] = ..., kept: _Optional[bool] = ...) -> None: ...

class DataSetInfo(_message.Message):
    __slots__ = ("name", "path")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class SaveStudyRequest(_message.Message):
    __slots__ = ("study_name", "owner", "description")
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    study_name: str
    owner: str
    description: str
    def __init__(self, study_name: _Optional[str] = ..., owner: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class SaveStudyReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SaveModelRequest(_message.Message):
    __slots__ = ("model", "data_set", "tensor_board")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_SET_FIELD_NUMBER: _ClassVar[int]
    TENSOR_BOARD_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    data_set: DataSetInfo
    tensor_board: bool
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ..., data_set: _Optional[_Union[DataSetInfo, _Mapping]] = ..., tensor_board: _Optional[bool] = ...) -> None: ...

class SaveModelReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSavedStudiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSavedStudiesReply(_message.Message):
    __slots__ = ("studies",)
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    studies: _containers.RepeatedCompositeFieldContainer[StudyOverview]
    def __init__(self, studies: _Optional[_Iterable[_Union[StudyOverview, _Mapping]]] = ...) -> None: ...

class GetSavedModelsRequest(_message.Message):
    __slots__ = ("study_name", "page_size", "page_token")
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    study_name: str
    page_size: int
    page_token: str
    def __init__(self, study_name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetSavedModelsReply(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSavedModelRequest(_message.Message):
    __slots__ = ("study_name", "trial_id")
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    study_name: str
    trial_id: str
    def __init__(self, study_name: _Optional[str] = ..., trial_id: _Optional[str] = ...) -> None: ...

class GetSavedModelReply(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ...) -> None: ...

class GetStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class GetStudyReply(_message.Message):
    __slots__ = ("study", "study_config", "best_trial")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    STUDY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    BEST_TRIAL_FIELD_NUMBER: _ClassVar[int]
    study: StudyInfo
    study_config: StudyConfig
    best_trial: Trial
    def __init__(self, study: _Optional[_Union[StudyInfo, _Mapping]] = ..., study_config: _Optional[_Union[StudyConfig, _Mapping]] = ..., best_trial: _Optional[_Union[Trial, _Mapping]] = ...) -> None: ...

class ListStudiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "name", "id_prefix", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    name: str
    id_prefix: str
    states: _containers.RepeatedScalarFieldContainer[StudyState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., name: _Optional[str] = ..., id_prefix: _Optional[str] = ..., states: _Optional[_Iterable[_Union[StudyState, str]]] = ...) -> None: ...

class ListStudiesReply(_message.Message):
    __slots__ = ("studies", "next_page_token")
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    studies: _containers.RepeatedCompositeFieldContainer[StudyInfo]
    next_page_token: str
    def __init__(self, studies: _Optional[_Iterable[_Union[StudyInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateStudyRequest(_message.Message):
    __slots__ = ("study_id", "max_trials", "max_parallel", "max_failed_trials", "retry_limit", "trial_timeout", "max_duration", "paused", "optimization_goal")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_TRIALS_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    MAX_FAILED_TRIALS_FIELD_NUMBER: _ClassVar[int]
    RETRY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TRIAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZATION_GOAL_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    max_trials: int
    max_parallel: int
    max_failed_trials: int
    retry_limit: int
    trial_timeout: _duration_pb2.Duration
    max_duration: _duration_pb2.Duration
    paused: bool
    optimization_goal: float
    def __init__(self, study_id: _Optional[str] = ..., max_trials: _Optional[int] = ..., max_parallel: _Optional[int] = ..., max_failed_trials: _Optional[int] = ..., retry_limit: _Optional[int] = ..., trial_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., paused: _Optional[bool] = ..., optimization_goal: _Optional[float] = ...) -> None: ...

class UpdateStudyReply(_message.Message):
    __slots__ = ("study",)
    STUDY_FIELD_NUMBER: _ClassVar[int]
    study: StudyInfo
    def __init__(self, study: _Optional[_Union[StudyInfo, _Mapping]] = ...) -> None: ...

class DeleteStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class DeleteStudyReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTrialRequest(_message.Message):
    __slots__ = ("trial_id",)
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    def __init__(self, trial_id: _Optional[str] = ...) -> None: ...

class GetTrialReply(_message.Message):
    __slots__ = ("trial", "observations", "truncated", "earlier_attempts")
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    EARLIER_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    trial: Trial
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    truncated: bool
    earlier_attempts: _containers.RepeatedCompositeFieldContainer[TrialAttempt]
    def __init__(self, trial: _Optional[_Union[Trial, _Mapping]] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ..., truncated: _Optional[bool] = ..., earlier_attempts: _Optional[_Iterable[_Union[TrialAttempt, _Mapping]]] = ...) -> None: ...

class ListTrialsRequest(_message.Message):
    __slots__ = ("study_id", "page_size", "page_token", "states", "id_prefix", "newest_first", "number")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[TrialState]
    id_prefix: str
    newest_first: bool
    number: int
    def __init__(self, study_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[TrialState, str]]] = ..., id_prefix: _Optional[str] = ..., newest_first: _Optional[bool] = ..., number: _Optional[int] = ...) -> None: ...

class ListTrialsReply(_message.Message):
    __slots__ = ("trials", "next_page_token")
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    next_page_token: str
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListTrialColumnsRequest(_message.Message):
    __slots__ = ("study_id", "after_revision", "page_size")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    after_revision: int
    page_size: int
    def __init__(self, study_id: _Optional[str] = ..., after_revision: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListTrialColumnsReply(_message.Message):
    __slots__ = ("study", "trials", "revision")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    study: StudyInfo
    trials: TrialColumns
    revision: int
    def __init__(self, study: _Optional[_Union[StudyInfo, _Mapping]] = ..., trials: _Optional[_Union[TrialColumns, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class StopTrialRequest(_message.Message):
    __slots__ = ("trial_id",)
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    def __init__(self, trial_id: _Optional[str] = ...) -> None: ...

class StopTrialReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportMetricsRequest(_message.Message):
    __slots__ = ("trial_id", "attempt", "reporter", "observations")
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REPORTER_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    attempt: int
    reporter: str
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    def __init__(self, trial_id: _Optional[str] = ..., attempt: _Optional[int] = ..., reporter: _Optional[str] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ...) -> None: ...

class ReportMetricsReply(_message.Message):
    __slots__ = ("should_stop",)
    SHOULD_STOP_FIELD_NUMBER: _ClassVar[int]
    should_stop: bool
    def __init__(self, should_stop: _Optional[bool] = ...) -> None: ...

class ListObservationsRequest(_message.Message):
    __slots__ = ("trial_id", "attempt", "names", "page_size", "page_token")
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    attempt: int
    names: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, trial_id: _Optional[str] = ..., attempt: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListObservationsReply(_message.Message):
    __slots__ = ("observations", "next_page_token")
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    next_page_token: str
    def __init__(self, observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchStudyRequest(_message.Message):
    __slots__ = ("study_id", "after_revision")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    after_revision: int
    def __init__(self, study_id: _Optional[str] = ..., after_revision: _Optional[int] = ...) -> None: ...

class WatchStudyReply(_message.Message):
    __slots__ = ("study", "trials", "revision")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    study: StudyInfo
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    revision: int
    def __init__(self, study: _Optional[_Union[StudyInfo, _Mapping]] = ..., trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetTrialLogRequest(_message.Message):
    __slots__ = ("trial_id", "attempt", "offset", "max_bytes")
    TRIAL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    trial_id: str
    attempt: int
    offset: int
    max_bytes: int
    def __init__(self, trial_id: _Optional[str] = ..., attempt: _Optional[int] = ..., offset: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class GetTrialLogReply(_message.Message):
    __slots__ = ("data", "next_offset", "finished")
    DATA_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    next_offset: int
    finished: bool
    def __init__(self, data: _Optional[bytes] = ..., next_offset: _Optional[int] = ..., finished: _Optional[bool] = ...) -> None: ...

class ListAlgorithmsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AlgorithmInfo(_message.Message):
    __slots__ = ("name", "kind", "serving", "address", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SUGGESTION: _ClassVar[AlgorithmInfo.Kind]
        EARLY_STOPPING: _ClassVar[AlgorithmInfo.Kind]
    SUGGESTION: AlgorithmInfo.Kind
    EARLY_STOPPING: AlgorithmInfo.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: AlgorithmInfo.Kind
    serving: bool
    address: str
    message: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[AlgorithmInfo.Kind, str]] = ..., serving: _Optional[bool] = ..., address: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ListAlgorithmsReply(_message.Message):
    __slots__ = ("algorithms",)
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    algorithms: _containers.RepeatedCompositeFieldContainer[AlgorithmInfo]
    def __init__(self, algorithms: _Optional[_Iterable[_Union[AlgorithmInfo, _Mapping]]] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIReply(_message.Message):
    __slots__ = ("authentication", "name", "kind", "roles", "groups")
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    authentication: bool
    name: str
    kind: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, authentication: _Optional[bool] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("token_id", "name", "owner", "kind", "roles", "groups", "create_time", "expire_time", "last_use_time")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    name: str
    owner: str
    kind: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    last_use_time: _timestamp_pb2.Timestamp
    def __init__(self, token_id: _Optional[str] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ..., kind: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("name", "owner", "kind", "roles", "groups", "lifetime")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    kind: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    lifetime: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., kind: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateTokenReply(_message.Message):
    __slots__ = ("token", "secret")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    token: Token
    secret: str
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("owner", "page_size", "page_token")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    owner: str
    page_size: int
    page_token: str
    def __init__(self, owner: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTokensReply(_message.Message):
    __slots__ = ("tokens", "next_page_token")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    next_page_token: str
    def __init__(self, tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("token_id", "owner")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    owner: str
    def __init__(self, token_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class RevokeTokenReply(_message.Message):
    __slots__ = ("revoked",)
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    revoked: int
    def __init__(self, revoked: _Optional[int] = ...) -> None: ...

class GenerateTrialsRequest(_message.Message):
    __slots__ = ("study_id", "configs", "completed_trials", "running_trials", "completed_count", "running_count", "first_number")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TRIALS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TRIALS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    configs: StudyConfig
    completed_trials: _containers.RepeatedCompositeFieldContainer[Trial]
    running_trials: _containers.RepeatedCompositeFieldContainer[Trial]
    completed_count: int
    running_count: int
    first_number: int
    def __init__(self, study_id: _Optional[str] = ..., configs: _Optional[_Union[StudyConfig, _Mapping]] = ..., completed_trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., running_trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., completed_count: _Optional[int] = ..., running_count: _Optional[int] = ..., first_number: _Optional[int] = ...) -> None: ...

class GenerateTrialsReply(_message.Message):
    __slots__ = ("trials", "completed", "reason", "note")
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    completed: bool
    reason: str
    note: str
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., completed: _Optional[bool] = ..., reason: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class SetSuggestionParametersRequest(_message.Message):
    __slots__ = ("study_id", "suggestion_parameters", "configs")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    suggestion_parameters: _containers.RepeatedCompositeFieldContainer[SuggestionParameter]
    configs: StudyConfig
    def __init__(self, study_id: _Optional[str] = ..., suggestion_parameters: _Optional[_Iterable[_Union[SuggestionParameter, _Mapping]]] = ..., configs: _Optional[_Union[StudyConfig, _Mapping]] = ...) -> None: ...

class GenerateTrialsDeltaRequest(_message.Message):
    __slots__ = ("question", "base", "cursor")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    question: GenerateTrialsRequest
    base: str
    cursor: str
    def __init__(self, question: _Optional[_Union[GenerateTrialsRequest, _Mapping]] = ..., base: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class GenerateTrialsDeltaReply(_message.Message):
    __slots__ = ("answer", "have")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    answer: GenerateTrialsReply
    have: str
    def __init__(self, answer: _Optional[_Union[GenerateTrialsReply, _Mapping]] = ..., have: _Optional[str] = ...) -> None: ...

class SetSuggestionParametersReply(_message.Message):
    __slots__ = ("history", "deltas")
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    history: History
    deltas: bool
    def __init__(self, history: _Optional[_Union[History, str]] = ..., deltas: _Optional[bool] = ...) -> None: ...

class StopSuggestionRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class StopSuggestionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShouldTrialStopRequest(_message.Message):
    __slots__ = ("study_id", "study_config", "running_trials", "completed_trials")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TRIALS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TRIALS_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    study_config: StudyConfig
    running_trials: _containers.RepeatedCompositeFieldContainer[Trial]
    completed_trials: _containers.RepeatedCompositeFieldContainer[Trial]
    def __init__(self, study_id: _Optional[str] = ..., study_config: _Optional[_Union[StudyConfig, _Mapping]] = ..., running_trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., completed_trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ...) -> None: ...

class ShouldTrialStopReply(_message.Message):
    __slots__ = ("trials",)
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    def __init__(self, trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ...) -> None: ...

class ShouldTrialStopDeltaRequest(_message.Message):
    __slots__ = ("study_id", "study_config", "base", "cursor", "trials", "more")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    study_config: StudyConfig
    base: str
    cursor: str
    trials: _containers.RepeatedCompositeFieldContainer[TrialDelta]
    more: bool
    def __init__(self, study_id: _Optional[str] = ..., study_config: _Optional[_Union[StudyConfig, _Mapping]] = ..., base: _Optional[str] = ..., cursor: _Optional[str] = ..., trials: _Optional[_Iterable[_Union[TrialDelta, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class TrialDelta(_message.Message):
    __slots__ = ("trial", "values")
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    trial: Trial
    values: _containers.RepeatedCompositeFieldContainer[MetricValues]
    def __init__(self, trial: _Optional[_Union[Trial, _Mapping]] = ..., values: _Optional[_Iterable[_Union[MetricValues, _Mapping]]] = ...) -> None: ...

class MetricValues(_message.Message):
    __slots__ = ("name", "values", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., steps: _Optional[_Iterable[int]] = ...) -> None: ...

class ShouldTrialStopDeltaReply(_message.Message):
    __slots__ = ("answer", "have", "metrics")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    answer: ShouldTrialStopReply
    have: str
    metrics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, answer: _Optional[_Union[ShouldTrialStopReply, _Mapping]] = ..., have: _Optional[str] = ..., metrics: _Optional[_Iterable[str]] = ...) -> None: ...

class SetEarlyStoppingParameterRequest(_message.Message):
    __slots__ = ("study_id", "early_stopping_parameters", "study_config")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    STUDY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    early_stopping_parameters: _containers.RepeatedCompositeFieldContainer[EarlyStoppingParameter]
    study_config: StudyConfig
    def __init__(self, study_id: _Optional[str] = ..., early_stopping_parameters: _Optional[_Iterable[_Union[EarlyStoppingParameter, _Mapping]]] = ..., study_config: _Optional[_Union[StudyConfig, _Mapping]] = ...) -> None: ...

class SetEarlyStoppingParameterReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
