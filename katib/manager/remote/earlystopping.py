"""Early-stopping services over gRPC."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import groupby
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import EarlyStoppingStub
from katib.api.errors import MessageTooLargeError
from katib.api.study_converters import spec_to_proto
from katib.api.trial_converters import trial_to_proto
from katib.domain.metrics import Observation
from katib.domain.study import StudySpec
from katib.manager.remote import calls
from katib.manager.remote.addresses import AddressTemplate, Channels, Line
from katib.manager.remote.curves import add_curves
from katib.manager.service_ports import StoppingAnswer, StoppingDelta, StoppingRequest

_RULE_S: Final = 60.0

_too_long: Final = calls.too_long(
    "the study's trials and their values",
    "have the service take up to 64 MiB, or serve ShouldTrialStopDelta, which brings only what is new",
)


class RemoteEarlyStoppingServices:
    """The port `EarlyStoppingServices` by address template."""

    def __init__(self, template: AddressTemplate, channels: Channels) -> None:
        self._template = template
        self._channels = channels

    def set_parameters(self, rule: str, study_id: str, spec: StudySpec) -> "Future[None]":
        config = spec_to_proto(spec)
        request = pb.SetEarlyStoppingParameterRequest(
            study_id=study_id, early_stopping_parameters=config.early_stopping_parameters, study_config=config
        )
        return calls.start(
            self._channels,
            self._template.address("early_stopping_algorithm", rule),
            lambda line: _stub(line).SetEarlyStoppingParameter.future(request, timeout=calls.SETTINGS_S),
            lambda _reply: None,
            _who(rule),
        )

    def should_stop(self, rule: str, request: StoppingRequest) -> "Future[Mapping[str, str]]":
        message = pb.ShouldTrialStopRequest(
            study_id=request.study_id,
            study_config=spec_to_proto(request.spec),
            running_trials=map(trial_to_proto, request.running),
            completed_trials=map(trial_to_proto, request.finished),
        )
        try:
            add_curves(message, request.curves)
        except MessageTooLargeError as error:
            return calls.unsent(_too_long(error))
        return calls.start(
            self._channels,
            self._template.address("early_stopping_algorithm", rule),
            lambda line: _stub(line).ShouldTrialStop.future(message, timeout=_RULE_S),
            lambda reply: {t.trial_id: t.message for t in reply.trials},
            _who(rule),
            _too_long,
        )

    def should_stop_delta(self, rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        message = delta_to_proto(delta)
        return calls.start(
            self._channels,
            self._template.address("early_stopping_algorithm", rule),
            lambda line: _stub(line).ShouldTrialStopDelta.future(message, timeout=_RULE_S),
            answer_from_proto,
            _who(rule),
        )


def delta_to_proto(delta: StoppingDelta) -> pb.ShouldTrialStopDeltaRequest:
    return pb.ShouldTrialStopDeltaRequest(
        study_id=delta.study_id,
        study_config=spec_to_proto(delta.spec),
        base=delta.base,
        cursor=delta.cursor,
        trials=[
            pb.TrialDelta(
                trial=trial_to_proto(d.trial),
                values=_values(d.observations),
            )
            for d in delta.trials
        ],
        more=delta.more,
    )


def _values(observations: Sequence[Observation]) -> list[pb.MetricValues]:
    """Of each metric, one message for those in a row that name a step, or do not."""
    by_name: dict[str, list[Observation]] = {}
    for observation in observations:
        by_name.setdefault(observation.name, []).append(observation)
    return [
        pb.MetricValues(name=name, values=[o.value for o in row], steps=[o.step for o in row if o.step is not None])
        for name, of_one in by_name.items()
        for row in (list(row) for _, row in groupby(of_one, lambda o: o.step is None))
    ]


def answer_from_proto(reply: pb.ShouldTrialStopDeltaReply) -> StoppingAnswer:
    stopped = {t.trial_id: t.message for t in reply.answer.trials} if reply.HasField("answer") else None
    return StoppingAnswer(stopped, reply.have, tuple(reply.metrics))


def _stub(line: Line) -> EarlyStoppingStub:
    stub: EarlyStoppingStub = line.stub(EarlyStoppingStub)
    return stub


def _who(rule: str) -> str:
    return f"earlystopping-{rule}"
