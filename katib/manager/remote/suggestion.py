"""Suggestion services over gRPC: ours and those of 0.1."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionStub
from katib.api.study_converters import spec_to_proto
from katib.api.trial_converters import trial_to_proto
from katib.api.value_converters import tags_from_proto
from katib.domain.metrics import Observation
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.manager.ports import History, Suggestion, SuggestionReply, SuggestionRequest
from katib.manager.remote import calls
from katib.manager.remote.addresses import AddressTemplate, Channels

_HISTORIES: Final = {
    pb.HISTORY_FINALS: History.FINALS,
    pb.HISTORY_NONE: History.NONE,
    pb.HISTORY_CURVES: History.CURVES,
}


class RemoteSuggestionServices:
    """The port `SuggestionServices` by address template."""

    def __init__(self, template: AddressTemplate, channels: Channels) -> None:
        self._template = template
        self._channels = channels

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[History]":
        config = spec_to_proto(spec)
        request = pb.SetSuggestionParametersRequest(
            study_id=study_id, suggestion_parameters=config.suggestion_parameters, configs=config
        )
        return calls.start(
            self._channels,
            self._template.address("suggest_algorithm", algorithm),
            lambda channel: _stub(channel).SetSuggestionParameters.future(request, timeout=calls.SETTINGS_S),
            # An unknown number is a newer service's: full history is what every service can use.
            lambda reply: _HISTORIES.get(reply.history, History.FINALS),
            _who(algorithm),
        )

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        message = pb.GenerateTrialsRequest(
            study_id=request.study_id,
            configs=spec_to_proto(request.spec),
            completed_trials=_trials(request.finished, request.curves),
            running_trials=_trials(request.unfinished, request.curves),
            completed_count=request.finished_count,
            running_count=request.unfinished_count,
            first_number=request.first_number,
        )
        types = {p.name: p.type for p in request.spec.parameters}
        return calls.start(
            self._channels,
            self._template.address("suggest_algorithm", algorithm),
            lambda channel: _stub(channel).GenerateTrials.future(message, timeout=calls.GENERATE_S),
            lambda reply: _reply(reply, types),
            _who(algorithm),
        )

    def stop(self, algorithm: str, study_id: str) -> None:
        calls.start(
            self._channels,
            self._template.address("suggest_algorithm", algorithm),
            lambda channel: _stub(channel).StopSuggestion.future(
                pb.StopSuggestionRequest(study_id=study_id), timeout=calls.STOP_S
            ),
            lambda _reply: None,
            _who(algorithm),
        )


def _stub(channel: object) -> SuggestionStub:
    return SuggestionStub(channel)  # type: ignore[no-untyped-call]


def _who(algorithm: str) -> str:
    return f"suggestion-{algorithm}"


def _trials(trials: Sequence[Trial], curves: Mapping[str, Sequence[Observation]]) -> list[pb.Trial]:
    return [trial_to_proto(t, curves.get(t.id, ())) for t in trials]


def _reply(reply: pb.GenerateTrialsReply, types: Mapping[str, ParameterType | None]) -> SuggestionReply:
    """A parameter's type is the study's: what a service says of it does not count."""
    return SuggestionReply(
        suggestions=tuple(
            Suggestion(
                tuple(
                    Parameter(p.name, types.get(p.name) or ParameterType.CATEGORICAL, p.value)
                    for p in trial.parameter_set
                ),
                tags_from_proto(trial.tags),
            )
            for trial in reply.trials
        ),
        completed=reply.completed,
        reason=reply.reason,
    )
