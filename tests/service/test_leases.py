"""Trials that clients have for a time, in process and through the client: see tests/service/test_contract.py."""

import time
from datetime import timedelta

import pytest

from katib.api import api_pb2 as pb
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from katib.domain.lease import DEFAULT_LEASE
from katib.domain.study import StudyState
from katib.domain.trial import TrialReason, TrialState
from katib.manager.server import Manager
from katib.manager.service.completion import Completion
from tests.e2e.harness import World, stub, until
from tests.service.test_contract import Api, api, complete, idle, observation, services

__all__ = ["api", "services"]

# The shortest that there is, and a time that is longer.
SECOND = timedelta(seconds=1)
LAPSED_S = 1.3


def fail(api: Api, study_id: str, trial_id: str, attempt: int, error: str) -> None:
    if hasattr(api, "abandon_trial"):
        api.abandon_trial(study_id, trial_id, attempt, error)
    else:
        api.complete_trial(study_id, trial_id, Completion(is_complete=False, attempt=attempt, error=error))


def finish(api: Api, study_id: str, trial_id: str, attempt: int) -> None:
    if hasattr(api, "abandon_trial"):
        api.complete_trial(study_id, trial_id, 0.5, attempt)
    else:
        api.complete_trial(study_id, trial_id, Completion(is_complete=True, objective="0.5", attempt=attempt))


class TestLeases:
    @pytest.mark.long
    def test_what_a_silent_client_had_is_handed_on_and_its_late_word_is_refused(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 1}))
        (trial,), _ = api.suggest_trials(study_id, client_id="first", lease=SECOND)
        assert (trial.lease, trial.attempt) == (SECOND, 1)
        assert trial.lease_until is not None
        # While it may come back there is not nothing more to try.
        given, completed = api.suggest_trials(study_id, client_id="second", lease=SECOND)
        assert (list(given), completed) == ([], False)
        time.sleep(LAPSED_S)
        for seen in (api.get_trial(trial.id).trial, *api.list_trials(study_id).items):
            assert seen.reason == TrialReason.LEASE_EXPIRED
            assert "client first" in seen.message
        (given,), completed = api.suggest_trials(study_id, client_id="second", lease=timedelta(minutes=5))
        assert not completed
        assert (given.id, given.attempt, given.client_id) == (trial.id, 2, "second")
        assert given.parameters == trial.parameters
        assert (given.reason, "handed on to second" in given.message) == (TrialReason.LEASE_EXPIRED, True)
        for attempt in (0, 1):
            with pytest.raises(FailedPreconditionError, match="second"):
                api.report_metrics(trial.id, [observation(0.9, 1)], attempt)
            with pytest.raises(FailedPreconditionError, match="second"):
                api.report_metrics(trial.id, [], attempt)
            with pytest.raises(FailedPreconditionError, match="second"):
                finish(api, study_id, trial.id, attempt)
            with pytest.raises(FailedPreconditionError, match="second"):
                fail(api, study_id, trial.id, attempt, "boom")
        api.report_metrics(trial.id, [observation(0.25, 1)], 2)
        finish(api, study_id, trial.id, 2)
        detail = api.get_trial(trial.id)
        assert (detail.trial.state, detail.trial.objective, detail.trial.reason) == (TrialState.COMPLETED, 0.5, "")
        assert [(a.number, a.reason) for a in detail.earlier] == [(1, TrialReason.LEASE_EXPIRED)]
        # What has ended is not ended once more by the one who had it before.
        with pytest.raises(FailedPreconditionError):
            finish(api, study_id, trial.id, 1)
        assert until(lambda: api.get_study(study_id).summary.state is StudyState.COMPLETED)

    @pytest.mark.long
    def test_a_client_that_reports_or_asks_keeps_its_trials(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 2}))
        (reports,), _ = api.suggest_trials(study_id, client_id="reports", lease=SECOND)
        (asks,), _ = api.suggest_trials(study_id, client_id="asks", lease=SECOND)
        for _ in range(4):
            time.sleep(0.4)
            api.report_metrics(reports.id, [], 1)
            ((again,), _) = api.suggest_trials(study_id, client_id="asks", lease=SECOND)
            assert (again.id, again.attempt) == (asks.id, 1)
        given, _ = api.suggest_trials(study_id, client_id="another", lease=SECOND)
        assert list(given) == []

    def test_a_client_that_says_nothing_of_a_lease_has_a_long_one_and_one_without_a_name_has_none(
        self, api: Api
    ) -> None:
        study_id = api.create_study(idle())
        (named,), _ = api.suggest_trials(study_id, client_id="named")
        (nameless,), _ = api.suggest_trials(study_id)
        assert named.lease == DEFAULT_LEASE
        assert (nameless.lease, nameless.lease_until) == (None, None)
        complete(api, study_id, named.id, 0.5)
        done = api.get_trial(named.id).trial
        assert (done.state, done.lease, done.lease_until) == (TrialState.COMPLETED, None, None)

    @pytest.mark.parametrize("period", [timedelta(0), timedelta(milliseconds=999), timedelta(days=366), -SECOND])
    def test_a_lease_that_is_none_is_refused_by_its_name(self, api: Api, period: timedelta) -> None:
        study_id = api.create_study(idle())
        with pytest.raises(InvalidArgumentError) as caught:
            api.suggest_trials(study_id, client_id="me", lease=period)
        assert caught.value.violations[0].field == "lease"
        assert "365 days" in caught.value.violations[0].expected

    def test_a_lease_without_a_name_is_refused(self, api: Api) -> None:
        study_id = api.create_study(idle())
        with pytest.raises(InvalidArgumentError) as caught:
            api.suggest_trials(study_id, lease=SECOND)
        assert caught.value.violations[0].field == "client_id"

    def test_a_client_can_say_what_went_wrong(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_failed_trials": 1}))
        (trial,), _ = api.suggest_trials(study_id, client_id="me")
        fail(api, study_id, trial.id, 1, "ValueError: no such thing")
        fail(api, study_id, trial.id, 1, "ValueError: no such thing")
        seen = api.get_trial(trial.id).trial
        assert (seen.state, seen.reason) == (TrialState.ERROR, TrialReason.FAILED_AT_CLIENT)
        assert seen.message == "ValueError: no such thing"
        with pytest.raises(FailedPreconditionError):
            finish(api, study_id, trial.id, 1)
        assert until(lambda: api.get_study(study_id).summary.state is StudyState.FAILED)

    @pytest.mark.parametrize("attempt", [2, 2**31 - 1, -1])
    def test_an_attempt_that_there_was_not_is_refused_by_its_name(self, api: Api, attempt: int) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id, client_id="me")
        with pytest.raises(InvalidArgumentError) as caught:
            finish(api, study_id, trial.id, attempt)
        assert caught.value.violations[0].field == "attempt"
        assert api.get_trial(trial.id).trial.state is TrialState.RUNNING


@pytest.mark.long
def test_clients_of_0_1_keep_what_they_have_beside_clients_that_lease(services: tuple[World, Manager]) -> None:
    manager = stub(services[0].address)
    service = services[1].service
    study_id = service.create_study(idle(limits={"max_trials": 2}))
    (old,) = manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id), timeout=30).trials
    (leased,), _ = service.suggest_trials(study_id, client_id="new", lease=SECOND)
    time.sleep(LAPSED_S)
    # What is handed on has a second attempt, of which such a client knows nothing: it is given to those with a name.
    reply = manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id), timeout=30)
    assert (list(reply.trials), reply.completed) == ([], True)
    (handed,), _ = service.suggest_trials(study_id, 5, client_id="other", lease=SECOND)
    assert handed.id == leased.id
    manager.CompleteTrial(
        pb.CompleteTrialRequest(study_id=study_id, trial_id=old.trial_id, is_complete=True, objective_value="0.7"),
        timeout=30,
    )
    done = manager.GetTrial(pb.GetTrialRequest(trial_id=old.trial_id), timeout=30).trial
    assert (done.status, done.attempt, done.objective_value) == (pb.COMPLETED, 1, "0.7")
