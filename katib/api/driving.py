"""The calls of those who run trials: reports, and the studies that clients drive."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from katib.api import api_pb2 as pb
from katib.api.calls import Calls
from katib.api.study_converters import spec_to_proto
from katib.api.times import period_to_proto
from katib.api.trial_converters import observation_from_proto, observation_to_proto, trial_from_proto
from katib.domain.metrics import Observation
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.domain.views import Page


class DrivingCalls(Calls):
    """See ManagerClient."""

    # Observations

    def report_metrics(
        self, trial_id: str, observations: Sequence[Observation], attempt: int = 0, reporter: str = ""
    ) -> bool:
        """Whether the trial has been asked to end. `position` of each observation is the reporter's own number for it,
        from 1 on; sent twice, it is there once."""
        request = pb.ReportMetricsRequest(
            trial_id=trial_id,
            attempt=attempt,
            reporter=reporter,
            observations=[observation_to_proto(o) for o in observations],
        )
        reply: pb.ReportMetricsReply = self._call("ReportMetrics", request)
        return reply.should_stop

    def list_observations(
        self, trial_id: str, attempt: int = 0, names: Sequence[str] = (), page_size: int = 0, page_token: str = ""
    ) -> Page[Observation]:
        request = pb.ListObservationsRequest(
            trial_id=trial_id, attempt=attempt, names=names, page_size=page_size, page_token=page_token
        )
        reply = self._call("ListObservations", request)
        return Page([observation_from_proto(o) for o in reply.observations], reply.next_page_token)

    # Studies that clients drive

    def suggest_trials(
        self,
        study_id: str,
        count: int = 1,
        client_id: str = "",
        algorithm: str = "",
        lease: timedelta | None = None,
    ) -> tuple[Sequence[Trial], bool]:
        """Trials to run now, the client's own unfinished ones first, then those that others have left; and whether there is
        nothing more to try.

        With a `client_id` an answer that was lost is asked for again; without, the trials in it stay unfinished. `lease`: how
        long they stay this client's without a report; None leaves it to the manager.
        """
        request = pb.SuggestTrialsRequest(
            study_id=study_id,
            suggest_algorithm=algorithm,
            count=count,
            client_id=client_id,
            lease=period_or_none(lease),
        )
        reply = self._call("SuggestTrials", request, again=bool(client_id))
        return [trial_from_proto(t) for t in reply.trials], reply.completed

    def complete_trial(
        self,
        study_id: str,
        trial_id: str,
        objective: float | None = None,
        attempt: int = 0,
        observations: Sequence[Observation] = (),
        reporter: str = "",
    ) -> None:
        """COMPLETED with the objective reported before, or now: in `observations`, which are as in `report_metrics`, or as
        `objective`. `attempt`: the one that was given; for a trial that has been handed on since, FailedPreconditionError."""
        self._call("CompleteTrial", _completion(study_id, trial_id, objective, attempt, observations, reporter))

    def complete_and_ask(
        self,
        study_id: str,
        trial_id: str,
        attempt: int,
        observations: Sequence[Observation],
        reporter: str,
        client_id: str,
        algorithm: str = "",
        lease: timedelta | None = None,
        objective: float | None = None,
    ) -> tuple[Sequence[Trial], bool] | None:
        """Both `complete_trial` and then `suggest_trials` for one trial, in one call. None where the trial has ended and the
        question has no answer: ask again by itself."""
        request = _completion(study_id, trial_id, objective, attempt, observations, reporter)
        request.next.count, request.next.client_id, request.next.suggest_algorithm = 1, client_id, algorithm
        if lease is not None:
            request.next.lease.CopyFrom(period_to_proto(lease))
        reply = self._call("CompleteTrial", request, again=bool(client_id))
        if not reply.HasField("next"):
            return None
        return [trial_from_proto(t) for t in reply.next.trials], reply.next.completed

    def abandon_trial(self, study_id: str, trial_id: str, attempt: int = 0, error: str = "") -> None:
        """KILLED, or ERROR with what went wrong."""
        request = pb.CompleteTrialRequest(study_id=study_id, trial_id=trial_id, attempt=attempt, error=error)
        self._call("CompleteTrial", request)

    def check_settings(self, algorithm: str, spec: StudySpec) -> None:
        """Asks the algorithm's service whether it takes the settings in `spec`, of a study that need not be there. Raises what
        the service says; UnavailableError where none answers."""
        request = pb.InitializeSuggestServiceRequest(suggest_algorithm=algorithm, configs=spec_to_proto(spec))
        self._call("InitializeSuggestService", request)


def _completion(
    study_id: str,
    trial_id: str,
    objective: float | None,
    attempt: int,
    observations: Sequence[Observation],
    reporter: str,
) -> pb.CompleteTrialRequest:
    return pb.CompleteTrialRequest(
        study_id=study_id,
        trial_id=trial_id,
        is_complete=True,
        objective_value="" if objective is None else repr(objective),
        attempt=attempt,
        observations=[observation_to_proto(o) for o in observations],
        reporter=reporter,
    )


def period_or_none(period: timedelta | None) -> Any:
    return None if period is None else period_to_proto(period)
