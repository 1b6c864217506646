"""What every storage does with trials: adding them, reading them, and listing them."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import AbortedError, AlreadyExistsError, NotFoundError
from katib.domain.study import Intent, StudyState
from katib.domain.trial import FINISHED, UNFINISHED, NewTrial, Tag, TrialAttempt
from katib.domain.trial_columns import columns_of
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.ports import TrialFilter
from tests.storage.builders import (
    COMPLETED,
    ERROR,
    KILLED,
    NOW,
    PENDING,
    RUNNING,
    add,
    completed,
    go,
    ids,
    intake,
    later,
    make_spec,
    make_study,
    move,
    new_trials,
    observe,
    recount,
    running,
)


class TrialContract:
    def test_trials_are_numbered_on_and_come_back_as_they_were_stored(self, storage):
        study = storage.create_study(make_study())
        new = new_trials(2, reason="WaitingForSlot", message="2 are before it")
        first = storage.add_trials(study.id, 0, new, NOW)
        assert [(t.id, t.number, t.attempt, t.state) for t in first] == [
            (new[0].id, 1, 1, PENDING),
            (new[1].id, 2, 1, PENDING),
        ]
        assert (first[0].parameters, first[0].tags) == (new[0].parameters, new[0].tags)
        assert (first[0].reason, first[0].message) == ("WaitingForSlot", "2 are before it")
        assert (first[0].created_at, first[0].started_at) == (NOW, None)
        (third,) = storage.add_trials(study.id, 2, new_trials(), NOW)
        assert third.number == 3
        assert list(storage.unfinished_trials(study.id)) == [*first, third]
        assert storage.get_trial(third.id) == third
        after = storage.get_study(study.id)
        assert (after.suggested, after.pending, after.revision) == (3, 3, study.revision + 2)
        assert {first[0].revision, first[1].revision} == {study.revision + 1}

    def test_a_study_knows_the_algorithm_that_suggested_all_trials_of_its_clients(self, storage):
        study = storage.create_study(make_study(spec=make_spec(algorithm="")))

        def suggesters(*algorithms):
            new = [replace(trial, algorithm=algorithm) for algorithm in algorithms for trial in new_trials()]
            storage.add_trials(study.id, storage.get_study(study.id).suggested, new, NOW)
            after = storage.get_study(study.id)
            return after.suggester, [name for name in ("grid", "random") if after.suggested_by(name)]

        assert study.suggested_by("grid")
        assert suggesters("grid") == ("grid", ["grid"])
        assert suggesters("grid", "grid") == ("grid", ["grid"])
        go(storage, *storage.unfinished_trials(study.id), to=RUNNING, run="run", at=NOW)
        assert storage.get_study(study.id).suggester == "grid"
        assert suggesters("random") == ("", [])
        assert suggesters("random") == ("", [])

    def test_a_study_that_names_its_algorithm_asks_no_other(self, storage):
        study = storage.create_study(make_study(spec=make_spec(algorithm="grid")))
        add(storage, study, 2)
        after = storage.get_study(study.id)
        assert (after.suggested_by("grid"), after.suggested_by("random")) == (True, False)

    def test_a_clients_trials_are_running_from_the_start(self, storage):
        study = storage.create_study(make_study())
        (trial,) = storage.add_trials(study.id, 0, new_trials(client_id="client 1"), NOW, running=True)
        assert (trial.state, trial.attempt, trial.started_at, trial.client_id) == (RUNNING, 1, NOW, "client 1")
        assert storage.get_trial(trial.id) == trial
        assert storage.get_study(study.id).running == 1

    def test_trials_that_are_added_together_may_be_several_clients(self, storage):
        study = storage.create_study(make_study())
        new = new_trials(3)
        new[0] = replace(new[0], client_id="a", lease=timedelta(minutes=1))
        new[1] = replace(new[1], client_id="b", lease=timedelta(minutes=9))
        added = storage.add_trials(study.id, 0, new, NOW, running=True)
        assert [storage.get_trial(t.id) for t in added] == list(added)
        assert [(t.client_id, t.lease) for t in added] == [
            ("a", timedelta(minutes=1)),
            ("b", timedelta(minutes=9)),
            ("", None),
        ]
        assert added[1].lease_until - added[0].lease_until == timedelta(minutes=8)
        assert added[2].lease_until is None
        assert [t.id for t in storage.hand_out(study.id, "a", 5, timedelta(minutes=1), NOW)] == [new[0].id]

    def test_a_client_that_has_others_than_its_own_that_were_seen_is_given_none(self, storage):
        study = storage.create_study(make_study())
        given, other = add(storage, study, 2, client_id="a", running=True, lease=timedelta(minutes=1))
        new = [replace(new_trials()[0], client_id="a", lease=timedelta(minutes=1))]
        before = storage.get_study(study.id)
        for seen in ((), (given.id,)):
            with pytest.raises(AbortedError):
                storage.add_trials(study.id, 2, new, NOW, running=True, own={"b": (), "a": seen})
        assert storage.get_study(study.id) == before
        # One that is to end is not given to its client any more.
        storage.apply(study.id, StudyChanges(stops=(StopRequest(other.id, "StoppedByUser", ""),)))
        (added,) = storage.add_trials(study.id, 2, new, NOW, running=True, own={"b": (), "a": (given.id,)})
        assert storage.get_trial(added.id) == added
        with pytest.raises(NotFoundError):
            storage.add_trials("a" * 16, 0, new, NOW, own={"a": ()})

    def test_unicode_and_empty_texts_come_back(self, storage):
        study = storage.create_study(make_study())
        new = NewTrial("a" * 16, (), (Tag("🎲", "'\"\\ é\n"), Tag("", "")), client_id="клиент")
        storage.add_trials(study.id, 0, [new], NOW)
        trial = storage.get_trial(new.id)
        assert (trial.parameters, trial.tags, trial.client_id) == ((), new.tags, "клиент")

    @pytest.mark.parametrize("expected", [0, 2, -1, 2**40])
    def test_trials_added_on_top_of_another_count_are_refused(self, storage, expected):
        study = storage.create_study(make_study())
        add(storage, study)
        before = storage.get_study(study.id)
        with pytest.raises(AbortedError):
            storage.add_trials(study.id, expected, new_trials(), NOW)
        assert storage.get_study(study.id) == before
        assert len(storage.unfinished_trials(study.id)) == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": StudyState.PAUSED},
            {"state": StudyState.STOPPED},
            {"intent": Intent.STOP},
            {"intent": Intent.DELETE},
            {"manager": "other"},
            {"manager": ""},
        ],
    )
    def test_a_study_that_is_not_to_grow_takes_no_trials(self, storage, fields):
        study = storage.create_study(make_study(**{"manager": "me", **fields}))
        with pytest.raises(AbortedError):
            storage.add_trials(study.id, 0, new_trials(), NOW, manager_id="me")
        assert storage.get_study(study.id) == study

    def test_the_driver_may_add_trials_and_so_may_who_does_not_say_who_it_is(self, storage):
        study = storage.create_study(make_study(manager="me"))
        storage.add_trials(study.id, 0, new_trials(), NOW, manager_id="me")
        storage.add_trials(study.id, 1, new_trials(), NOW)

    def test_no_trials_are_no_write(self, storage):
        study = storage.create_study(make_study())
        assert list(storage.add_trials(study.id, 0, [], NOW)) == []
        assert storage.get_study(study.id) == study

    def test_a_trials_id_is_given_once_and_the_whole_call_is_refused(self, storage):
        study = storage.create_study(make_study())
        (there,) = new_trials()
        storage.add_trials(study.id, 0, [there], NOW)
        with pytest.raises(AlreadyExistsError):
            storage.add_trials(study.id, 1, [*new_trials(), there], NOW)
        (twice,) = new_trials()
        with pytest.raises(AlreadyExistsError):
            storage.add_trials(study.id, 1, [twice, twice], NOW)
        assert storage.get_study(study.id).suggested == 1
        recount(storage, study.id)

    def test_finished_and_unfinished_trials_are_apart_and_in_order(self, storage):
        study = storage.create_study(make_study())
        trials = running(storage, study, 5)
        go(storage, trials[3], to=COMPLETED)
        go(storage, trials[0], to=KILLED)
        go(storage, trials[2], to=ERROR)
        assert [t.number for t in storage.finished_trials(study.id)] == [1, 3, 4]
        assert [t.number for t in storage.unfinished_trials(study.id)] == [2, 5]
        assert {t.state for t in storage.finished_trials(study.id)} == FINISHED

    def test_a_large_study_is_read_in_order(self, storage):
        study = storage.create_study(make_study())
        add(storage, study, 300)
        assert [t.number for t in storage.unfinished_trials(study.id)] == list(range(1, 301))

    @pytest.mark.parametrize("newest_first", [False, True])
    @pytest.mark.parametrize("states", [frozenset(), frozenset({COMPLETED}), frozenset({PENDING, KILLED, COMPLETED})])
    def test_a_studys_trials_are_paged_by_number(self, storage, newest_first, states):
        study = storage.create_study(make_study())
        trials = running(storage, study, 9)
        go(storage, trials[1], trials[4], trials[5], to=COMPLETED)
        go(storage, trials[0], trials[7], to=KILLED)
        add(storage, storage.create_study(make_study()), 3)
        add(storage, study, 2)
        every = [*storage.unfinished_trials(study.id), *storage.finished_trials(study.id)]
        expected = sorted((t.number for t in every if not states or t.state in states), reverse=newest_first)
        filter_ = TrialFilter(study_id=study.id, states=states, newest_first=newest_first)
        assert [t.number for t in self._all_pages(storage, filter_, 2)] == expected

    def test_everybodys_trials_are_newest_first(self, storage):
        studies = [storage.create_study(make_study()) for _ in range(3)]
        for i in range(3):
            for study in studies:
                storage.add_trials(study.id, 2 * i, new_trials(2), later(i))
        found = self._all_pages(storage, TrialFilter(), 4)
        assert len(found) == 18
        assert [(t.created_at, t.number) for t in found] == sorted(
            ((t.created_at, t.number) for t in found), reverse=True
        )
        assert len(set(ids(found))) == 18

    def test_trials_are_filtered_by_state_and_id(self, storage):
        study = storage.create_study(make_study())
        new = [NewTrial(i, ()) for i in ("a" + "1" * 15, "a" + "2" * 15, "b" + "1" * 15)]
        trials = storage.add_trials(study.id, 0, new, NOW)
        go(storage, trials[0], to=KILLED)
        for study_id in ("", study.id):

            def found(study_id=study_id, **filter_):
                return {t.number for t in storage.list_trials(TrialFilter(study_id=study_id, **filter_), 9, "").items}

            assert found(id_prefix="a") == {1, 2}
            assert found(id_prefix="a", states=UNFINISHED) == {2}
            assert found(states=frozenset({KILLED})) == {1}
            assert found(id_prefix="%") == set()

    def test_a_list_may_be_read_while_others_write(self, storage):
        study = storage.create_study(make_study())
        add(storage, study, 6)
        filter_ = TrialFilter(study_id=study.id)
        page = storage.list_trials(filter_, 2, "")
        seen = [t.number for t in page.items]
        while page.next_token:
            # What has been given out changes, and more is added at the end: nothing is repeated or left out.
            go(storage, storage.get_trial(page.items[0].id), to=KILLED)
            if len(seen) < 6:
                add(storage, study)
            page = storage.list_trials(filter_, 2, page.next_token)
            seen += [t.number for t in page.items]
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= 8

    def test_what_has_changed_since_a_revision_is_found_in_order(self, storage):
        study = storage.create_study(make_study())
        trials = running(storage, study, 3)
        before = storage.get_study(study.id).revision
        (second,) = go(storage, trials[1], to=COMPLETED)
        (first,) = go(storage, trials[0], to=KILLED)
        assert list(storage.changed_trials(study.id, before, 10)) == [second, first]
        assert list(storage.changed_trials(study.id, second.revision, 10)) == [first]
        assert list(storage.changed_trials(study.id, first.revision, 10)) == []

    def test_changes_are_never_cut_within_a_revision(self, storage):
        study = storage.create_study(make_study())
        add(storage, study, 5)
        add(storage, study, 3)
        changed = storage.changed_trials(study.id, 0, 2)
        assert [t.number for t in changed] == [1, 2, 3, 4, 5]
        assert [t.number for t in storage.changed_trials(study.id, 0, 6)] == list(range(1, 9))
        assert [t.number for t in storage.changed_trials(study.id, changed[-1].revision, 1)] == [6, 7, 8]

    def test_going_on_from_the_last_revision_misses_no_change(self, storage):
        study = storage.create_study(make_study())
        trials = running(storage, study, 12)
        latest, revision = {}, 0
        for step in range(100):
            changed = storage.changed_trials(study.id, revision, 2)
            latest |= {t.id: t for t in changed}
            revision = changed[-1].revision if changed else revision
            if step < len(trials):
                go(storage, trials[step * 5 % 12], to=COMPLETED)
            elif not changed:
                break
        assert latest == {t.id: t for t in storage.finished_trials(study.id)}
        assert len(latest) == 12

    def test_changes_as_columns_are_the_same_changes(self, storage):
        study = storage.create_study(make_study())
        stopped, _ = running(storage, study, 2)
        completed(storage, study, 0.5, 1.0, -0.0, math.nan, math.inf, -math.inf)
        go(storage, stopped, to=KILLED, reason="EarlyStopped", message='it was\nno "good"')
        few, none = new_trials(2)
        new = [replace(few, parameters=few.parameters[:1]), replace(none, parameters=())]
        storage.add_trials(study.id, storage.get_study(study.id).suggested, new, NOW)
        revision = 0
        for size in (1, 2, 100, 100):
            expected = list(storage.changed_trials(study.id, revision, size))
            columns, last = storage.changed_columns(study.id, revision, size)
            assert repr(columns) == repr(columns_of(expected))
            assert last == (expected[-1].revision if expected else revision)
            revision = last
        assert len(columns) == 0
        assert revision == storage.get_study(study.id).revision

    def test_a_trial_of_another_study_is_refused(self, storage):
        study, other = storage.create_study(make_study()), storage.create_study(make_study())
        (trial,) = add(storage, other)
        applied = storage.apply(study.id, StudyChanges(moves=(move(trial, RUNNING),)))
        assert applied.refused == {trial.id}
        assert storage.get_trial(trial.id) == trial
        with pytest.raises(NotFoundError):
            storage.list_trials(TrialFilter(study_id=trial.id), 1, "")

    def test_the_best_trial_is_the_best_of_the_completed_ones(self, storage):
        study = storage.create_study(make_study())
        first, second = completed(storage, study, 0.5, 0.8)
        after = storage.get_study(study.id)
        assert (after.best_trial_id, after.best_objective) == (second.id, 0.8)
        assert first.objective == 0.5

    def _all_pages(self, storage, filter_, size):
        page = storage.list_trials(filter_, size, "")
        found = list(page.items)
        while page.next_token:
            assert len(page.items) == size
            page = storage.list_trials(filter_, size, page.next_token)
            found += page.items
        return found

    def test_what_became_of_each_attempt_before_the_current_one_is_kept(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        assert storage.earlier_attempts(trial.id) == []
        report = intake(trial, observe(math.nan))
        failed = {"failed_reason": "ExitCode", "failed_message": "it exited with code 3"}
        again = move(trial, PENDING, reason="WaitingForRetry", not_before=later(2), **failed)
        applied = storage.apply(study.id, StudyChanges((report,), (again,)))
        (trial,) = go(storage, applied.trials[trial.id], to=RUNNING, run="run-2", at=later(3))
        go(storage, trial, to=PENDING, at=later(4), failed_reason="Signal", failed_message="\udcff")
        first, second = storage.earlier_attempts(trial.id)
        assert (first.number, first.run, first.reason, first.message) == (1, "run", *failed.values())
        assert math.isnan(first.objective)
        assert (first.started_at, first.ended_at) == (NOW, later(1))
        assert second == TrialAttempt(2, "run-2", "Signal", "?", None, later(3), later(4))

    def test_attempts_go_with_their_study(self, storage):
        study, other = storage.create_study(make_study()), storage.create_study(make_study())
        (trial,), (kept,) = running(storage, study), running(storage, other)
        go(storage, trial, to=PENDING)
        go(storage, kept, to=PENDING)
        storage.delete_study(study.id)
        with pytest.raises(NotFoundError):
            storage.earlier_attempts(trial.id)
        assert len(storage.earlier_attempts(kept.id)) == 1

    def test_a_move_that_is_refused_leaves_no_attempt(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        late = move(trial, PENDING, attempt=2)
        assert storage.apply(study.id, StudyChanges(moves=(late,))).refused == {trial.id}
        assert storage.earlier_attempts(trial.id) == []
