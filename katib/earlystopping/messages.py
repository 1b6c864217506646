"""Between the messages of `api.EarlyStopping` and the calls of `katib.earlystopping.service`."""

from collections.abc import Sequence
from dataclasses import replace

from katib.api import api_pb2 as pb
from katib.api.study_converters import settings_from_proto, spec_from_proto
from katib.api.trial_converters import curves_from_trials, trial_from_proto, trial_to_proto
from katib.domain.errors import InvalidArgumentError
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.earlystopping.base import STUDY_PATH
from katib.earlystopping.service import Call
from katib.earlystopping.told import Answer, Delta, MetricValues, TrialDelta


def spec_from_settings(request: pb.SetEarlyStoppingParameterRequest) -> StudySpec:
    """The study with the settings that the request names; those within the study count where it names none. A 0.1 manager
    sends no study."""
    spec = spec_from_proto(request.study_config, STUDY_PATH)
    settings = settings_from_proto(request.early_stopping_parameters)
    return replace(spec, early_stopping_settings=settings or spec.early_stopping_settings)


def call_from_proto(request: pb.ShouldTrialStopRequest) -> Call:
    running, finished = request.running_trials, request.completed_trials
    return Call(
        study_id=request.study_id,
        spec=spec_from_proto(request.study_config, STUDY_PATH),
        running=[trial_from_proto(t, f"running_trials[{i}]") for i, t in enumerate(running)],
        finished=[trial_from_proto(t, f"completed_trials[{i}]") for i, t in enumerate(finished)],
        curves=curves_from_trials([*running, *finished]),
    )


def delta_from_proto(request: pb.ShouldTrialStopDeltaRequest) -> Delta:
    return Delta(
        study_id=request.study_id,
        spec=spec_from_proto(request.study_config, STUDY_PATH),
        base=request.base,
        cursor=request.cursor,
        trials=[
            TrialDelta(
                trial_from_proto(t.trial, f"trials[{i}].trial"),
                [_values(v, f"trials[{i}].values[{j}]") for j, v in enumerate(t.values)],
            )
            for i, t in enumerate(request.trials)
        ],
        more=request.more,
    )


def _values(message: pb.MetricValues, path: str) -> MetricValues:
    if message.steps and len(message.steps) != len(message.values):
        expected = f"expected one for each of the {len(message.values)} values, or none"
        raise InvalidArgumentError.of(f"{path}.steps", len(message.steps), expected)
    return MetricValues(message.name, message.values, message.steps or None)


def answer_to_proto(answer: Answer) -> pb.ShouldTrialStopDeltaReply:
    return pb.ShouldTrialStopDeltaReply(
        answer=None if answer.stopped is None else reply_to_proto(answer.stopped),
        have=answer.have,
        metrics=answer.metrics,
    )


def reply_to_proto(trials: Sequence[Trial]) -> pb.ShouldTrialStopReply:
    return pb.ShouldTrialStopReply(trials=[trial_to_proto(t) for t in trials])
