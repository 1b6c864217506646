"""The manager's API in the domain's types: what the command line, the dashboard and the SDK speak through.

Raises what the manager raised (`katib.domain.errors`); UnavailableError when it cannot be reached.
"""

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta

import grpc

from katib.api import api_pb2 as pb
from katib.api.column_converters import changes_from_proto
from katib.api.credentials import LOGIN_KEY
from katib.api.driving import DrivingCalls, period_or_none
from katib.api.model_converters import model_from_proto, saved_study_from_proto
from katib.api.service_converters import service_from_proto
from katib.api.study_converters import spec_from_proto, spec_to_proto, study_state_to_proto, summary_from_proto
from katib.api.token_converters import token_from_proto
from katib.api.trial_converters import (
    attempt_from_proto,
    observation_from_proto,
    trial_from_proto,
    trial_state_to_proto,
)
from katib.api.value_converters import parameters_to_proto
from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.study import Limits, StudySpec, StudyState
from katib.domain.tokens import Token
from katib.domain.trial import Trial, TrialState
from katib.domain.trial_columns import TrialChanges
from katib.domain.views import (
    LogChunk,
    Page,
    ServiceStatus,
    StudyDetail,
    StudyEvent,
    StudySummary,
    TrialDetail,
)


class ManagerClient(DrivingCalls):
    """A connection to a manager at `HOST:PORT` or `unix:PATH`; safe from any thread. Every call ends within `timeout`.

    With several addresses, `A,B` or a sequence, it goes on at another one when a manager does not answer (katib.api.failover).
    """

    # Studies

    def create_study(self, spec: StudySpec, request_id: str = "") -> str:
        """Returns the study's id. The same `request_id` again gives the same study. Without one it gets one of its own, so
        that the request may be sent twice when its answer is lost."""
        request = pb.CreateStudyRequest(
            study_config=spec_to_proto(spec), request_id=request_id or f"once-{secrets.token_hex(16)}"
        )
        reply: pb.CreateStudyReply = self._call("CreateStudy", request)
        return reply.study_id

    def get_study(self, study_id: str) -> StudyDetail:
        reply = self._call("GetStudy", pb.GetStudyRequest(study_id=study_id))
        return StudyDetail(
            summary=summary_from_proto(reply.study),
            spec=spec_from_proto(reply.study_config),
            best_trial=trial_from_proto(reply.best_trial) if reply.HasField("best_trial") else None,
        )

    def list_studies(
        self,
        name: str = "",
        id_prefix: str = "",
        states: Sequence[StudyState] = (),
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[StudySummary]:
        """Newest first; `page_size` 0 leaves it to the manager."""
        request = pb.ListStudiesRequest(
            page_size=page_size,
            page_token=page_token,
            name=name,
            id_prefix=id_prefix,
            states=[study_state_to_proto(s) for s in states],
        )
        reply = self._call("ListStudies", request)
        return Page([summary_from_proto(s) for s in reply.studies], reply.next_page_token)

    def update_study(
        self, study_id: str, limits: Limits | None = None, goal: float | None = None, paused: bool | None = None
    ) -> StudySummary:
        """Changes what is not None; a limit once set can be changed, not removed."""
        limits = limits or Limits()
        request = pb.UpdateStudyRequest(
            study_id=study_id,
            max_trials=limits.max_trials,
            max_parallel=limits.max_parallel,
            max_failed_trials=limits.max_failed_trials,
            retry_limit=limits.retry_limit,
            trial_timeout=period_or_none(limits.trial_timeout),
            max_duration=period_or_none(limits.max_duration),
            optimization_goal=goal,
            paused=paused,
        )
        return summary_from_proto(self._call("UpdateStudy", request).study)

    def stop_study(self, study_id: str) -> None:
        self._call("StopStudy", pb.StopStudyRequest(study_id=study_id))

    def delete_study(self, study_id: str) -> None:
        request = pb.DeleteStudyRequest(study_id=study_id)
        self._failover.call("DeleteStudy", request, self._left(), self._metadata, again=True, removes=True)

    def watch_study(self, study_id: str, after_revision: int = 0) -> Iterator[StudyEvent]:
        """Each change as it happens, the present state first; ends when the study has ended.

        Raises UnavailableError when the connection is lost: go on from the last event's revision, at any manager.
        """
        request = pb.WatchStudyRequest(study_id=study_id, after_revision=after_revision)
        manager, call = self._failover.open_stream("WatchStudy", request, None, self._metadata)
        ended = False
        try:
            for reply in call:
                study = summary_from_proto(reply.study)
                ended = study.state.finished
                yield StudyEvent(study, [trial_from_proto(t) for t in reply.trials], reply.revision)
            if not ended:
                # It stops, and said all that it knew.
                self._failover.leave(manager)
        except grpc.RpcError as error:
            raise self._failover.translate(error, manager) from None
        finally:
            call.cancel()

    # Trials

    def get_trial(self, trial_id: str) -> TrialDetail:
        reply = self._call("GetTrial", pb.GetTrialRequest(trial_id=trial_id))
        return TrialDetail(
            trial=trial_from_proto(reply.trial),
            observations=[observation_from_proto(o) for o in reply.observations],
            truncated=reply.truncated,
            earlier=[attempt_from_proto(a) for a in reply.earlier_attempts],
        )

    def list_trials(
        self,
        study_id: str = "",
        states: Sequence[TrialState] = (),
        id_prefix: str = "",
        newest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
        number: int = 0,
    ) -> Page[Trial]:
        """Of one study by number, or of all studies, newest first; `page_size` 0 leaves it to the manager. With `number` that
        trial of the study alone, or, of an older manager, all of them."""
        request = pb.ListTrialsRequest(
            study_id=study_id,
            page_size=page_size,
            page_token=page_token,
            states=[trial_state_to_proto(s) for s in states],
            id_prefix=id_prefix,
            newest_first=newest_first,
            number=number,
        )
        reply = self._call("ListTrials", request)
        return Page([trial_from_proto(t) for t in reply.trials], reply.next_page_token)

    def trial_changes(self, study_id: str, after_revision: int = 0, page_size: int = 0) -> TrialChanges:
        """How a study stands, with trials that are new or changed since `after_revision`, all of them for 0, as columns.

        Of more than `page_size` (0 leaves it to the manager) the first by revision: `more` says so."""
        request = pb.ListTrialColumnsRequest(study_id=study_id, after_revision=after_revision, page_size=page_size)
        return changes_from_proto(self._call("ListTrialColumns", request))

    def stop_trial(self, trial_id: str) -> None:
        self._call("StopTrial", pb.StopTrialRequest(trial_id=trial_id))

    def trial_log(self, trial_id: str, attempt: int = 0, offset: int = 0, max_bytes: int = 0) -> LogChunk:
        request = pb.GetTrialLogRequest(trial_id=trial_id, attempt=attempt, offset=offset, max_bytes=max_bytes)
        reply = self._call("GetTrialLog", request)
        return LogChunk(reply.data, reply.next_offset, reply.finished)

    # Models

    def save_study(self, study: SavedStudy) -> None:
        request = pb.SaveStudyRequest(study_name=study.name, owner=study.owner, description=study.description)
        self._call("SaveStudy", request)

    def save_model(self, model: SavedModel) -> None:
        """What only the manager knows (`study_id` and on) is not sent."""
        request = pb.SaveModelRequest(
            model=pb.ModelInfo(
                study_name=model.study_name,
                trial_id=model.trial_id,
                parameters=parameters_to_proto(model.parameters),
                metrics=[pb.Metrics(name=name, value=value) for name, value in model.metrics],
                model_path=model.model_path,
            ),
            data_set=pb.DataSetInfo(name=model.data_set_name, path=model.data_set_path),
        )
        self._call("SaveModel", request)

    def saved_studies(self) -> Sequence[SavedStudy]:
        reply = self._call("GetSavedStudies", pb.GetSavedStudiesRequest())
        return [saved_study_from_proto(message) for message in reply.studies]

    def saved_models(self, study_name: str, page_size: int = 100, page_token: str = "") -> Page[SavedModel]:
        request = pb.GetSavedModelsRequest(study_name=study_name, page_size=page_size, page_token=page_token)
        reply = self._call("GetSavedModels", request)
        return Page([model_from_proto(message) for message in reply.models], reply.next_page_token)

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        request = pb.GetSavedModelRequest(study_name=study_name, trial_id=trial_id)
        return model_from_proto(self._call("GetSavedModel", request).model)

    # The rest

    def list_algorithms(self) -> Sequence[ServiceStatus]:
        reply = self._call("ListAlgorithms", pb.ListAlgorithmsRequest())
        return [service_from_proto(a) for a in reply.algorithms]

    # Callers

    def who_am_i(self, login: bool = False) -> tuple[Caller, bool]:
        """The caller, and whether this manager asks who it is. `login`: somebody has just shown this token, which the manager's
        audit log notes."""
        metadata = (*self._metadata, (LOGIN_KEY, "1")) if login else self._metadata
        reply = self._failover.call("WhoAmI", pb.WhoAmIRequest(), self._left(), metadata, again=True)
        roles = frozenset(map(Role, reply.roles))
        return Caller(CallerKind(reply.kind), reply.name, roles, frozenset(reply.groups)), reply.authentication

    def create_token(
        self,
        name: str = "",
        owner: str = "",
        kind: str = "",
        roles: Sequence[str] = (),
        groups: Sequence[str] = (),
        lifetime: timedelta | None = None,
    ) -> tuple[Token, str]:
        """The token and its secret, which nobody will tell again. `owner` empty: the caller; `lifetime` None: as long as the
        caller's own is good."""
        request = pb.CreateTokenRequest(
            name=name, owner=owner, kind=kind, roles=roles, groups=groups, lifetime=period_or_none(lifetime)
        )
        # Made again it makes another one, which nobody would know of.
        reply = self._call("CreateToken", request, again=False)
        return token_from_proto(reply.token), reply.secret

    def list_tokens(self, owner: str = "", page_size: int = 0, page_token: str = "") -> Page[Token]:
        request = pb.ListTokensRequest(owner=owner, page_size=page_size, page_token=page_token)
        reply = self._call("ListTokens", request)
        return Page([token_from_proto(t) for t in reply.tokens], reply.next_page_token)

    def revoke_token(self, token_id: str = "", owner: str = "") -> int:
        """One, or all of an owner's; returns how many these were."""
        revoked: int = self._call("RevokeToken", pb.RevokeTokenRequest(token_id=token_id, owner=owner)).revoked
        return revoked
