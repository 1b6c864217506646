"""Suggestion services over gRPC: ours and those of 0.1."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionStub
from katib.api.errors import MessageTooLargeError
from katib.api.study_converters import spec_to_proto
from katib.api.trial_converters import trial_to_proto
from katib.api.value_converters import tags_from_proto
from katib.domain.errors import KatibError, ResourceExhaustedError, UnavailableError, UnimplementedError
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import MAX_PARALLEL, Setting, StudySpec, whole_number
from katib.domain.trial import Trial
from katib.manager.remote import calls
from katib.manager.remote.addresses import AddressTemplate, Channels, Line
from katib.manager.remote.curves import OF_A_VALUE, add_curves
from katib.manager.remote.deltas import Delta, Deltas
from katib.manager.service_ports import (
    AskAgainError,
    History,
    MoreToTellError,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
    TrialHistory,
)

_log: Final = logging.getLogger(__name__)

_HISTORIES: Final = {
    pb.HISTORY_FINALS: History.FINALS,
    pb.HISTORY_NONE: History.NONE,
    pb.HISTORY_CURVES: History.CURVES,
    pb.HISTORY_OTHERS: History.OTHERS,
}

_too_long: Final = calls.too_long(
    "the study's trials so far",
    "stop the study and begin another one, with random, sobol or grid if it is to have as many trials, since these need not "
    "know them; a service of your own may take up to 64 MiB, or serve GenerateTrialsDelta, which brings them in parts",
)

_TAKE_TURNS: Final = (
    "if several replicas take turns at its address, have each connection lead to one of them, or run a single one; its log "
    "may say more"
)
_MORE_ROOM: Final = (
    "begin it with a larger --history-cache-mib (KATIB_HISTORY_CACHE_MIB); with katib-local, that with the variable set"
)


class RemoteSuggestionServices:
    """The port `SuggestionServices` by address template."""

    def __init__(self, template: AddressTemplate, channels: Channels) -> None:
        self._template = template
        self._channels = channels
        self._deltas = Deltas()

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[History]":
        config = spec_to_proto(spec)
        address = self._template.address("suggest_algorithm", algorithm)
        request = pb.SetSuggestionParametersRequest(
            study_id=study_id, suggestion_parameters=config.suggestion_parameters, configs=config
        )

        def history(reply: pb.SetSuggestionParametersReply) -> History:
            self._deltas.declared(address, reply.deltas)
            # An unknown number is a newer service's: full history is what every service can use.
            return _HISTORIES.get(reply.history, History.FINALS)

        return calls.start(
            self._channels,
            address,
            lambda line: _stub(line).SetSuggestionParameters.future(request, timeout=calls.SETTINGS_S),
            history,
            _who(algorithm),
        )

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        address = self._template.address("suggest_algorithm", algorithm)
        history = request.history
        if history is not None:
            line = self._channels.get(address)
            if self._deltas.understood(line):
                of_a_value = OF_A_VALUE + len(request.spec.objective_name.encode())
                delta = self._deltas.delta(line, request.study_id, history, request.finished_count, of_a_value)
                return self._generate_delta(algorithm, line, request, history, delta)
        finished = () if history is None else history.all()
        message = _question(request, finished)
        if history is not None:
            try:
                add_curves(message, history.curves((*request.unfinished, *finished)))
            except MessageTooLargeError as error:
                return calls.unsent(_too_long(error))
        types = _types(request)
        return calls.start(
            self._channels,
            address,
            lambda line: _stub(line).GenerateTrials.future(message, timeout=calls.GENERATE_S),
            lambda reply: _reply(reply, types),
            _who(algorithm),
            _too_long,
        )

    def _generate_delta(
        self, algorithm: str, line: Line, request: SuggestionRequest, history: TrialHistory, delta: Delta
    ) -> "Future[SuggestionReply]":
        sent = delta.trials or ()
        asked = request if delta.count is None else _without_room(request, delta.count)
        message = pb.GenerateTrialsDeltaRequest(question=_question(asked, ()), base=delta.base, cursor=delta.cursor)
        exchange = _Exchange(self._deltas, _who(algorithm), line, request, delta, message)
        try:
            add_curves(message.question, history.curves(asked.unfinished))
        except MessageTooLargeError as error:
            # However few of the finished ones are in it.
            return calls.unsent(_too_long(error))
        message.question.completed_trials.extend(map(trial_to_proto, sent))
        try:
            add_curves(message.question, history.curves(sent))
        except MessageTooLargeError as error:
            return calls.unsent(exchange.failed(error))
        return calls.start(
            self._channels,
            line.address,
            lambda line: _stub(line).GenerateTrialsDelta.future(message, timeout=calls.GENERATE_S),
            exchange.answered,
            exchange.who,
            exchange.failed,
        )

    def stop(self, algorithm: str, study_id: str) -> None:
        address = self._template.address("suggest_algorithm", algorithm)
        self._deltas.forget(address, study_id)
        calls.start(
            self._channels,
            address,
            lambda line: _stub(line).StopSuggestion.future(
                pb.StopSuggestionRequest(study_id=study_id), timeout=calls.STOP_S
            ),
            lambda _reply: None,
            _who(algorithm),
        )


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A question that brings what is new: what its answer means, and what its failure, for the question after it too."""

    deltas: Deltas
    who: str
    line: Line
    request: SuggestionRequest
    delta: Delta
    message: pb.GenerateTrialsDeltaRequest

    def answered(self, reply: pb.GenerateTrialsDeltaReply) -> SuggestionReply:
        """Raises AskAgainError where the next question is to bring more, and other KatibErrors where none would help."""
        if not reply.HasField("answer"):
            if self.deltas.lacked(self.line, self.request.study_id, self.delta, reply.have):
                raise AskAgainError(f"{self.who} does not have the study's earlier trials")
            raise UnavailableError(f"{self.who} again and again lacks what it was sent: {_TAKE_TURNS}")
        if self.delta.count is not None:
            raise self._told(self.delta.count, reply.have)
        total = self.request.finished_count
        if self.deltas.answered(self.line, self.request.study_id, reply.have, total):
            _log.warning(
                "%s keeps none of the study's %s trials so far, so each question brings all of them: %s",
                self.who, f"{total:,}", _MORE_ROOM, extra={"study_id": self.request.study_id},
            )  # fmt: skip
        return _reply(reply.answer, _types(self.request))

    def _told(self, count: int, have: str) -> KatibError:
        """It was only to be told a part of the study, after which it was to have so many trials."""
        total = self.request.finished_count
        if have == self.delta.cursor:
            self.deltas.took(self.line, self.request.study_id, self.delta)
            return MoreToTellError(f"{self.who} has been sent {count:,} of the study's {total:,} trials so far")
        self.deltas.forget(self.line.address, self.request.study_id)
        return ResourceExhaustedError(
            f"{self.who} keeps fewer than {count:,} of the study's {total:,} trials so far, which are more than one message "
            f"holds: {_MORE_ROOM}"
        )

    def failed(self, error: KatibError) -> KatibError:
        """What to raise for it."""
        if isinstance(error, MessageTooLargeError):
            question = self.message.question
            beside = self.message.ByteSize() - sum(trial.ByteSize() for trial in question.completed_trials)
            if self.deltas.too_large(self.line, self.delta, error.most, beside):
                return MoreToTellError(f"{self.who} has to be sent the study's trials in smaller parts")
        if not isinstance(error, UnimplementedError):
            return _too_long(error)
        self.deltas.refused(self.line)
        return AskAgainError(f"{self.who} has to be sent all trials each time")


def _stub(line: Line) -> SuggestionStub:
    stub: SuggestionStub = line.stub(SuggestionStub)
    return stub


def _who(algorithm: str) -> str:
    return f"suggestion-{algorithm}"


def _without_room(request: SuggestionRequest, told: int) -> SuggestionRequest:
    """A question about a study with so many finished trials to which no suggestion is the answer: as many as may are running.
    So an algorithm has nothing to compute while its service is sent the study in parts."""
    parallel = next((whole_number(s.value) for s in request.spec.settings if s.name == MAX_PARALLEL), None)
    settings = request.spec.settings
    if parallel is None or parallel < 1:
        parallel = 1
        settings = (*(s for s in settings if s.name != MAX_PARALLEL), Setting(MAX_PARALLEL, "1"))
    return replace(
        request,
        spec=replace(request.spec, settings=settings),
        unfinished=(),
        finished_count=told,
        unfinished_count=parallel,
        first_number=told + parallel + 1,
    )


def _question(request: SuggestionRequest, finished: Sequence[Trial]) -> pb.GenerateTrialsRequest:
    """Without their curves."""
    return pb.GenerateTrialsRequest(
        study_id=request.study_id,
        configs=spec_to_proto(request.spec),
        completed_trials=map(trial_to_proto, finished),
        running_trials=map(trial_to_proto, request.unfinished),
        completed_count=request.finished_count,
        running_count=request.unfinished_count,
        first_number=request.first_number,
    )


def _types(request: SuggestionRequest) -> Mapping[str, ParameterType | None]:
    return {p.name: p.type for p in request.spec.parameters}


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
        note=reply.note,
    )
