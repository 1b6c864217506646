"""Between the messages of `api.Suggestion` and the calls of `katib.suggestion.service`."""

from dataclasses import replace
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.study_converters import settings_from_proto, spec_from_proto
from katib.api.trial_converters import curves_from_trials, trial_from_proto
from katib.api.value_converters import parameters_to_proto
from katib.domain.study import StudySpec
from katib.suggestion.base import STUDY_PATH, Algorithm, History, Reply
from katib.suggestion.histories import Delta, Known
from katib.suggestion.service import Call, check

HISTORIES: Final = {
    History.FINALS: pb.HISTORY_FINALS,
    History.NONE: pb.HISTORY_NONE,
    History.CURVES: pb.HISTORY_CURVES,
    History.OTHERS: pb.HISTORY_OTHERS,
}


def spec_from_settings(request: pb.SetSuggestionParametersRequest) -> StudySpec:
    """The study with the settings that the request names; those within the study count where it names none."""
    spec = spec_from_proto(request.configs, STUDY_PATH)
    settings = settings_from_proto(request.suggestion_parameters)
    return replace(spec, settings=settings or spec.settings)


def settings_reply(history: History) -> pb.SetSuggestionParametersReply:
    return pb.SetSuggestionParametersReply(history=HISTORIES[history], deltas=history is not History.NONE)


def call_from_proto(request: pb.GenerateTrialsRequest, algorithm: Algorithm) -> Call:
    """Trials are read only where the algorithm looks at them: they may be thousands, and for others a 0.1 manager sends them
    all the same. Raises InvalidArgumentError as `service.check`."""
    spec = spec_from_proto(request.configs, STUDY_PATH)
    problem = check(algorithm, spec)
    history = algorithm.history(problem)
    finished, unfinished = request.completed_trials, request.running_trials
    looks = history is not History.NONE
    return Call(
        study_id=request.study_id,
        spec=spec,
        finished_count=request.completed_count or len(finished),
        unfinished_count=request.running_count or len(unfinished),
        first_number=request.first_number,
        finished=[trial_from_proto(t, f"completed_trials[{i}]") for i, t in enumerate(finished)] if looks else (),
        unfinished=[trial_from_proto(t, f"running_trials[{i}]") for i, t in enumerate(unfinished)] if looks else (),
        curves=curves_from_trials([*finished, *unfinished]) if history is History.CURVES else {},
        problem=problem,
    )


def delta_from_proto(request: pb.GenerateTrialsDeltaRequest, algorithm: Algorithm) -> tuple[Delta, Call]:
    question = request.question
    call = replace(call_from_proto(question, algorithm), finished_count=question.completed_count)
    looks = call.problem is not None and algorithm.history(call.problem) is not History.NONE
    changed = [
        Known(trial, call.curves.get(trial.id, ()), message.ByteSize())
        for trial, message in zip(call.finished, question.completed_trials, strict=False)
    ]
    delta = Delta(
        study_id=question.study_id,
        base=request.base if looks else "",
        cursor=request.cursor if looks else "",
        changed=changed,
        unfinished=[trial.id for trial in call.unfinished],
        count=question.completed_count if looks else 0,
    )
    return delta, call


def delta_reply_to_proto(reply: Reply | None, have: str) -> pb.GenerateTrialsDeltaReply:
    return pb.GenerateTrialsDeltaReply(answer=None if reply is None else reply_to_proto(reply), have=have)


def reply_to_proto(reply: Reply) -> pb.GenerateTrialsReply:
    """As in 0.1 the trials have no ids yet: the manager gives them theirs."""
    return pb.GenerateTrialsReply(
        trials=[
            pb.Trial(
                parameter_set=parameters_to_proto(suggestion.parameters),
                tags=[pb.Tag(name=t.name, value=t.value) for t in suggestion.tags],
            )
            for suggestion in reply.suggestions
        ],
        completed=reply.completed,
        reason=reply.reason,
        note=reply.note,
    )
