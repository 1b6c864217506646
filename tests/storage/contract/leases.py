"""What every storage does with trials that clients have for a time."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import FailedPreconditionError, NotFoundError
from katib.domain.study import Limits, StudyState
from katib.domain.trial import MAX_DISRUPTIONS, TrialAttempt, TrialReason, TrialState
from katib.manager.changes import Giving, StopRequest, StudyChanges
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    go,
    ids,
    later,
    make_spec,
    make_study,
    new_trials,
    observe,
    recount,
)

SHORT = timedelta(milliseconds=1)
# SQLite's clock has milliseconds.
TICK_S = 0.005
LONG = timedelta(hours=1)


def lease(storage, study, n=1, client="a", period=LONG):
    return add(storage, study, n, client_id=client, running=True, lease=period)


def lapse(storage, study, n=1, client="a"):
    """Trials whose lease is over."""
    trials = lease(storage, study, n, client, SHORT)
    time.sleep(0.02)
    return trials


def as_many(_study, lacking):
    return new_trials(lacking)


class LeaseContract:
    def test_a_lease_runs_from_when_the_trial_was_given(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lease(storage, study)
        assert trial.lease == LONG
        assert storage.get_trial(trial.id) == trial
        (second,) = lease(storage, study)
        assert timedelta(0) <= second.lease_until - trial.lease_until < timedelta(minutes=1)
        (free,) = add(storage, study, client_id="a", running=True)
        assert (free.lease, free.lease_until) == (None, None)

    def test_a_client_that_asks_again_gets_its_own_trials_back_and_their_leases_begin_anew(self, storage):
        study = storage.create_study(make_study())
        first, second, _ = lease(storage, study, 3)
        lease(storage, study, client="b")
        revision = storage.get_study(study.id).revision
        given = storage.hand_out(study.id, "a", 2, LONG, later(5))
        assert ids(given) == [first.id, second.id]
        assert [(t.attempt, t.lease, t.revision, t.started_at) for t in given] == [
            (1, LONG, first.revision, NOW),
            (1, LONG, first.revision, NOW),
        ]
        assert given[0].lease_until > first.lease_until
        assert storage.get_trial(first.id) == given[0]
        assert storage.get_study(study.id).revision == revision
        assert storage.earlier_attempts(first.id) == []

    def test_another_lease_than_before_is_a_change(self, storage):
        study = storage.create_study(make_study())
        (first,) = lease(storage, study)
        (free,) = add(storage, study, client_id="b", running=True)
        revision = storage.get_study(study.id).revision
        (longer,) = storage.hand_out(study.id, "a", 1, 2 * LONG, later(5))
        (leased,) = storage.give_trials(Giving(study.id, "b", 1, LONG, later(6), as_many)).given
        assert [(t.id, t.lease, t.revision) for t in (longer, leased)] == [
            (first.id, 2 * LONG, revision + 1),
            (free.id, LONG, revision + 2),
        ]
        assert [storage.get_trial(t.id) for t in (longer, leased)] == [longer, leased]
        assert storage.get_study(study.id).revision == revision + 2
        assert longer.lease_until - first.lease_until > LONG / 2

    def test_a_trial_whose_lease_is_over_begins_another_attempt_at_the_next_who_asks(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lapse(storage, study)
        storage.report(trial.id, 1, [observe(0.5)])
        time.sleep(0.02)
        (given,) = storage.hand_out(study.id, "b", 5, LONG, later(9))
        assert (given.id, given.number, given.attempt, given.state) == (trial.id, trial.number, 2, RUNNING)
        assert (given.client_id, given.lease, given.objective) == ("b", LONG, None)
        assert (given.parameters, given.tags, given.started_at) == (trial.parameters, trial.tags, later(9))
        assert given.reason == TrialReason.LEASE_EXPIRED
        assert "client a gave no sign" in given.message
        assert "b" in given.message
        assert storage.get_trial(trial.id) == given
        message = "client a gave no sign of itself for 0.001 s"
        assert storage.earlier_attempts(trial.id) == [
            TrialAttempt(1, "", TrialReason.LEASE_EXPIRED, message, 0.5, NOW, later(9))
        ]
        after = storage.get_study(study.id)
        assert (given.revision, after.running) == (after.revision, 1)
        recount(storage, study.id)
        # From then on it is b's.
        assert storage.hand_out(study.id, "a", 5, LONG, NOW) == ()
        with pytest.raises(FailedPreconditionError):
            storage.report(trial.id, 1, [observe()])
        storage.report(trial.id, 2, [observe(0.75)])
        (ended,) = go(storage, storage.get_trial(trial.id), to=COMPLETED)
        assert (ended.objective, ended.lease, ended.lease_until, ended.reason) == (0.75, None, None, "")
        assert storage.get_trial(trial.id) == ended
        assert not storage.has_leases(study.id)

    def test_a_trial_that_silences_every_client_is_handed_on_so_often_and_ends_as_failed(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lapse(storage, study)
        for attempt in range(2, MAX_DISRUPTIONS + 2):
            (given,) = storage.hand_out(study.id, f"client {attempt}", 1, SHORT, later(attempt))
            assert given.attempt == attempt
            time.sleep(0.02)
        assert storage.hand_out(study.id, "last", 1, LONG, later(9)) == ()
        ended = storage.get_trial(trial.id)
        assert (ended.state, ended.reason, ended.ended_at) == (TrialState.ERROR, TrialReason.LEASE_EXPIRED, later(9))
        assert (ended.lease, ended.lease_until, ended.attempt) == (None, None, MAX_DISRUPTIONS + 1)
        assert "client 6 gave no sign" in ended.message
        after = storage.get_study(study.id)
        assert (after.running, after.failed, after.revision) == (0, 1, ended.revision)
        assert not storage.has_leases(study.id)
        recount(storage, study.id)

    def test_a_studys_retry_limit_lets_a_trial_be_handed_on_more_often(self, storage):
        study = storage.create_study(make_study(spec=make_spec(limits=Limits(retry_limit=MAX_DISRUPTIONS + 1))))
        lapse(storage, study)
        for attempt in range(2, MAX_DISRUPTIONS + 3):
            (given,) = storage.hand_out(study.id, f"client {attempt}", 1, SHORT, NOW)
            assert given.attempt == attempt
            time.sleep(0.02)
        assert storage.hand_out(study.id, "last", 1, LONG, NOW) == ()

    def test_what_has_been_handed_on_before_comes_after_everything_else(self, storage):
        study = storage.create_study(make_study())
        (twice,) = lapse(storage, study)
        storage.hand_out(study.id, "b", 1, SHORT, NOW)
        (once,) = lapse(storage, study)
        assert storage.hand_out(study.id, "c", 5, LONG, NOW, again=False)[0].id == once.id
        (new,) = storage.give_trials(Giving(study.id, "d", 1, LONG, NOW, as_many)).given
        assert new.number == 3
        given = storage.give_trials(Giving(study.id, "e", 3, LONG, NOW, lambda _study, _lacking: new_trials(1))).given
        assert [(t.number, t.attempt) for t in given] == [(1, 3), (4, 1)]
        assert given[0].id == twice.id
        recount(storage, study.id)

    def test_all_that_many_silent_clients_have_left_can_be_handed_out(self, storage):
        study = storage.create_study(make_study())
        left = [t.id for t in lapse(storage, study, 150)]
        given = storage.hand_out(study.id, "b", 3, LONG, NOW)
        more = storage.give_trials(Giving(study.id, "c", 140, LONG, NOW, as_many)).given
        last = storage.give_trials(Giving(study.id, "d", 9, LONG, NOW, as_many)).given
        assert sorted(t.id for t in (*given, *more, *last) if t.number <= 150) == sorted(left)
        assert [t.number for t in last if t.number > 150] == [151, 152]
        recount(storage, study.id)

    def test_own_trials_come_first_then_those_that_were_left_for_longest(self, storage):
        study = storage.create_study(make_study())
        old, older = *lapse(storage, study, client="x"), *lapse(storage, study, client="y")
        storage.report(old.id, 1, [observe()])
        (own,) = lease(storage, study, client="me")
        time.sleep(0.02)
        assert ids(storage.hand_out(study.id, "me", 2, LONG, NOW)) == [own.id, older.id]
        assert ids(storage.hand_out(study.id, "me", 3, LONG, NOW)) == [older.id, own.id, old.id]

    def test_own_trials_whose_lease_is_over_are_still_ones_own_until_another_asks(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lapse(storage, study)
        (again,) = storage.hand_out(study.id, "a", 1, LONG, NOW)
        assert (again.id, again.attempt) == (trial.id, 1)
        assert storage.hand_out(study.id, "b", 1, LONG, NOW) == ()

    def test_a_report_renews_the_lease_and_one_without_news_changes_no_revision(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lease(storage, study)
        value = observe()
        time.sleep(TICK_S)
        reported = storage.report(trial.id, 1, [value])
        assert reported.lease_until > trial.lease_until
        revision = storage.get_study(study.id).revision
        assert reported.revision == revision
        for news in ([], [value]):
            before = storage.get_trial(trial.id)
            time.sleep(TICK_S)
            renewed = storage.report(trial.id, 0, news)
            assert renewed.lease_until > before.lease_until
            assert storage.get_trial(trial.id) == renewed
        assert storage.get_study(study.id).revision == renewed.revision == revision
        assert [o.value for o in storage.list_observations(trial.id, 0, (), 9, "").items] == [value.value]

    def test_trials_without_a_lease_are_handed_to_nobody_else(self, storage):
        study = storage.create_study(make_study())
        (named,) = add(storage, study, client_id="old", running=True)
        add(storage, study, running=True)
        add(storage, study)
        assert not storage.has_trials_for(study.id, "b")
        assert not storage.has_leases(study.id)
        assert storage.hand_out(study.id, "b", 9, LONG, NOW) == ()
        # Under its name it comes back, and has one from then on.
        (again,) = storage.hand_out(study.id, "old", 9, LONG, NOW)
        assert (again.id, again.attempt, again.lease) == (named.id, 1, LONG)

    def test_trials_that_are_to_end_and_those_of_a_study_that_rests_are_given_to_nobody(self, storage):
        study = storage.create_study(make_study())
        (trial,) = lapse(storage, study)
        storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, "StoppedByUser", "stopped"),)))
        for client in ("a", "b"):
            assert storage.hand_out(study.id, client, 9, LONG, NOW) == ()
        lapse(storage, study)
        storage.update_study(study.id, lambda s: replace(s, state=StudyState.PAUSED))
        for client in ("a", "b"):
            assert storage.hand_out(study.id, client, 9, LONG, NOW) == ()

    def test_whether_there_is_something_to_hand_out_is_seen_without_a_write(self, storage):
        study, other = storage.create_study(make_study()), storage.create_study(make_study())
        assert not storage.has_trials_for(study.id, "a")
        (trial,) = lease(storage, study)
        assert storage.has_trials_for(study.id, "a")
        assert not storage.has_trials_for(study.id, "b")
        assert not storage.has_trials_for(other.id, "a")
        assert storage.has_leases(study.id)
        assert not storage.has_leases(other.id)
        go(storage, trial, to=COMPLETED)
        assert not storage.has_trials_for(study.id, "a")
        assert not storage.has_leases(study.id)
        lapse(storage, study)
        assert storage.has_trials_for(study.id, "b")
        assert not storage.has_trials_for("nothing", "b")

    def test_a_clients_trials_are_those_of_its_very_name(self, storage):
        study = storage.create_study(make_study())
        (mine,) = lease(storage, study, client="c")
        lease(storage, study, client="c ")
        lease(storage, study, client="C")
        assert ids(storage.hand_out(study.id, "c", 9, LONG, NOW)) == [mine.id]
        with pytest.raises(NotFoundError):
            storage.hand_out("a" * 16, "c", 9, LONG, NOW)
