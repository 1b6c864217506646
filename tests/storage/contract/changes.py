"""What every storage does with changes: moves, notes, stop requests, and the counters and the best trial with them."""

import math
from dataclasses import replace

import pytest

from katib.domain.errors import AbortedError
from katib.domain.study import Objective, StudyState
from katib.domain.trial import MOVES, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyChanges, StudyMove, TrialMove, TrialNote
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
    curves_of,
    go,
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


class ChangeContract:
    def test_a_trial_runs_fails_and_is_tried_again(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        (started,) = go(storage, trial, to=RUNNING, run="pod-1", at=later(1), reason="", message="started")
        assert (started.run, started.started_at, started.message) == ("pod-1", later(1), "started")
        late = StopRequest(trial.id, TrialReason.DEADLINE_EXCEEDED, "too slow")
        storage.apply(study.id, StudyChanges(stops=(late,)))
        taken = storage.apply(study.id, StudyChanges(intakes=(intake(started, observe(0.3), to="77"),)))
        assert (taken.trials[trial.id].objective, taken.trials[trial.id].cursor) == (0.3, "77")
        (again,) = go(
            storage, started, to=PENDING, reason="WaitingForRetry", message="exit code 1", not_before=later(30)
        )
        assert again == replace(
            trial,
            attempt=2,
            reason="WaitingForRetry",
            message="exit code 1",
            not_before=later(30),
            revision=again.revision,
        )
        assert storage.get_trial(trial.id) == again
        (restarted,) = go(storage, again, to=RUNNING, run="pod-2", at=later(31))
        assert (restarted.attempt, restarted.run, restarted.not_before) == (2, "pod-2", None)
        recount(storage, study.id)

    def test_where_a_trial_says_that_its_model_is_counts_for_its_attempt(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        assert trial.model_path == ""
        first = intake(trial, observe(0.3), to="7", model_path="s3://models/é/1")
        (told,) = storage.apply(study.id, StudyChanges(intakes=(first,))).trials.values()
        assert told.model_path == storage.get_trial(trial.id).model_path == "s3://models/é/1"
        (more,) = storage.apply(study.id, StudyChanges(intakes=(intake(told, observe(0.4), to="8"),))).trials.values()
        assert more.model_path == "s3://models/é/1"
        other = intake(more, to="8", model_path="/models/2")
        (again,) = storage.apply(study.id, StudyChanges(intakes=(other,))).trials.values()
        assert (again.model_path, again.revision > more.revision) == ("/models/2", True)
        assert storage.list_trials(TrialFilter(study.id), 9, "").items == [again]
        (retried,) = go(storage, again, to=PENDING)
        assert storage.get_trial(trial.id).model_path == retried.model_path == ""

    def test_a_finished_trial_has_an_end_and_a_reason(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        (ended,) = go(storage, trial, to=ERROR, reason="OOMKilled", message="more memory", at=later(8))
        assert (ended.state, ended.reason, ended.message, ended.ended_at) == (
            ERROR,
            "OOMKilled",
            "more memory",
            later(8),
        )
        assert ended.started_at == trial.started_at

    @pytest.mark.parametrize("state", [COMPLETED, KILLED, ERROR])
    def test_a_finished_trial_never_changes(self, storage, state):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        (ended,) = go(storage, trial, to=state)
        before = storage.get_study(study.id)
        applied = storage.apply(
            study.id,
            StudyChanges(
                intakes=(intake(ended, observe(0.9)),),
                moves=tuple(move(trial, to) for from_, to in sorted(MOVES, key=str) if from_ is RUNNING),
                notes=(TrialNote(trial.id, 1, "Other", "other"),),
                stops=(StopRequest(trial.id, "StoppedByUser", "stop"),),
            ),
        )
        assert applied.refused == {trial.id}
        assert (applied.trials, applied.study) == ({}, before)
        assert storage.get_trial(trial.id) == ended
        assert storage.get_study(study.id) == before
        assert storage.latest_observations(trial.id, 5) == ([], False)

    def test_a_move_that_nobody_may_make_is_a_mistake_of_the_caller(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        for from_, to in [(PENDING, COMPLETED), (COMPLETED, RUNNING), (RUNNING, RUNNING), (PENDING, PENDING)]:
            changes = StudyChanges(
                moves=(move(trial, RUNNING), TrialMove(trial.id, 1, from_, to)),
                study=StudyMove(StudyState.PAUSED, "", ""),
            )
            with pytest.raises(ValueError, match="may move"):
                storage.apply(study.id, changes)
        with pytest.raises(ValueError, match="no reason"):
            storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, "", ""),)))
        assert storage.get_trial(trial.id) == trial

    def test_what_no_longer_fits_is_left_out_and_the_rest_takes_place(self, storage):
        study = storage.create_study(make_study())
        a, b, c = add(storage, study, 3)
        go(storage, b, to=RUNNING)
        missing = replace(c, id="a" * 16)
        applied = storage.apply(
            study.id,
            StudyChanges(
                moves=(move(a, RUNNING), move(b, RUNNING), move(missing, RUNNING)),
                notes=(TrialNote(c.id, 2, "r", "m"), TrialNote(c.id, 1, "Unschedulable", "no node")),
                study=StudyMove(StudyState.PAUSED, "PausedByUser", "paused"),
            ),
        )
        assert applied.refused == {b.id, c.id, missing.id}
        assert set(applied.trials) == {a.id, c.id}
        assert (applied.trials[c.id].reason, applied.trials[c.id].message) == ("Unschedulable", "no node")
        assert applied.study.state is StudyState.PAUSED
        assert applied.study == storage.get_study(study.id)
        assert {t.id: storage.get_trial(t.id) for t in (a, c)} == applied.trials
        assert {t.revision for t in applied.trials.values()} == {applied.study.revision}
        recount(storage, study.id)

    def test_moves_of_one_trial_follow_one_another_in_one_call(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        moves = (
            TrialMove(trial.id, 1, PENDING, RUNNING, at=later(1)),
            TrialMove(trial.id, 1, RUNNING, PENDING),
            TrialMove(trial.id, 2, PENDING, RUNNING, at=later(2)),
            TrialMove(trial.id, 2, RUNNING, COMPLETED, at=later(3)),
        )
        applied = storage.apply(study.id, StudyChanges(moves=moves))
        after = applied.trials[trial.id]
        assert (after.attempt, after.state, after.started_at, after.ended_at) == (2, COMPLETED, later(2), later(3))
        assert storage.get_trial(trial.id) == after
        recount(storage, study.id)

    def test_a_move_for_another_attempt_is_left_out(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        for attempt in (0, 2):
            applied = storage.apply(study.id, StudyChanges(moves=(move(trial, COMPLETED, attempt=attempt),)))
            assert applied.refused == {trial.id}
        assert storage.get_trial(trial.id) == trial

    def test_a_study_does_not_end_on_a_decision_made_before_its_last_trial_came(self, storage):
        study = storage.create_study(make_study())
        add(storage, study)
        before = storage.get_study(study.id)
        end = StudyMove(StudyState.COMPLETED, "MaxDurationReached", "it is over", NOW, read=study)
        applied = storage.apply(study.id, StudyChanges(study=end))
        assert (applied.study, applied.refused) == (before, {study.id})
        assert storage.get_study(study.id) == before

    def test_changes_that_change_nothing_write_nothing(self, storage):
        study = storage.create_study(make_study(reason="r", message="m"))
        (trial,) = add(storage, study)
        storage.apply(study.id, StudyChanges(notes=(TrialNote(trial.id, 1, "Waiting", "for a slot"),)))
        before = storage.get_study(study.id)
        applied = storage.apply(
            study.id,
            StudyChanges(
                intakes=(intake(trial, to=""),),
                notes=(TrialNote(trial.id, 1, "Waiting", "for a slot"),),
                study=StudyMove(StudyState.RUNNING, "r", "m", NOW),
            ),
        )
        assert (applied.study, applied.trials, applied.refused) == (before, {}, frozenset())
        assert storage.get_study(study.id) == before
        assert storage.apply(study.id, StudyChanges()).study == before

    def test_a_trial_that_is_asked_to_stop_says_so_until_it_is_gone(self, storage):
        study = storage.create_study(make_study())
        (trial,) = add(storage, study)
        first = StopRequest(trial.id, "EarlyStopped", "worse than the median")
        stopping = storage.apply(study.id, StudyChanges(stops=(first,))).trials[trial.id]
        assert (stopping.state, stopping.reason) == (PENDING, TrialReason.STOPPING)
        assert (stopping.stop_reason, stopping.stop_message) == ("EarlyStopped", "worse than the median")
        second = storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, "StoppedByUser", "by you"),)))
        assert (second.trials, second.refused) == ({}, frozenset())
        noted = storage.apply(study.id, StudyChanges(notes=(TrialNote(trial.id, 1, "Pulling", "the image"),)))
        assert (noted.trials[trial.id].reason, noted.trials[trial.id].message) == (TrialReason.STOPPING, "the image")
        (started,) = go(storage, trial, to=RUNNING)
        assert (started.reason, started.stop_reason) == (TrialReason.STOPPING, "EarlyStopped")
        assert started.message == "worse than the median"
        (killed,) = go(storage, started, to=KILLED, reason="EarlyStopped", message="worse")
        assert (killed.reason, killed.message) == ("EarlyStopped", "worse")
        assert storage.get_trial(trial.id) == killed

    def test_a_trial_that_is_asked_to_stop_while_its_retry_is_decided_is_not_tried_again(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by you"),)))
        before = storage.get_trial(trial.id)
        applied = storage.apply(study.id, StudyChanges(moves=(move(trial, PENDING),)))
        assert applied.refused == {trial.id}
        assert storage.get_trial(trial.id) == before

    def test_a_request_to_stop_an_attempt_leaves_the_next_one_alone(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        (again,) = go(storage, *go(storage, trial, to=PENDING), to=RUNNING)
        of_first = StopRequest(trial.id, TrialReason.EARLY_STOPPED, "behind", trial.attempt)
        applied = storage.apply(study.id, StudyChanges(stops=(of_first,)))
        assert (applied.trials, applied.refused) == ({}, {trial.id})
        assert storage.get_trial(trial.id) == again
        applied = storage.apply(study.id, StudyChanges(stops=(replace(of_first, attempt=again.attempt),)))
        assert (applied.trials[trial.id].stop_reason, applied.refused) == (TrialReason.EARLY_STOPPED, frozenset())

    def test_a_request_to_stop_goes_before_a_time_out_after_which_the_trial_might_be_tried_again(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        late = StopRequest(trial.id, TrialReason.DEADLINE_EXCEEDED, "too slow")
        stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by you")
        for request in (late, stop, late):
            storage.apply(study.id, StudyChanges(stops=(request,)))
        now = storage.get_trial(trial.id)
        assert (now.stop_reason, now.stop_message, now.message) == (TrialReason.STOPPED_BY_USER, "by you", "by you")

    def test_a_note_without_words_leaves_a_stopping_trial_those_that_say_why(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by you"),)))
        storage.apply(study.id, StudyChanges(notes=(TrialNote(trial.id, 1, "", ""),)))
        now = storage.get_trial(trial.id)
        assert (now.reason, now.message) == (TrialReason.STOPPING, "by you")

    def test_counters_are_those_of_the_trials(self, storage):
        study = storage.create_study(make_study())
        trials = running(storage, study, 6)
        go(storage, trials[0], trials[1], to=COMPLETED)
        go(storage, trials[2], to=KILLED)
        go(storage, trials[3], to=ERROR)
        go(storage, trials[4], to=PENDING)
        add(storage, study, 2)
        after = storage.get_study(study.id)
        assert (after.suggested, after.pending, after.running) == (8, 3, 1)
        assert (after.completed, after.killed, after.failed) == (2, 1, 1)
        recount(storage, study.id)

    @pytest.mark.parametrize(
        ("optimization", "values", "best"),
        [
            (Objective.MAXIMIZE, [0.5, 0.7, 0.7, 0.6], 1),
            (Objective.MINIMIZE, [0.5, 0.3, 0.3, 0.4], 1),
            (Objective.MAXIMIZE, [math.nan, -math.inf, 0.0], 2),
            (Objective.MINIMIZE, [math.nan, math.nan, math.inf], 2),
            (Objective.MAXIMIZE, [math.inf, 5.0], 0),
            (Objective.MAXIMIZE, [math.nan, math.nan], None),
            (Objective.MINIMIZE, [-1.7976931348623157e308, -math.inf], 1),
            (Objective.MAXIMIZE, [0.0, 5e-324], 1),
        ],
    )
    def test_the_best_trial_is_strictly_better_than_those_before(self, storage, optimization, values, best):
        one_by_one = storage.create_study(make_study(spec=make_spec(optimization=optimization)))
        trials = [completed(storage, one_by_one, value)[0] for value in values]
        at_once = storage.create_study(make_study(spec=make_spec(optimization=optimization)))
        together = completed(storage, at_once, *values)
        for study, made in ((one_by_one, trials), (at_once, together)):
            after = storage.get_study(study.id)
            if best is None:
                assert (after.best_trial_id, after.best_objective) == ("", None)
                continue
            assert after.best_trial_id == made[best].id
            assert repr(after.best_objective) == repr(values[best])

    def test_only_completed_trials_with_an_objective_can_be_the_best(self, storage):
        study = storage.create_study(make_study())
        a, b, c = running(storage, study, 3)
        storage.report(a.id, 0, [observe(0.9)])
        storage.report(b.id, 0, [observe(0.8)])
        go(storage, a, to=KILLED)
        go(storage, b, to=ERROR)
        go(storage, c, to=COMPLETED)
        after = storage.get_study(study.id)
        assert (after.best_trial_id, after.best_objective) == ("", None)

    def test_only_the_driver_may_change_what_it_says_it_drives(self, storage):
        study = storage.create_study(make_study(manager="m1"))
        (trial,) = add(storage, study)
        before = storage.get_study(study.id)
        for other in ("m2", "", "M1"):
            with pytest.raises(AbortedError):
                storage.apply(study.id, StudyChanges(moves=(move(trial, RUNNING),)), manager_id=other)
        assert storage.get_study(study.id) == before
        assert storage.apply(study.id, StudyChanges(moves=(move(trial, RUNNING),)), manager_id="m1").trials

    def test_hundreds_of_trials_change_in_one_call(self, storage):
        study = storage.create_study(make_study())
        trials = running(storage, study, 300)
        intakes = tuple(intake(t, observe(t.number / 1000), observe(2, "loss")) for t in trials)
        applied = storage.apply(
            study.id, StudyChanges(intakes=intakes, moves=tuple(move(t, COMPLETED) for t in trials))
        )
        assert len(applied.trials) == 300
        assert applied.study.best_trial_id == trials[-1].id
        assert {t.id: t for t in storage.finished_trials(study.id)} == applied.trials
        assert len(curves_of(storage, trials, ["loss"])) == 300
        assert set(storage.values_taken(trials).values()) == {2}
        recount(storage, study.id)

    def test_where_a_study_s_runs_may_be_is_kept_through_all_that_comes_after(self, storage):
        study = storage.create_study(make_study(places=("old",)))
        placed = storage.apply(study.id, StudyChanges(places=("new", "old"))).study
        assert (placed.places, placed.revision) == (("new", "old"), study.revision + 1)
        assert storage.apply(study.id, StudyChanges(places=("new", "old"))).study == placed
        add(storage, study)
        storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.PAUSED, "Waiting", "a while")))
        storage.update_study(study.id, lambda there: replace(there, message="longer", places=("elsewhere",)))
        assert storage.get_study(study.id).places == ("new", "old")
        storage.apply(study.id, StudyChanges(places=()))
        assert storage.get_study(study.id).places == ()

    def test_every_write_raises_the_revision(self, storage):
        study = storage.create_study(make_study())
        revisions = [study.revision]

        def grown():
            revisions.append(storage.get_study(study.id).revision)
            assert revisions[-1] > revisions[-2]

        (trial,) = add(storage, study)
        grown()
        go(storage, trial, to=RUNNING)
        grown()
        storage.report(trial.id, 0, [observe()])
        grown()
        storage.update_study(study.id, lambda s: replace(s, reason="x"))
        grown()
        storage.claim_studies("m", "", (), 10)
        grown()
        storage.release("m")
        grown()

    def test_messages_that_are_no_text_are_stored_as_well_as_they_can_be(self, storage):
        study = storage.create_study(make_study())
        broken = "no such file: \udcff"
        a, b, c = add(storage, study, 3)
        applied = storage.apply(
            study.id,
            StudyChanges(
                moves=(move(a, ERROR, message=broken),),
                notes=(TrialNote(b.id, 1, "Waiting", broken),),
                stops=(StopRequest(c.id, "StoppedByUser", broken),),
                study=StudyMove(StudyState.PAUSED, "", broken),
            ),
        )
        assert {t.message for t in applied.trials.values()} == {"no such file: ?"} == {applied.study.message}
        assert storage.get_trial(c.id).stop_message == "no such file: ?"
        (new,) = new_trials(message=broken)
        other = storage.create_study(make_study())
        assert storage.add_trials(other.id, 0, [new], NOW)[0].message == "no such file: ?"

    def test_long_messages_are_kept_whole(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        text = "🎲 the last lines of its output\n" * 3000
        (ended,) = go(storage, trial, to=TrialState.ERROR, message=text)
        assert storage.get_trial(trial.id).message == ended.message == text
