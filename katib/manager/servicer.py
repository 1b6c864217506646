"""`api.Manager`: convert, call, convert. Whatever is raised becomes a status in `katib.api.answering`."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerServicer as Base
from katib.api.column_converters import changes_to_proto
from katib.api.credentials import bearer_token
from katib.api.model_converters import (
    given_model_from_proto,
    model_to_proto,
    saved_study_from_proto,
    saved_study_to_proto,
)
from katib.api.service_converters import service_to_proto
from katib.api.study_converters import (
    limits_from_proto,
    settings_from_proto,
    spec_from_proto,
    spec_to_proto,
    study_state_from_proto,
    summary_to_proto,
)
from katib.api.times import period_from_proto
from katib.api.token_converters import token_to_proto
from katib.api.trial_converters import (
    attempt_to_proto,
    observation_from_proto,
    observation_to_proto,
    trial_state_from_proto,
    trial_to_proto,
)
from katib.domain.errors import InvalidArgumentError, UnimplementedError
from katib.domain.views import StudyEvent, every
from katib.manager.service.ask import Ask
from katib.manager.service.checks import MAX_PAGE
from katib.manager.service.completion import Completion
from katib.manager.service.service import ManagerService
from katib.manager.service.tokens import TokenRequest
from katib.manager.service.watch import Watcher

Context = grpc.ServicerContext

# Before its caller's deadline, a call that has ended a trial says so without waiting any longer for the next ones.
_TO_SAY_S: Final = 2.0


class ManagerServicer(Base):
    def __init__(self, service: ManagerService) -> None:
        self._service = service

    # Studies

    def CreateStudy(self, request: pb.CreateStudyRequest, context: Context) -> pb.CreateStudyReply:  # noqa: N802
        spec = spec_from_proto(_config(request))
        return pb.CreateStudyReply(study_id=self._service.create_study(spec, request.request_id, _deadline(context)))

    def StopStudy(self, request: pb.StopStudyRequest, _context: Context) -> pb.StopStudyReply:  # noqa: N802
        self._service.stop_study(request.study_id)
        return pb.StopStudyReply()

    def DeleteStudy(self, request: pb.DeleteStudyRequest, _context: Context) -> pb.DeleteStudyReply:  # noqa: N802
        self._service.delete_study(request.study_id)
        return pb.DeleteStudyReply()

    def UpdateStudy(self, request: pb.UpdateStudyRequest, _context: Context) -> pb.UpdateStudyReply:  # noqa: N802
        study = self._service.update_study(
            request.study_id,
            limits_from_proto(request),
            request.optimization_goal if request.HasField("optimization_goal") else None,
            request.paused if request.HasField("paused") else None,
        )
        return pb.UpdateStudyReply(study=summary_to_proto(study))

    def GetStudies(self, _request: pb.GetStudiesRequest, _context: Context) -> pb.GetStudiesReply:  # noqa: N802
        studies = every(lambda token: self._service.list_studies(page_size=MAX_PAGE, page_token=token))
        return pb.GetStudiesReply(study_infos=[summary_to_proto(study) for study in studies])

    def GetStudy(self, request: pb.GetStudyRequest, _context: Context) -> pb.GetStudyReply:  # noqa: N802
        detail = self._service.get_study(request.study_id)
        return pb.GetStudyReply(
            study=summary_to_proto(detail.summary),
            study_config=spec_to_proto(detail.spec),
            best_trial=trial_to_proto(detail.best_trial) if detail.best_trial else None,
        )

    def ListStudies(self, request: pb.ListStudiesRequest, _context: Context) -> pb.ListStudiesReply:  # noqa: N802
        page = self._service.list_studies(
            request.name,
            request.id_prefix,
            tuple(study_state_from_proto(s, f"states[{i}]") for i, s in enumerate(request.states)),
            request.page_size,
            request.page_token,
        )
        return pb.ListStudiesReply(studies=[summary_to_proto(s) for s in page.items], next_page_token=page.next_token)

    def WatchStudy(self, request: pb.WatchStudyRequest, context: Context) -> Iterator[pb.WatchStudyReply]:  # noqa: N802
        watcher = Watcher()
        if not context.add_callback(watcher.leave):
            return
        yield from self._service.watch_study_as(request.study_id, request.after_revision, watcher, _event_to_proto)

    # Trials

    def GetTrial(self, request: pb.GetTrialRequest, _context: Context) -> pb.GetTrialReply:  # noqa: N802
        detail = self._service.get_trial(request.trial_id)
        return pb.GetTrialReply(
            trial=trial_to_proto(detail.trial, detail.observations),
            observations=[observation_to_proto(o) for o in detail.observations],
            truncated=detail.truncated,
            earlier_attempts=[attempt_to_proto(a) for a in detail.earlier],
        )

    def ListTrials(self, request: pb.ListTrialsRequest, _context: Context) -> pb.ListTrialsReply:  # noqa: N802
        page = self._service.list_trials(
            request.study_id,
            tuple(trial_state_from_proto(s, f"states[{i}]") for i, s in enumerate(request.states)),
            request.id_prefix,
            request.newest_first,
            request.page_size,
            request.page_token,
            request.number,
        )
        return pb.ListTrialsReply(trials=[trial_to_proto(t) for t in page.items], next_page_token=page.next_token)

    def ListTrialColumns(  # noqa: N802
        self, request: pb.ListTrialColumnsRequest, _context: Context
    ) -> pb.ListTrialColumnsReply:
        return changes_to_proto(
            self._service.trial_changes(request.study_id, request.after_revision, request.page_size)
        )

    def StopTrial(self, request: pb.StopTrialRequest, _context: Context) -> pb.StopTrialReply:  # noqa: N802
        self._service.stop_trial(request.trial_id)
        return pb.StopTrialReply()

    def ReportMetrics(self, request: pb.ReportMetricsRequest, context: Context) -> pb.ReportMetricsReply:  # noqa: N802
        now = datetime.now(UTC)
        should_stop = self._service.report_metrics(
            request.trial_id,
            [observation_from_proto(o, now, f"observations[{i}]") for i, o in enumerate(request.observations)],
            request.attempt,
            request.reporter,
            bearer_token(context),
        )
        return pb.ReportMetricsReply(should_stop=should_stop)

    def ListObservations(  # noqa: N802
        self, request: pb.ListObservationsRequest, _context: Context
    ) -> pb.ListObservationsReply:
        page = self._service.list_observations(
            request.trial_id, request.attempt, tuple(request.names), request.page_size, request.page_token
        )
        return pb.ListObservationsReply(
            observations=[observation_to_proto(o) for o in page.items], next_page_token=page.next_token
        )

    def GetTrialLog(self, request: pb.GetTrialLogRequest, _context: Context) -> pb.GetTrialLogReply:  # noqa: N802
        chunk = self._service.trial_log(request.trial_id, request.attempt, request.offset, request.max_bytes)
        return pb.GetTrialLogReply(data=chunk.data, next_offset=chunk.next_offset, finished=chunk.finished)

    # Studies that clients drive, and the services

    def SuggestTrials(self, request: pb.SuggestTrialsRequest, context: Context) -> pb.SuggestTrialsReply:  # noqa: N802
        ask = _ask_from_proto(request, _deadline(context), "")
        trials, completed = self._service.suggest_trials(
            request.study_id, ask.count, ask.client_id, ask.algorithm, ask.deadline, ask.lease
        )
        return pb.SuggestTrialsReply(trials=[trial_to_proto(t) for t in trials], completed=completed)

    def CompleteTrial(self, request: pb.CompleteTrialRequest, context: Context) -> pb.CompleteTrialReply:  # noqa: N802
        ask = None
        if request.HasField("next"):
            if request.next.study_id not in ("", request.study_id):
                of = f"expected nothing, or the trial's own study: {request.study_id!r}"
                raise InvalidArgumentError.of("next.study_id", request.next.study_id, of)
            ask = _ask_from_proto(request.next, _deadline(context) - _TO_SAY_S, "next.")
        now = datetime.now(UTC)
        said = Completion(
            is_complete=request.is_complete,
            objective=request.objective_value,
            metrics=[(m.name, m.value) for m in request.metrics],
            attempt=request.attempt,
            error=request.error,
            observations=[
                observation_from_proto(o, now, f"observations[{i}]") for i, o in enumerate(request.observations)
            ],
            reporter=request.reporter,
        )
        given = self._service.complete_trial(request.study_id, request.trial_id, said, ask)
        if given is None:
            return pb.CompleteTrialReply()
        trials, completed = given
        suggested = pb.SuggestTrialsReply(trials=[trial_to_proto(t) for t in trials], completed=completed)
        return pb.CompleteTrialReply(next=suggested)

    def EarlyStopping(self, request: pb.EarlyStoppingRequest, _context: Context) -> pb.EarlyStoppingReply:  # noqa: N802
        trials = self._service.early_stopping(request.study_id, request.early_stopping_algorithm)
        return pb.EarlyStoppingReply(trials=[trial_to_proto(t) for t in trials])

    def InitializeSuggestService(  # noqa: N802
        self, request: pb.InitializeSuggestServiceRequest, context: Context
    ) -> pb.InitializeSuggestServiceReply:
        self._service.initialize_suggest_service(
            request.study_id,
            request.suggest_algorithm,
            settings_from_proto(request.suggestion_parameters),
            spec_from_proto(request.configs, "configs") if request.HasField("configs") else None,
            _deadline(context),
        )
        return pb.InitializeSuggestServiceReply()

    def ListAlgorithms(  # noqa: N802
        self, _request: pb.ListAlgorithmsRequest, _context: Context
    ) -> pb.ListAlgorithmsReply:
        return pb.ListAlgorithmsReply(algorithms=[service_to_proto(s) for s in self._service.list_algorithms()])

    def GetObjectValue(  # noqa: N802
        self, _request: pb.GetObjectValueRequest, _context: Context
    ) -> pb.GetObjectValueReply:
        raise UnimplementedError("GetObjectValue never worked: use GetTrial, which has the objective's value")

    def AddMeasurementToTrials(  # noqa: N802
        self, _request: pb.AddMeasurementToTrialsRequest, _context: Context
    ) -> pb.AddMeasurementToTrialsReply:
        raise UnimplementedError("AddMeasurementToTrials never worked: use ReportMetrics")

    # Callers

    def WhoAmI(self, _request: pb.WhoAmIRequest, _context: Context) -> pb.WhoAmIReply:  # noqa: N802
        caller, asked = self._service.who_am_i()
        return pb.WhoAmIReply(
            authentication=asked,
            name=caller.name,
            kind=caller.kind.value,
            roles=sorted(role.value for role in caller.roles),
            groups=sorted(caller.groups),
        )

    def CreateToken(self, request: pb.CreateTokenRequest, _context: Context) -> pb.CreateTokenReply:  # noqa: N802
        token, secret = self._service.create_token(
            TokenRequest(
                request.name,
                request.owner,
                request.kind,
                tuple(request.roles),
                tuple(request.groups),
                period_from_proto(request.lifetime, "lifetime") if request.HasField("lifetime") else None,
            )
        )
        return pb.CreateTokenReply(token=token_to_proto(token), secret=secret)

    def ListTokens(self, request: pb.ListTokensRequest, _context: Context) -> pb.ListTokensReply:  # noqa: N802
        page = self._service.list_tokens(request.owner, request.page_size, request.page_token)
        return pb.ListTokensReply(tokens=[token_to_proto(t) for t in page.items], next_page_token=page.next_token)

    def RevokeToken(self, request: pb.RevokeTokenRequest, _context: Context) -> pb.RevokeTokenReply:  # noqa: N802
        return pb.RevokeTokenReply(revoked=self._service.revoke_token(request.token_id, request.owner))

    # The model store

    def SaveStudy(self, request: pb.SaveStudyRequest, _context: Context) -> pb.SaveStudyReply:  # noqa: N802
        self._service.save_study(saved_study_from_proto(request))
        return pb.SaveStudyReply()

    def SaveModel(self, request: pb.SaveModelRequest, _context: Context) -> pb.SaveModelReply:  # noqa: N802
        self._service.save_model(given_model_from_proto(request), request.tensor_board)
        return pb.SaveModelReply()

    def GetSavedStudies(  # noqa: N802
        self, _request: pb.GetSavedStudiesRequest, _context: Context
    ) -> pb.GetSavedStudiesReply:
        return pb.GetSavedStudiesReply(studies=[saved_study_to_proto(study) for study in self._service.saved_studies()])

    def GetSavedModels(  # noqa: N802
        self, request: pb.GetSavedModelsRequest, _context: Context
    ) -> pb.GetSavedModelsReply:
        page = self._service.saved_models(request.study_name, request.page_size, request.page_token)
        return pb.GetSavedModelsReply(models=[model_to_proto(m) for m in page.items], next_page_token=page.next_token)

    def GetSavedModel(self, request: pb.GetSavedModelRequest, _context: Context) -> pb.GetSavedModelReply:  # noqa: N802
        return pb.GetSavedModelReply(
            model=model_to_proto(self._service.saved_model(request.study_name, request.trial_id))
        )


def _config(request: pb.CreateStudyRequest) -> pb.StudyConfig:
    if not request.HasField("study_config"):
        raise InvalidArgumentError("study_config is required")
    return request.study_config


def _ask_from_proto(request: pb.SuggestTrialsRequest, deadline: float, at: str) -> Ask:
    lease = period_from_proto(request.lease, f"{at}lease") if request.HasField("lease") else None
    return Ask(request.count, request.client_id, request.suggest_algorithm, deadline, lease)


def _deadline(context: Context) -> float:
    """Until when the caller waits, by the monotonic clock; inf when it has not said."""
    return time.monotonic() + context.time_remaining()


def _event_to_proto(event: StudyEvent) -> pb.WatchStudyReply:
    return pb.WatchStudyReply(
        study=summary_to_proto(event.study), trials=[trial_to_proto(t) for t in event.trials], revision=event.revision
    )
