"""What every storage does in one transaction for a client that ends a trial and asks for the next: see Storage.apply_to."""

from datetime import timedelta

import pytest

from katib.domain.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from katib.domain.study import StudyState
from katib.manager.changes import Giving, StudyChanges, StudyMove
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    ids,
    intake,
    later,
    make_study,
    move,
    new_trials,
    observe,
    recount,
)

LEASE = timedelta(minutes=1)
AT_ONCE = timedelta(0)


def begin(storage, client="c", lease=LEASE):
    """A study and a trial of it that the client has."""
    study = storage.create_study(make_study())
    (trial,) = add(storage, study, client_id=client, running=True, lease=lease)
    return study, trial


def end(*observations):
    return lambda _study, now: StudyChanges(
        intakes=(intake(now, *observations),) if observations else (), moves=(move(now, COMPLETED),)
    )


def nothing(_study, _trial):
    return None


def giving(study, count=1, client="c", lease=LEASE, choose=None, study_id=""):
    return Giving(study_id or study.id, client, count, lease, later(1), choose or (lambda _, n: new_trials(n)))


def never(_study, _lacking):
    raise AssertionError("nobody was to choose")


def values(storage, trial):
    return [o.value for o in storage.list_observations(trial.id, 1, (), 100, "").items]


class EndingContract:
    def test_a_trial_that_would_have_too_many_values_is_not_ended_and_none_is_taken(self, storage):
        study, trial = begin(storage)
        first = observe(0.1)
        before = storage.report(trial.id, 0, [first])
        stored = storage.get_study(study.id)
        with pytest.raises(ResourceExhaustedError, match="has reported 1 values, and 2 more would be beyond 2"):
            storage.apply_to(trial.id, end(observe(0.2), observe(0.3)), most=2, give=giving(study, choose=never))
        assert (storage.get_study(study.id), storage.get_trial(trial.id)) == (stored, before)
        assert values(storage, trial) == [0.1]
        # What is there already needs no room.
        storage.apply_to(trial.id, end(first, observe(0.2)), most=2)
        assert storage.get_trial(trial.id).state is COMPLETED
        assert values(storage, trial) == [0.1, 0.2]
        recount(storage, study.id)

    def test_who_allows_values_is_asked_for_the_new_ones_alone_and_may_refuse_all(self, storage):
        study, trial = begin(storage)
        first = observe(0.1)
        before = storage.report(trial.id, 0, [first])
        stored = storage.get_study(study.id)
        asked = []

        def refuse(of, new):
            asked.append((of.id, new))
            raise ResourceExhaustedError("no room")

        with pytest.raises(ResourceExhaustedError, match="no room"):
            storage.apply_to(trial.id, end(first, observe(0.2), observe(0.3)), allow=refuse, give=giving(study))
        assert set(asked) == {(study.id, 2)}
        assert (storage.get_study(study.id), storage.get_trial(trial.id)) == (stored, before)
        assert values(storage, trial) == [0.1]
        # It is not asked where there is nothing new.
        storage.apply_to(trial.id, end(first), allow=refuse)
        assert storage.get_trial(trial.id).state is COMPLETED

    def test_the_next_trials_are_given_after_the_end_its_own_first_then_what_others_left_then_new_ones(self, storage):
        study, trial = begin(storage)
        (own,) = add(storage, study, client_id="c", running=True, lease=LEASE)
        (left,) = add(storage, study, client_id="d", running=True, lease=AT_ONCE)
        add(storage, study, client_id="e", running=True, lease=LEASE)
        seen = []

        def choose(now, lacking):
            seen.append((now.completed, now.running, lacking))
            return new_trials(lacking)

        applied = storage.apply_to(trial.id, end(observe(0.5)), give=giving(study, 3, choose=choose))
        assert [(t.number, t.attempt, t.client_id) for t in applied.given] == [(2, 1, "c"), (3, 2, "c"), (5, 1, "c")]
        assert ids(applied.given)[:2] == [own.id, left.id]
        # The study has the end of the trial in it already, and no count is of before.
        assert set(seen) == {(1, 3, 1)}
        assert applied.trials[trial.id] == storage.get_trial(trial.id)
        assert (applied.trials[trial.id].state, applied.trials[trial.id].objective) == (COMPLETED, 0.5)
        assert [storage.get_trial(t.id) for t in applied.given] == list(applied.given)
        assert applied.study == storage.get_study(study.id)
        recount(storage, study.id)

    @pytest.mark.parametrize("lease", [LEASE, AT_ONCE])
    def test_the_trial_that_has_ended_is_never_given_again(self, storage, lease):
        study, trial = begin(storage, lease=lease)
        for client in ("c", "d"):
            applied = storage.apply_to(trial.id, end() if client == "c" else nothing, give=giving(study, 2, client))
            assert trial.id not in ids(applied.given)
            assert len(applied.given) == 2
        recount(storage, study.id)

    def test_a_client_without_a_name_is_given_new_trials_alone_after_the_end(self, storage):
        study, trial = begin(storage, client="", lease=None)
        add(storage, study, client_id="d", running=True, lease=AT_ONCE)
        (given,) = storage.apply_to(trial.id, end(), give=giving(study, client="", lease=None)).given
        assert (given.number, given.client_id, given.lease) == (3, "", None)
        recount(storage, study.id)

    @pytest.mark.parametrize("error", [AbortedError, FailedPreconditionError, ResourceExhaustedError])
    def test_where_nothing_can_be_given_the_end_stays(self, storage, error):
        study, trial = begin(storage)
        (left,) = add(storage, study, client_id="d", running=True, lease=AT_ONCE)

        def refuse(_study, _lacking):
            raise error("not now")

        applied = storage.apply_to(trial.id, end(observe(0.5)), give=giving(study, 2, choose=refuse))
        assert applied.given is None
        after = storage.get_study(study.id)
        assert applied.study == after
        assert (after.completed, after.running, after.suggested) == (1, 1, 2)
        assert storage.get_trial(trial.id).state is COMPLETED
        # Not even what another one has left.
        assert storage.get_trial(left.id) == left
        assert values(storage, trial) == [0.5]
        recount(storage, study.id)

    def test_what_nobody_expects_of_who_chooses_undoes_the_end(self, storage):
        study, trial = begin(storage)
        before = storage.get_study(study.id)

        def wrong(_study, _lacking):
            raise InvalidArgumentError.of("x", "", "expected another")

        with pytest.raises(InvalidArgumentError):
            storage.apply_to(trial.id, end(observe(0.5)), give=giving(study, choose=wrong))
        assert (storage.get_study(study.id), storage.get_trial(trial.id)) == (before, trial)
        assert values(storage, trial) == []

    def test_a_study_that_was_paused_meanwhile_gives_nothing_and_takes_the_end(self, storage):
        study, trial = begin(storage)
        (own,) = add(storage, study, client_id="c", running=True, lease=LEASE)
        storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.PAUSED, "Paused", "by its user", at=NOW)))
        applied = storage.apply_to(trial.id, end(), give=giving(study))
        assert applied.given is None
        assert storage.get_trial(trial.id).state is COMPLETED
        assert storage.get_trial(own.id) == own

    def test_where_nothing_is_decided_trials_are_given_all_the_same(self, storage):
        study, trial = begin(storage)
        (first,) = storage.apply_to(trial.id, end(observe(0.5)), give=giving(study)).given
        ended = storage.get_trial(trial.id)
        again = storage.apply_to(trial.id, nothing, give=giving(study, choose=lambda _study, _lacking: ()))
        assert ids(again.given) == [first.id]
        assert (dict(again.trials), storage.get_trial(trial.id)) == ({}, ended)
        assert again.study == storage.get_study(study.id)
        recount(storage, study.id)

    def test_what_decides_raises_gives_nothing(self, storage):
        study, trial = begin(storage)
        before = storage.get_study(study.id)

        def refuse(_study, _trial):
            raise FailedPreconditionError("it was handed on")

        with pytest.raises(FailedPreconditionError, match="handed on"):
            storage.apply_to(trial.id, refuse, give=giving(study, 2, choose=never))
        with pytest.raises(NotFoundError):
            storage.apply_to("t00000000000000f", nothing, give=giving(study, 2, choose=never))
        assert (storage.get_study(study.id), storage.get_trial(trial.id)) == (before, trial)

    def test_trials_are_given_of_the_study_of_the_trial_whatever_else_was_named(self, storage):
        study, trial = begin(storage)
        other, of_other = begin(storage)
        before = storage.get_study(other.id)
        for wrong in (other.id, "s00000000000000f"):
            applied = storage.apply_to(trial.id, nothing, give=giving(study, 2, study_id=wrong))
            assert {t.study_id for t in applied.given} == {study.id}
        assert (storage.get_study(other.id), storage.get_trial(of_other.id)) == (before, of_other)
        recount(storage, study.id)

    def test_the_end_and_what_is_given_are_seen_by_those_who_follow_the_study(self, storage):
        study, trial = begin(storage)
        revision = storage.get_study(study.id).revision
        applied = storage.apply_to(trial.id, end(), give=giving(study))
        (given,) = applied.given
        assert revision < applied.trials[trial.id].revision <= given.revision == applied.study.revision
        assert given.state is RUNNING
