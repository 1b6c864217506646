"""What every storage does in one transaction for a client: give it trials, and change one as it is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import AbortedError, AlreadyExistsError, FailedPreconditionError, NotFoundError
from katib.domain.study import StudyState
from katib.domain.trial import TrialReason
from katib.manager.changes import Giving, StopRequest, StudyChanges, StudyMove, TrialMove
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    go,
    intake,
    later,
    make_study,
    move,
    new_trials,
    observe,
    recount,
)

LEASE = timedelta(minutes=1)


def as_many(study, lacking):
    return new_trials(lacking)


def none(_study, _lacking):
    return ()


def ids(trials):
    return [trial.id for trial in trials]


class GivingContract:
    def test_a_client_is_given_its_own_unfinished_trials_before_new_ones(self, storage):
        study = storage.create_study(make_study())
        mine = storage.add_trials(study.id, 0, new_trials(3, client_id="c", lease=LEASE), NOW, running=True)
        storage.add_trials(study.id, 3, new_trials(client_id="d"), NOW, running=True)
        go(storage, mine[0], to=COMPLETED)
        stop = StopRequest(mine[1].id, TrialReason.STOPPED_BY_USER, "enough")
        storage.apply(study.id, StudyChanges(stops=(stop,)))
        given = storage.give_trials(Giving(study.id, "c", 3, LEASE, later(1), as_many)).given
        assert given[0].id == mine[2].id
        assert [(t.number, t.state, t.client_id, t.started_at) for t in given[1:]] == [
            (n, RUNNING, "c", later(1)) for n in (5, 6)
        ]
        assert [storage.get_trial(t.id) for t in given] == list(given)
        assert ids(storage.give_trials(Giving(study.id, "c", 3, LEASE, later(2), none)).given) == ids(given)
        assert ids(storage.give_trials(Giving(study.id, "c", 1, LEASE, later(2), as_many)).given) == ids(given[:1])
        recount(storage, study.id)

    def test_trials_whose_lease_is_over_come_before_new_ones(self, storage):
        study = storage.create_study(make_study())
        (left,) = storage.add_trials(study.id, 0, new_trials(client_id="d", lease=timedelta(0)), NOW, running=True)
        given = storage.give_trials(Giving(study.id, "c", 2, LEASE, later(1), as_many)).given
        assert [(t.number, t.attempt, t.client_id, t.lease) for t in given] == [(1, 2, "c", LEASE), (2, 1, "c", LEASE)]
        assert given[0].id == left.id
        assert [storage.get_trial(t.id) for t in given] == list(given)
        assert storage.get_study(study.id).revision == given[1].revision > given[0].revision
        recount(storage, study.id)

    def test_a_client_without_a_name_is_given_new_trials_alone(self, storage):
        study = storage.create_study(make_study())
        (first,) = storage.give_trials(Giving(study.id, "", 1, None, NOW, as_many)).given
        (second,) = storage.give_trials(Giving(study.id, "", 1, None, NOW, as_many)).given
        assert (first.number, second.number) == (1, 2)

    def test_who_chooses_sees_the_study_as_it_is_and_how_many_are_lacking(self, storage):
        study = storage.create_study(make_study())
        add(storage, study, 2)
        seen = []

        def choose(now, lacking):
            seen.append((now, lacking))
            return new_trials(1)

        (given,) = storage.give_trials(Giving(study.id, "c", 4, LEASE, NOW, choose)).given
        assert given.number == 3
        assert (seen[-1][0].suggested, seen[-1][1]) == (2, 4)
        storage.give_trials(Giving(study.id, "c", 4, LEASE, NOW, choose))
        assert (seen[-1][0].suggested, seen[-1][1]) == (3, 3)

    def test_what_who_chooses_raises_leaves_everything_as_it_was(self, storage):
        study = storage.create_study(make_study())

        def refuse(_study, _lacking):
            raise FailedPreconditionError("not now")

        with pytest.raises(FailedPreconditionError, match="not now"):
            storage.give_trials(Giving(study.id, "c", 1, LEASE, NOW, refuse))
        assert storage.get_study(study.id) == study

    def test_a_study_that_does_not_run_gets_no_new_trials(self, storage):
        study = storage.create_study(make_study())
        storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.PAUSED, "Paused", "by its user", at=NOW)))
        with pytest.raises(AbortedError):
            storage.give_trials(Giving(study.id, "c", 1, LEASE, NOW, as_many))
        with pytest.raises(NotFoundError):
            storage.give_trials(Giving("s00000000000000f", "c", 1, LEASE, NOW, as_many))

    def test_a_trial_is_changed_as_it_is(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        (trial,) = go(storage, trial, to=RUNNING)
        seen = []

        def finish(of, now):
            seen.append((of, now))
            return StudyChanges(intakes=(intake(now, observe(0.5)),), moves=(move(now, COMPLETED),))

        applied = storage.apply_to(trial.id, finish)
        assert seen[-1][1] == trial
        assert not applied.refused
        after = storage.get_trial(trial.id)
        assert (after.state, after.objective) == (COMPLETED, 0.5)
        assert applied.trials == {trial.id: after}
        assert applied.study == storage.get_study(study.id)
        assert applied.study.best_trial_id == trial.id
        recount(storage, study.id)

    def test_nothing_is_changed_where_nothing_is_decided_and_what_is_raised_is_raised(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        before = storage.get_study(study.id)
        assert not storage.apply_to(trial.id, lambda _study, _trial: None).trials

        def refuse(_study, _trial):
            raise FailedPreconditionError("not this one")

        with pytest.raises(FailedPreconditionError, match="not this one"):
            storage.apply_to(trial.id, refuse)
        assert (storage.get_study(study.id), storage.get_trial(trial.id)) == (before, trial)
        with pytest.raises(NotFoundError):
            storage.apply_to("t00000000000000f", refuse)

    def test_changes_of_one_trial_are_checked_as_others_are(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        (trial,) = go(storage, trial, to=RUNNING)
        (trial,) = go(storage, trial, to=COMPLETED)
        with pytest.raises(ValueError, match="no trial may move"):
            storage.apply_to(
                trial.id, lambda _, t: StudyChanges(moves=(TrialMove(t.id, 1, COMPLETED, RUNNING, at=NOW),))
            )
        assert storage.get_trial(trial.id) == trial

    def test_a_report_is_of_the_studys_objective_and_is_looked_at_before_it_is_taken(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        (trial,) = go(storage, trial, to=RUNNING)
        seen = []
        after = storage.report(trial.id, 0, [observe(0.25)], check=lambda *both: seen.append(both))
        assert after.objective == 0.25
        assert seen[-1][1] == trial

        def refuse(_study, _trial):
            raise FailedPreconditionError("not from you")

        with pytest.raises(FailedPreconditionError, match="not from you"):
            storage.report(trial.id, 0, [observe(0.5)], check=refuse)
        assert storage.get_trial(trial.id) == after

    def test_trials_of_which_one_is_there_already_leave_everything_as_it_was(self, storage):
        study = storage.create_study(make_study())
        (left,) = storage.add_trials(study.id, 0, new_trials(client_id="d", lease=timedelta(0)), NOW, running=True)
        before = storage.get_study(study.id)
        again = [replace(new_trials()[0], id=left.id)]
        with pytest.raises(AlreadyExistsError):
            storage.give_trials(Giving(study.id, "c", 2, LEASE, NOW, lambda _study, _n: again))
        assert (storage.get_study(study.id), storage.get_trial(left.id)) == (before, left)
