"""A trial's end with what is left to report, and the question for the next one in the same call, in process and through the
client: see tests/service/test_contract.py."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.api.errors import from_rpc_error
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.study import Limits, StudyReason, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.server import Manager
from katib.manager.service.ask import Ask
from katib.manager.service.clients import ClientUseCases
from katib.manager.service.completion import Completion
from tests.e2e.harness import World, stub, study, until
from tests.service.test_contract import NOBODY, Api, api, idle, observation, services

__all__ = ["api", "services"]

LEASE = timedelta(minutes=5)
Next = tuple[Sequence[Trial], bool] | None


def begin(api: Api, client: str = "me", **changes: Any) -> tuple[str, Trial]:
    """A study, and the first trial of a client of it."""
    study_id = api.create_study(idle(**changes))
    (trial,), _ = api.suggest_trials(study_id, client_id=client, lease=LEASE)
    return study_id, trial


def go_on(
    api: Api,
    trial: Trial,
    observations: Sequence[Observation] = (),
    client: str = "me",
    attempt: int = 1,
    algorithm: str = "",
    study_id: str = "",
) -> Next:
    """Ends the trial and asks for the next one."""
    of = study_id or trial.study_id
    if isinstance(api, ManagerClient):
        return api.complete_and_ask(of, trial.id, attempt, observations, "loop", client, algorithm, LEASE)
    ask = Ask(1, client, algorithm, lease=LEASE)
    said = Completion(is_complete=True, attempt=attempt, observations=observations, reporter="loop")
    return api.complete_trial(of, trial.id, said, ask)


def end(
    api: Api, trial: Trial, observations: Sequence[Observation], objective: float | None = None, reporter: str = "loop"
) -> None:
    if isinstance(api, ManagerClient):
        api.complete_trial(trial.study_id, trial.id, objective, 0, observations, reporter)
    else:
        text = "" if objective is None else repr(objective)
        said = Completion(is_complete=True, objective=text, observations=observations, reporter=reporter)
        api.complete_trial(trial.study_id, trial.id, said)


def values(api: Api, trial: Trial) -> list[tuple[str, float]]:
    return [(o.name, o.value) for o in api.get_trial(trial.id).observations]


def given(reply: Next) -> Trial:
    assert reply is not None
    (trial,), completed = reply
    assert not completed
    return trial


class TestCompletions:
    def test_what_is_left_to_report_comes_with_the_end_and_the_next_trial_with_the_answer(self, api: Api) -> None:
        study_id, trial = begin(api)
        api.report_metrics(trial.id, [observation(0.1, 1), observation(0.9, 2)], 1, "loop")
        # The second one has arrived already, and is not the latest.
        left = [observation(0.9, 2), observation(2.0, 3, "loss"), observation(0.4, 4, step=7)]
        following = given(go_on(api, trial, left))
        assert values(api, trial) == [("acc", 0.1), ("acc", 0.9), ("loss", 2.0), ("acc", 0.4)]
        detail = api.get_trial(trial.id)
        assert (detail.trial.state, detail.trial.objective) == (TrialState.COMPLETED, 0.4)
        assert detail.observations[-1].step == 7
        assert (following.number, following.state, following.client_id) == (2, TrialState.RUNNING, "me")
        assert following == api.get_trial(following.id).trial
        summary = api.get_study(study_id).summary
        assert (summary.best_trial_id, summary.best_objective, summary.completed) == (trial.id, 0.4, 1)

    @pytest.mark.parametrize(
        ("strategy", "objective"), [(MetricStrategy.LATEST, 0.2), (MetricStrategy.MIN, 0.1), (MetricStrategy.MAX, 0.9)]
    )
    def test_the_objective_is_made_of_all_that_was_reported_as_the_study_says(
        self, api: Api, strategy: MetricStrategy, objective: float
    ) -> None:
        _, trial = begin(api, objective_strategy=strategy)
        api.report_metrics(trial.id, [observation(0.1, 1)], 1, "loop")
        end(api, trial, [observation(0.9, 2), observation(0.2, 3)])
        assert api.get_trial(trial.id).trial.objective == objective

    def test_the_objective_of_the_completion_itself_comes_last(self, api: Api) -> None:
        _, trial = begin(api)
        end(api, trial, [observation(0.9, 1), observation(0.8, 2)], 0.5)
        assert values(api, trial) == [("acc", 0.9), ("acc", 0.8), ("acc", 0.5)]
        assert api.get_trial(trial.id).trial.objective == 0.5

    def test_an_end_that_is_sent_again_gives_the_same_trial_and_stores_nothing_twice(self, api: Api) -> None:
        study_id, trial = begin(api)
        left = [observation(0.5, 1)]
        first = given(go_on(api, trial, left))
        revision = api.get_study(study_id).summary.revision
        for more in (left, [*left, observation(0.7, 2)]):
            again = given(go_on(api, trial, more))
            assert (again.id, again.attempt) == (first.id, 1)
        assert values(api, trial) == [("acc", 0.5)]
        summary = api.get_study(study_id).summary
        assert (summary.trials, summary.revision) == (2, revision)

    def test_a_trial_that_has_not_reported_its_objective_is_not_ended_and_nothing_of_the_call_is_taken(
        self, api: Api
    ) -> None:
        study_id, trial = begin(api)
        before = api.get_study(study_id).summary
        for call in (
            lambda: go_on(api, trial, [observation(1.0, 1, "loss")]),
            lambda: end(api, trial, [observation(1.0, 1, "loss")]),
        ):
            with pytest.raises(InvalidArgumentError) as caught:
                call()
            assert caught.value.violations[0].field == "objective_value"
        assert api.get_study(study_id).summary == before
        assert values(api, trial) == []

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            ([observation(0.5, 0)], "observations[0].sequence"),
            ([observation(0.5, 1), observation(0.5, 1)], "observations[1].sequence"),
            ([observation(0.5, 1), observation(0.5, 2, "a b")], "observations[1].name"),
            ([observation(0.5, 1)] * 10_001, "observations"),
        ],
    )
    def test_an_observation_that_is_none_is_refused_by_its_place(
        self, api: Api, bad: Sequence[Observation], field: str
    ) -> None:
        _, trial = begin(api)
        with pytest.raises(InvalidArgumentError) as caught:
            go_on(api, trial, bad)
        assert [v.field for v in caught.value.violations] == [field]
        assert api.get_trial(trial.id).trial == trial
        with pytest.raises(InvalidArgumentError) as caught:
            end(api, trial, [observation(0.5, 1)], reporter="a\nb")
        assert caught.value.violations[0].field == "reporter"

    def test_a_name_of_an_algorithm_that_can_be_none_is_refused_before_anything_is_ended(self, api: Api) -> None:
        _, trial = begin(api)
        with pytest.raises(InvalidArgumentError) as caught:
            go_on(api, trial, [observation(0.5, 1)], algorithm="../random")
        assert caught.value.violations[0].field == "next.suggest_algorithm"
        assert api.get_trial(trial.id).trial == trial
        assert values(api, trial) == []

    def test_the_end_of_a_trial_of_another_study_is_not_found_and_gives_nothing(self, api: Api) -> None:
        _, trial = begin(api)
        other, theirs = begin(api)
        for study_id in (other, NOBODY):
            with pytest.raises(NotFoundError):
                go_on(api, trial, [observation(0.5, 1)], study_id=study_id)
        assert api.get_trial(trial.id).trial == trial
        assert [t.id for t in api.list_trials(other).items] == [theirs.id]

    def test_the_last_trial_of_a_study_is_told_that_nothing_more_is_to_come(self, api: Api) -> None:
        study_id, trial = begin(api, limits={"max_trials": 1})
        reply = go_on(api, trial, [observation(0.5, 1)])
        assert reply is not None
        assert (list(reply[0]), reply[1]) == ([], True)
        assert until(lambda: api.get_study(study_id).summary.state is StudyState.COMPLETED)
        # Once it has ended there is nobody to say so but who is asked.
        assert go_on(api, trial, [observation(0.5, 1)]) is None

    def test_the_last_trial_is_not_told_so_while_another_one_may_be_handed_on(self, api: Api) -> None:
        study_id, trial = begin(api, limits={"max_trials": 2})
        api.suggest_trials(study_id, client_id="another", lease=LEASE)
        reply = go_on(api, trial, [observation(0.5, 1)])
        assert reply is not None
        assert (list(reply[0]), reply[1]) == ([], False)

    def test_the_trial_that_reaches_the_goal_is_followed_by_none(self, api: Api) -> None:
        study_id, trial = begin(api, goal=0.9)
        # Now there is one prepared, which would cost no more than to write it.
        trial = given(go_on(api, trial, [observation(0.1, 1)]))
        reply = go_on(api, trial, [observation(0.95, 1)])
        assert reply is None or not reply[0]
        summary = until(lambda: s if (s := api.get_study(study_id).summary).state is StudyState.COMPLETED else None)
        assert (summary.reason, summary.trials) == (StudyReason.GOAL, 2)

    def test_a_paused_study_takes_the_end_and_gives_nothing_until_it_goes_on(self, api: Api) -> None:
        study_id, trial = begin(api)
        api.update_study(study_id, paused=True)
        assert go_on(api, trial, [observation(0.5, 1)]) is None
        assert api.get_trial(trial.id).trial.state is TrialState.COMPLETED
        assert values(api, trial) == [("acc", 0.5)]
        api.update_study(study_id, paused=False)
        assert given(go_on(api, trial, [observation(0.5, 1)])).number == 2

    @pytest.mark.long
    def test_a_trial_that_was_handed_on_meanwhile_is_not_ended_by_who_had_it_and_gives_it_nothing(
        self, api: Api
    ) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 1}))
        (trial,), _ = api.suggest_trials(study_id, client_id="me", lease=timedelta(seconds=1))
        (handed,) = until(lambda: api.suggest_trials(study_id, client_id="other", lease=LEASE)[0])
        # There would be more to give.
        api.update_study(study_id, Limits(max_trials=5))
        assert (handed.id, handed.attempt) == (trial.id, 2)
        before = api.get_study(study_id).summary
        for attempt in (0, 1):
            with pytest.raises(FailedPreconditionError, match="handed on to client other"):
                go_on(api, trial, [observation(0.5, 1)], attempt=attempt)
        assert values(api, trial) == []
        assert api.get_study(study_id).summary == before
        assert given(go_on(api, trial, [observation(0.5, 1)], "other", 2)).client_id == "other"

    @pytest.mark.long
    def test_a_trial_that_a_manager_runs_takes_no_observations_at_its_end_and_its_run_goes_on(self, api: Api) -> None:
        spec = study(command=("sh", "-c", "sleep 600"), limits={"max_trials": 1, "max_parallel": 1})
        study_id = api.create_study(spec)

        def runs() -> Trial | None:
            trials = api.list_trials(study_id, states=(TrialState.RUNNING,)).items
            return trials[0] if trials else None

        trial = until(runs)
        with pytest.raises(InvalidArgumentError) as caught:
            go_on(api, trial, [observation(0.5, 1)])
        assert caught.value.violations[0].field == "observations"
        after = api.get_trial(trial.id).trial
        assert (after.state, after.stop_reason) == (TrialState.RUNNING, "")
        # Without any its run is ended, and nothing is given of a study that is no client's.
        assert go_on(api, trial) is None
        assert until(lambda: api.get_trial(trial.id).trial.state is TrialState.KILLED)

    @pytest.mark.slow
    def test_where_no_service_has_the_name_the_trial_has_ended_and_only_the_answer_is_missing(self, api: Api) -> None:
        _, trial = begin(api)
        assert go_on(api, trial, [observation(0.5, 1)], algorithm="nothing-of-this-name") is None
        assert api.get_trial(trial.id).trial.state is TrialState.COMPLETED
        assert given(go_on(api, trial, [observation(0.5, 1)])).number == 2


def completion(trial: Trial, **following: Any) -> pb.CompleteTrialRequest:
    return pb.CompleteTrialRequest(
        study_id=trial.study_id,
        trial_id=trial.id,
        is_complete=True,
        objective_value="0.5",
        next=pb.SuggestTrialsRequest(**following),
    )


@pytest.mark.parametrize(
    ("following", "field"),
    [
        ({"count": -1}, "next.count"),
        ({"count": 1001}, "next.count"),
        ({"client_id": "a\nb"}, "next.client_id"),
        ({"client_id": "x" * 129}, "next.client_id"),
        ({"lease": {"seconds": 5}}, "next.client_id"),
        ({"client_id": "me", "lease": {"seconds": 0}}, "next.lease"),
        ({"client_id": "me", "lease": {"seconds": 400 * 86400}}, "next.lease"),
        ({"client_id": "me", "lease": {"seconds": 1, "nanos": -1}}, "next.lease"),
        ({"study_id": NOBODY}, "next.study_id"),
        ({"suggest_algorithm": "A/b"}, "next.suggest_algorithm"),
    ],
)
def test_a_question_that_is_none_is_refused_by_its_place_and_the_trial_is_not_ended(
    services: tuple[World, Manager], following: dict[str, Any], field: str
) -> None:
    service = services[1].service
    _, trial = begin(service)
    with pytest.raises(grpc.RpcError) as caught:
        stub(services[0].address).CompleteTrial(completion(trial, **following), timeout=30)
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgumentError)
    assert [v.field for v in error.violations] == [field]
    assert service.get_trial(trial.id).trial == trial
    assert len(service.list_trials(trial.study_id).items) == 1


@pytest.mark.parametrize("named", [True, False])
def test_the_question_may_name_its_study_or_leave_it_out(services: tuple[World, Manager], named: bool) -> None:
    _, trial = begin(services[1].service)
    following: dict[str, Any] = {"study_id": trial.study_id} if named else {}
    manager = stub(services[0].address)
    reply = manager.CompleteTrial(completion(trial, count=3, client_id="me", **following), timeout=30)
    assert [t.number for t in reply.next.trials] == [2, 3, 4]
    assert not reply.next.completed
    # As by those who know of no questions.
    plain = pb.CompleteTrialRequest(study_id=trial.study_id, trial_id=reply.next.trials[0].trial_id)
    assert not manager.CompleteTrial(plain, timeout=30).HasField("next")


@pytest.mark.parametrize("timeout", [1.5, pytest.param(6.0, marks=pytest.mark.slow)])
def test_who_waits_for_the_next_trial_hears_of_the_end_within_its_time(
    services: tuple[World, Manager], timeout: float
) -> None:
    _, trial = begin(services[1].service)
    request = completion(trial, client_id="me", suggest_algorithm="nothing-of-this-name-either")
    reply = stub(services[0].address).CompleteTrial(request, timeout=timeout)
    assert not reply.HasField("next")
    assert services[1].service.get_trial(trial.id).trial.state is TrialState.COMPLETED


def test_a_trial_that_its_client_gives_up_may_be_followed_by_another_in_the_same_call(
    services: tuple[World, Manager],
) -> None:
    service: ClientUseCases = services[1].service
    _, trial = begin(services[1].service)
    said = Completion(is_complete=False, error="boom")
    following = given(service.complete_trial(trial.study_id, trial.id, said, Ask(1, "me", lease=LEASE)))
    assert following.number == 2
    ended = services[1].service.get_trial(trial.id).trial
    assert (ended.state, ended.message) == (TrialState.ERROR, "boom")
