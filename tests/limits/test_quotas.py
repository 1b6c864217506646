"""What may be stored is limited, of each owner and in all; a client is told which limit, how much there is and what to do."""

from datetime import UTC, datetime

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.domain.errors import ResourceExhaustedError
from katib.domain.metrics import Observation
from katib.domain.study import StudyReason
from katib.domain.trial import TrialState
from katib.manager.quotas import Quotas, Room
from katib.manager.storage.open import open_storage
from tests.e2e.harness import stub, study, until
from tests.limits.conftest import Limited
from tests.storage.builders import make_study

pytestmark = pytest.mark.long


def values(count: int, first: int = 1) -> list[Observation]:
    return [Observation("acc", 0.5, datetime.now(UTC), 1, "", i) for i in range(first, first + count)]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is added up at every look."""
    monkeypatch.setattr("katib.manager.quotas._EVERY_S", 0.0)
    monkeypatch.setattr("katib.manager.quotas._TIMES", 0)


def test_studies_are_limited_for_each_owner_and_in_all(limited: Limited) -> None:
    it = limited(max_studies=3, max_studies_per_owner=2)
    for name in ("ann", "bob"):
        it.token(name, "user")
    with it.client("ann") as ann, it.client("bob") as bob:
        first = ann.create_study(study(algorithm=""))
        again = ann.create_study(study(algorithm=""), request_id="r")
        with pytest.raises(
            ResourceExhaustedError, match=r"ann has 2 studies, .*\(--max-studies-per-owner\): delete some"
        ):
            ann.create_study(study(algorithm=""))
        assert ann.create_study(study(algorithm=""), request_id="r") == again
        bob.create_study(study(algorithm=""))
        with pytest.raises(ResourceExhaustedError, match=r"there are 3 studies, .*\(--max-studies\)") as refused:
            bob.create_study(study(algorithm=""))
        assert refused.value.retry_after is None
        ann.delete_study(first)

        def gone() -> bool:
            try:
                return bool(bob.create_study(study(algorithm="")))
            except ResourceExhaustedError:
                return False

        assert until(gone)


def test_a_client_gets_no_more_trials_than_a_study_may_have(limited: Limited) -> None:
    it = limited(max_trials_per_study=3, auth="none")
    with it.client("") as client:
        study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
        trials, _ = client.suggest_trials(study_id, 5, "c")
        assert len(trials) == 3
        with pytest.raises(
            ResourceExhaustedError,
            match=rf"study {study_id} has 3 trials, .*\(--max-trials-per-study\): go on in another",
        ):
            client.suggest_trials(study_id, 1, "d")
        # Those that it has are still to be had.
        again, _ = client.suggest_trials(study_id, 3, "c")
        assert [t.id for t in again] == [t.id for t in trials]


@pytest.mark.usefixtures("short")
def test_the_trials_of_an_owner_are_limited_over_all_its_studies(limited: Limited) -> None:
    it = limited(max_trials_per_owner=4, max_trials=6)
    for name in ("ann", "bob"):
        it.token(name, "user")
    with it.client("ann") as ann, it.client("bob") as bob:
        one, two = (ann.create_study(study(algorithm="", limits={"max_trials": 100})) for _ in range(2))
        assert len(ann.suggest_trials(one, 3, "c")[0]) == 3
        assert len(ann.suggest_trials(two, 3, "c")[0]) == 1
        with pytest.raises(
            ResourceExhaustedError, match=r"the studies of ann have 4 trials, .*\(--max-trials-per-owner\)"
        ):
            ann.suggest_trials(two, 1, "d")
        of_bob = bob.create_study(study(algorithm="", limits={"max_trials": 100}))
        assert len(bob.suggest_trials(of_bob, 9, "c")[0]) == 2
        with pytest.raises(ResourceExhaustedError, match=r"there are 6 trials, .*\(--max-trials\)"):
            bob.suggest_trials(of_bob, 1, "d")


def test_a_study_that_the_manager_drives_says_why_it_has_no_more_trials(limited: Limited) -> None:
    it = limited(max_trials_per_study=2, auth="none")
    with it.client("") as client:
        study_id = client.create_study(study(limits={"max_trials": 5}))
        summary = until(
            lambda: s if (s := client.get_study(study_id).summary).reason == StudyReason.QUOTA else None, 60
        )
        assert "has 2 trials, the most of one study (--max-trials-per-study)" in summary.message
        assert len(client.list_trials(study_id).items) == 2


def test_a_trial_reports_no_more_values_than_it_may(limited: Limited) -> None:
    it = limited(max_observations_per_trial=5, auth="none")
    with it.client("") as client:
        study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
        (trial,), _ = client.suggest_trials(study_id, 1, "c")
        client.report_metrics(trial.id, values(4))
        with pytest.raises(
            ResourceExhaustedError, match=rf"trial {trial.id} has reported 4 values, and 2 more would be beyond 5"
        ):
            client.report_metrics(trial.id, values(2, 5))
        # Sent again they are there already, and the fifth has room.
        client.report_metrics(trial.id, values(5))
        assert len(client.list_observations(trial.id).items) == 5
        client.complete_trial(study_id, trial.id)


def test_a_completion_brings_no_more_values_than_a_trial_may_have(limited: Limited) -> None:
    it = limited(max_observations_per_trial=5, auth="none")
    with it.client("") as client:
        study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
        (trial,), _ = client.suggest_trials(study_id, 1, "c")
        client.report_metrics(trial.id, values(4))
        beyond = rf"trial {trial.id} has reported 4 values, and 2 more would be beyond 5"
        with pytest.raises(ResourceExhaustedError, match=beyond):
            client.complete_and_ask(study_id, trial.id, 1, values(2, 5), "", "c")
        named = pb.CompleteTrialRequest(study_id=study_id, trial_id=trial.id, is_complete=True)
        named.metrics.extend(pb.Metrics(name=name, value="1") for name in ("a", "b"))
        with pytest.raises(grpc.RpcError, match=beyond):
            stub(it.world.address).CompleteTrial(named, timeout=30)
        assert client.get_trial(trial.id).trial.state is TrialState.RUNNING
        assert [t.number for t in client.list_trials(study_id).items] == [1]
        # Those that are there already need no room, and the fifth has some.
        given = client.complete_and_ask(study_id, trial.id, 1, values(5), "", "c")
        assert given is not None
        (following,), _ = given
        client.report_metrics(following.id, values(5))
        # With its objective alone a trial can always be completed.
        client.complete_trial(study_id, following.id, 0.9)
        assert [t.objective for t in client.list_trials(study_id).items] == [0.5, 0.9]


def test_who_may_have_no_more_trials_can_still_end_one(limited: Limited) -> None:
    it = limited(max_trials_per_study=2, auth="none")
    with it.client("") as client:
        study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
        (trial,), _ = client.suggest_trials(study_id, 1, "c")
        given = client.complete_and_ask(study_id, trial.id, 1, values(1), "", "c")
        assert given is not None
        (last,), _ = given
        assert client.complete_and_ask(study_id, last.id, 1, values(1), "", "c") is None
        assert client.get_trial(last.id).trial.state is TrialState.COMPLETED
        # Who asks is told why.
        with pytest.raises(ResourceExhaustedError, match="has 2 trials, the most of one study"):
            client.suggest_trials(study_id, 1, "c")


@pytest.mark.usefixtures("short")
def test_the_values_of_an_owner_are_limited_over_all_its_studies(limited: Limited) -> None:
    it = limited(max_observations_per_owner=6, max_observations=9)
    for name in ("ann", "bob"):
        it.token(name, "user")
    with it.client("ann") as ann, it.client("bob") as bob:

        def trial_of(client: ManagerClient) -> str:
            study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
            return client.suggest_trials(study_id, 1, "c")[0][0].id

        one, two, of_bob = trial_of(ann), trial_of(ann), trial_of(bob)
        ann.report_metrics(one, values(4))
        with pytest.raises(
            ResourceExhaustedError,
            match=r"the trials of ann have 4 values, and 3 more would be beyond 6, .*\(--max-observations-per-owner\)",
        ) as refused:
            ann.report_metrics(two, values(3))
        assert refused.value.retry_after is None
        assert ann.list_observations(two).items == []
        # Sent again they are there already.
        ann.report_metrics(one, values(4))
        of_two = ann.get_trial(two).trial.study_id
        with pytest.raises(ResourceExhaustedError, match="and 3 more would be beyond 6"):
            ann.complete_and_ask(of_two, two, 1, values(3), "", "c")
        ann.complete_and_ask(of_two, two, 1, values(2), "", "c")
        bob.report_metrics(of_bob, values(3))
        with pytest.raises(ResourceExhaustedError, match=r"there are 9 values of trials, .*\(--max-observations\)"):
            bob.report_metrics(of_bob, values(1, 4))
        assert [len(c.list_observations(t).items) for c, t in ((ann, one), (ann, two), (bob, of_bob))] == [4, 2, 3]


def test_what_a_write_counts_it_counts_once_however_often_it_is_made() -> None:
    storage = open_storage("memory://")
    it = storage.create_study(make_study())
    room = Room(storage, Quotas(trials=10, observations=100))
    counting = room.counting()
    for _ in range(3):
        counting.begin()
        assert room.of(it)[0] == 10
        counting.added(it, 7)
        counting.allow_observations(it, 60)
    assert room.of(it)[0] == 10 - 7
    with pytest.raises(ResourceExhaustedError, match="there are 60 values"):
        room.counting().allow_observations(it, 41)
    room.counting().allow_observations(it, 40)
    storage.close()


def test_without_limits_nothing_is_counted(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    it = limited(
        max_studies=0,
        max_studies_per_owner=0,
        max_trials=0,
        max_trials_per_owner=0,
        max_observations=0,
        max_observations_per_owner=0,
        auth="none",
    )
    monkeypatch.setattr("katib.manager.quotas.Room._read", None)
    with it.client("") as client:
        study_id = client.create_study(study(algorithm="", limits={"max_trials": 100}))
        assert len(client.suggest_trials(study_id, 3, "c")[0]) == 3
