"""Writes to one study that come to the writer together share what is read, and each still sees what those before it did."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from katib.domain.errors import AbortedError, FailedPreconditionError, NotFoundError
from katib.domain.study import StudyState
from katib.domain.trial import TrialReason
from katib.manager.changes import Giving, StudyChanges
from katib.manager.ports import ManagerRecord
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import managers, studies
from tests.e2e.harness import until
from tests.storage import servers
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    make_study,
    move,
    new_trials,
    observe,
    recount,
)
from tests.storage.test_writer import together

LEASE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", *servers.KINDS])
def storage(request):
    storage = open_storage(request.getfixturevalue(f"{request.param}_url"))
    yield storage
    storage.close()


def calls(storage, *functions):
    """Each a call of the storage, which comes to the writer as one batch with the others."""
    return together(storage, *functions, through=lambda function: function())


def give(storage, study, client, count=1, lease=LEASE):
    return lambda: (
        storage.give_trials(Giving(study.id, client, count, lease, NOW, lambda _study, n: new_trials(n))).given
    )


def report(storage, trial, value):
    return lambda: storage.report(trial.id, 0, [observe(value)])


def complete(storage, trial):
    return lambda: storage.apply_to(trial.id, lambda _s, t: StudyChanges(moves=(move(t, COMPLETED),))).trials[trial.id]


class Statements:
    def __init__(self, storage):
        self.seen = []
        self._storage = storage

    def __enter__(self):
        connection = self._storage.database._writer._connection
        assert connection is not None
        connection.dbapi_connection.set_trace_callback(self.seen.append)
        return self

    def __exit__(self, *_):
        self._storage.database._writer._connection.dbapi_connection.set_trace_callback(None)

    def of(self, verb, table):
        return [s for s in self.seen if s.startswith(verb) and table in s]


def test_clients_that_come_together_are_given_different_trials_with_numbers_that_follow(storage):
    study = storage.create_study(make_study())
    given = calls(storage, *(give(storage, study, f"c{i}") for i in range(5)))
    assert sorted(trial.number for (trial,) in given) == [1, 2, 3, 4, 5]
    assert [storage.get_trial(trial.id) for (trial,) in given] == [trial for (trial,) in given]
    assert storage.get_study(study.id).suggested == 5
    recount(storage, study.id)


def test_a_client_that_asks_twice_at_the_same_moment_gets_the_same_trial(storage):
    study = storage.create_study(make_study())
    (first,), (second,) = calls(storage, give(storage, study, "c"), give(storage, study, "c"))
    assert second.id == first.id
    assert storage.get_study(study.id).suggested == 1


def test_a_trial_whose_lease_is_over_is_handed_on_to_one_of_those_who_ask_at_the_same_moment(storage):
    study = storage.create_study(make_study())
    (left,) = add(storage, study, client_id="gone", running=True, lease=timedelta(milliseconds=1))
    add(storage, study, client_id="there", running=True, lease=LEASE)
    until(lambda: left.lease_until < datetime.now(UTC))
    given = calls(storage, *(give(storage, study, f"c{i}") for i in range(4)))
    assert [trial.id for (trial,) in given].count(left.id) == 1
    assert len({trial.id for (trial,) in given}) == 4
    after = storage.get_trial(left.id)
    assert (after.attempt, after.reason) == (2, TrialReason.LEASE_EXPIRED)
    assert [a.number for a in storage.earlier_attempts(left.id)] == [1]
    recount(storage, study.id)


def test_reports_and_completions_of_several_trials_count_as_if_they_had_come_one_by_one(storage):
    study = storage.create_study(make_study())
    trials = add(storage, study, 6, client_id="c", running=True)
    reports = [report(storage, trial, value) for trial, value in zip(trials, (0.1, 0.6, 0.3), strict=False)]
    found = calls(storage, *reports, *(complete(storage, t) for t in trials[3:]), give(storage, study, "d"))
    assert [trial.objective for trial in found[:3]] == [0.1, 0.6, 0.3]
    found = calls(storage, *(complete(storage, trial) for trial in trials[:3]))
    assert [trial.state for trial in found] == [COMPLETED] * 3
    assert [storage.get_trial(trial.id) for trial in found] == found
    after = storage.get_study(study.id)
    assert (after.completed, after.running, after.best_objective) == (6, 1, 0.6)
    # Each change has a revision of its own, for those who follow them.
    revisions = [trial.revision for trial in found]
    assert (len(set(revisions)), max(revisions)) == (3, after.revision)
    recount(storage, study.id)


def test_the_same_trial_may_be_reported_of_and_completed_at_the_same_moment(storage):
    study = storage.create_study(make_study())
    (trial,) = add(storage, study, client_id="c", running=True)
    _, second, ended, late = calls(
        storage,
        report(storage, trial, 0.2),
        report(storage, trial, 0.4),
        complete(storage, trial),
        report(storage, trial, 0.9),
    )
    assert (second.objective, ended.objective) == (0.4, 0.4)
    assert isinstance(late, FailedPreconditionError)
    observations, _ = storage.latest_observations(trial.id, 10)
    assert [o.value for o in observations] == [0.2, 0.4]


def test_writes_to_different_studies_share_nothing_but_the_commit(storage):
    made = [storage.create_study(make_study()) for _ in range(2)]
    trials = [add(storage, study, client_id="c", running=True)[0] for study in made]
    gone = replace(trials[0], id="t000000000000000")
    found = calls(
        storage,
        complete(storage, trials[0]),
        complete(storage, gone),
        complete(storage, trials[1]),
        give(storage, made[0], "c"),
        give(storage, made[1], "c"),
        give(storage, make_study(), "c"),
    )
    assert [trial.study_id for trial in (found[0], found[2], *found[3], *found[4])] == [s.id for s in made * 2]
    assert [type(found[1]), type(found[5])] == [NotFoundError, NotFoundError]
    for study in made:
        recount(storage, study.id)


def test_a_write_that_knows_nothing_of_the_others_finds_what_they_did_and_is_not_undone_by_them(storage):
    study = storage.create_study(make_study(manager="gone"))
    trials = add(storage, study, 2, client_id="c", running=True)
    storage.heartbeat(ManagerRecord("gone", "h", "1"))
    seen = []

    def give_up():
        def function(session):
            seen.append(studies.get_study(session, study.id).completed)
            managers.release(session, "gone")

        storage.database.write(function, study.id)

    calls(storage, complete(storage, trials[0]), give_up, complete(storage, trials[1]))
    after = storage.get_study(study.id)
    assert seen == [1]
    assert (after.completed, after.manager) == (2, "")
    # One for each of them, and for the two trials when they were added.
    assert after.revision == study.revision + 4


def test_what_others_did_at_the_same_moment_stays_when_one_fails_after_it_has_written(storage):
    study = storage.create_study(make_study())
    trials = add(storage, study, 3, client_id="c", running=True)
    runs = count()

    def fail():
        def function(session):
            next(runs)
            studies.update_study(session, study.id, lambda s: replace(s, reason="Wrong", state=StudyState.PAUSED))
            raise AbortedError("no")

        storage.database.write_study(function)

    done = calls(storage, complete(storage, trials[0]), fail, complete(storage, trials[1]), give(storage, study, "d"))
    assert (done[0].state, done[2].state, done[3][0].state) == (COMPLETED, COMPLETED, RUNNING)
    assert isinstance(done[1], AbortedError)
    after = storage.get_study(study.id)
    assert (after.state, after.reason, after.completed, after.suggested) == (StudyState.RUNNING, "", 2, 4)
    # With the others, and once more alone.
    assert next(runs) == 2
    recount(storage, study.id)


def test_a_study_is_read_once_and_written_once_for_all_that_come_together(sqlite_url):
    storage = open_storage(sqlite_url)
    study = storage.create_study(make_study())
    trials = add(storage, study, 8, client_id="c", running=True)
    writes = [report(storage, t, 0.5) for t in trials[:4]] + [complete(storage, t) for t in trials[4:]]
    writes += [give(storage, study, f"d{i}") for i in range(4)]
    with Statements(storage) as statements:
        calls(storage, *writes)
    storage.close()
    assert len(statements.of("SELECT", "FROM studies")) == 1
    assert len(statements.of("UPDATE", "studies")) == 1
    assert len([s for s in statements.seen if s.startswith("SELECT") and "trials.id IN" in s]) == 1
    assert len([s for s in statements.seen if s.startswith("SELECT") and "trials.client_id IN" in s]) == 1
