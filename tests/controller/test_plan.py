"""The plan, state by state: every crash point is only another state to begin from."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from katib.domain.names import run_name
from katib.domain.study import PAUSED_MESSAGE, Intent, StudyReason, StudyState
from katib.domain.trial import DISRUPTIONS, MAX_DISRUPTIONS, TrialReason
from katib.manager.changes import StopRequest, StudyMove, TrialMove, TrialNote
from katib.manager.controller.actions import Ask, CreateRun, DeleteRun, FenceRun, StopRun
from katib.manager.controller.observed import Heard
from katib.manager.controller.plan import Plan, plan
from katib.manager.controller.settling import FENCE_LOOK, ON_ITS_WAY, RETRY_MOST
from katib.worker.base import RunPhase
from tests.controller.planning import (
    COMPLETED,
    ERROR,
    KILLED,
    NOW,
    PENDING,
    RUNNING,
    actions,
    moves,
    observed,
    run,
    study,
    trial,
)

# Where a manager may have died, and how the next one goes on.


def test_a_pending_trial_is_started_where_there_is_room() -> None:
    o = observed(study(suggested=1, pending=1), [trial(1)])
    assert [a.trial.number for a in actions(o, CreateRun)] == [1]


def test_a_trial_whose_run_was_created_before_the_crash_is_adopted_not_started_again() -> None:
    t = trial(1)
    o = observed(study(suggested=1, pending=1), [t], [run(t)])
    assert moves(o) == [(1, PENDING, RUNNING, "")]
    assert actions(o, CreateRun) == []


def test_a_run_that_was_created_and_ended_while_the_manager_was_down_is_adopted_first() -> None:
    t = trial(1)
    o = observed(study(suggested=1, pending=1), [t], [run(t, RunPhase.SUCCEEDED)])
    assert moves(o) == [(1, PENDING, RUNNING, "")]
    assert plan(o, NOW).wake_at == NOW


def test_a_run_that_ended_while_the_manager_was_down_completes_its_trial() -> None:
    t = trial(1, RUNNING, objective=0.9)
    o = observed(study(suggested=1, running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    assert moves(o) == [(1, RUNNING, COMPLETED, "")]
    assert [a.run for a in actions(o, DeleteRun)] == [run_name(t.id, 1)]


def test_what_could_not_be_read_of_a_trial_that_has_its_objective_is_said_on_it() -> None:
    t = trial(1, RUNNING, objective=0.5)
    ended = run(t, RunPhase.SUCCEEDED)
    o = observed(study(), [t], [ended], heard={ended.name: Heard(drained=True, warning="m cannot be read")})
    (move,) = actions(o, TrialMove)
    assert (move.to_state, move.message) == (COMPLETED, "m cannot be read")


def test_a_trial_is_not_completed_before_its_output_is_taken_in_whole() -> None:
    t = trial(1, RUNNING, objective=0.9)
    o = observed(study(suggested=1, running=1), [t], [run(t, RunPhase.SUCCEEDED)], drained=False)
    assert moves(o) == []
    assert actions(o, DeleteRun) == []
    # At once where a pass has found more; here it waits for the worker.
    assert plan(o, NOW).wake_at == NOW + FENCE_LOOK


def test_a_running_trial_whose_run_is_not_there_is_fenced_before_anything_else() -> None:
    t = trial(1, RUNNING)
    o = observed(study(suggested=1, running=1, spec={"limits": {"retry_limit": 3}}), [t])
    for now, fenced in ((NOW, []), (NOW + ON_ITS_WAY, [run_name(t.id, 1)])):
        assert moves(o, now) == []
        assert [a.run for a in actions(o, StopRun, now)] == fenced
        wake = plan(o, now).wake_at
        assert wake is not None
        assert now < wake < now + timedelta(seconds=1)


def test_a_run_that_is_not_there_yet_and_is_to_be_stopped_is_not_waited_for() -> None:
    t = trial(1, RUNNING, stop_reason=TrialReason.STOPPED_BY_USER)
    o = observed(study(suggested=1, running=1), [t])
    assert [a.run for a in actions(o, StopRun)] == [run_name(t.id, 1)]


def test_a_run_of_a_finished_trial_is_stopped_and_then_let_go() -> None:
    stray = trial(7, RUNNING)
    alive = observed(study(), [], [run(stray)])
    assert [a.run for a in actions(alive, StopRun)] == [run_name(stray.id, 1)]
    ended = observed(study(), [], [run(stray, RunPhase.FAILED)])
    assert [a.run for a in actions(ended, DeleteRun)] == [run_name(stray.id, 1)]


def test_a_run_of_an_earlier_attempt_is_stopped() -> None:
    t = trial(1, RUNNING, attempt=2)
    old = replace(run(t), name=run_name(t.id, 1), attempt=1)
    o = observed(study(running=1), [t], [old, run(t)])
    assert [a.run for a in actions(o, StopRun)] == [old.name]


# How trials end.


def test_a_failed_run_is_retried_with_a_pause_until_the_retry_limit() -> None:
    s = study(suggested=1, running=1, spec={"limits": {"retry_limit": 1}})
    first = trial(1, RUNNING)
    failed = run(first, RunPhase.FAILED, reason="ExitCode", message="exited with code 3")
    (move,) = actions(observed(s, [first], [failed]), TrialMove)
    assert (move.to_state, move.reason) == (PENDING, TrialReason.WAITING_FOR_RETRY)
    assert "exited with code 3" in move.message
    assert move.not_before > NOW
    second = replace(first, attempt=2)
    last = run(second, RunPhase.FAILED, reason="ExitCode", message="exited with code 3")
    assert moves(observed(s, [second], [last])) == [(1, RUNNING, ERROR, "ExitCode")]


def test_an_attempt_that_waits_for_its_retry_is_not_started_before_its_time() -> None:
    t = trial(1, PENDING, attempt=2, not_before=NOW + timedelta(seconds=5))
    o = observed(study(suggested=10, pending=1), [t])
    assert actions(o, CreateRun) == []
    assert plan(o, NOW).wake_at == NOW + timedelta(seconds=5)
    assert len(actions(o, CreateRun, NOW + timedelta(seconds=5))) == 1


def test_a_retry_does_not_wait_longer_than_any_ever_does_because_a_clock_was_set_back() -> None:
    t = trial(1, PENDING, attempt=2, not_before=NOW + RETRY_MOST)
    o = observed(study(suggested=10, pending=1), [t])
    assert actions(o, CreateRun) == []
    back = NOW - timedelta(hours=1)
    assert len(actions(o, CreateRun, back)) == 1
    forward = NOW + timedelta(hours=1)
    assert len(actions(o, CreateRun, forward)) == 1


def test_a_run_that_is_not_there_is_looked_up_although_a_clock_was_set_back() -> None:
    t = trial(1, RUNNING)
    o = observed(study(suggested=1, running=1), [t])
    assert actions(o, StopRun) == []
    # The clock of the manager that began it may be somewhat ahead of ours.
    assert actions(o, StopRun, NOW - ON_ITS_WAY) == []
    for set_to in (NOW - timedelta(hours=1), NOW + timedelta(hours=1)):
        assert [a.run for a in actions(o, StopRun, set_to)] == [run_name(t.id, 1)]


def test_a_run_that_ends_well_without_its_objective_is_an_error_that_shows_its_last_lines() -> None:
    t = trial(1, RUNNING)
    r = run(t, RunPhase.SUCCEEDED)
    o = observed(
        study(running=1, spec={"limits": {"retry_limit": 5}}),
        [t],
        [r],
        heard={r.name: Heard(drained=True, tail="loss=3 | bye")},
    )
    (move,) = actions(o, TrialMove)
    assert (move.to_state, move.reason) == (ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert "acc" in move.message
    assert "loss=3 | bye" in move.message


def test_a_trial_whose_run_has_ended_says_after_a_while_that_its_output_is_still_being_read() -> None:
    t = trial(1, RUNNING)
    o = observed(study(running=1), [t], [run(t, RunPhase.SUCCEEDED, ended_at=NOW)], drained=False)
    assert actions(o, TrialNote, NOW + timedelta(seconds=1)) == []
    (note,) = actions(o, TrialNote, NOW + timedelta(seconds=2))
    assert note.message == "it has ended, and what it printed or wrote is still being read"
    told = replace(o, trials=[replace(t, message=note.message)])
    assert actions(told, TrialNote, NOW + timedelta(minutes=1)) == []


def test_a_trial_that_was_stopped_says_that_some_of_its_output_was_lost_beside_why() -> None:
    t = trial(1, RUNNING, stop_reason=TrialReason.STOPPED_BY_USER, stop_message="stopped by a user")
    ended = run(t, RunPhase.FAILED)
    (move,) = actions(
        observed(study(running=1), [t], [ended], heard={ended.name: Heard(drained=True, warning="some was lost")}),
        TrialMove,
    )
    assert (move.to_state, move.message) == (KILLED, "stopped by a user; some was lost")


def test_a_trial_past_its_time_out_is_asked_to_end_and_then_counts_as_failed() -> None:
    s = study(running=1, suggested=1, spec={"limits": {"trial_timeout": timedelta(seconds=10)}})
    t = trial(1, RUNNING)
    assert plan(observed(s, [t], [run(t)]), NOW).wake_at == NOW + timedelta(seconds=10)
    late = NOW + timedelta(seconds=10)
    o = observed(s, [t], [run(t)])
    (stop,) = actions(o, StopRequest, late)
    assert stop.reason == TrialReason.DEADLINE_EXCEEDED
    assert len(actions(o, StopRun, late)) == 1
    stopped = replace(t, stop_reason=stop.reason, stop_message=stop.message)
    ended = observed(s, [stopped], [run(t, RunPhase.FAILED, reason="Signal")])
    assert moves(ended, late) == [(1, RUNNING, ERROR, TrialReason.DEADLINE_EXCEEDED)]


def test_the_time_out_counts_from_when_a_run_executes_and_not_while_it_waits() -> None:
    s = study(running=1, suggested=1, spec={"limits": {"trial_timeout": timedelta(seconds=10)}})
    t = trial(1, RUNNING)
    hours = NOW + timedelta(hours=5)
    waiting = plan(observed(s, [t], [run(t, RunPhase.WAITING, started_at=None)]), hours)
    assert [type(a) for a in waiting.actions if isinstance(a, StopRequest | StopRun)] == []
    begun = replace(run(t), started_at=hours)
    assert plan(observed(s, [t], [begun]), hours).wake_at == hours + timedelta(seconds=10)


def test_a_run_that_has_ended_and_waits_for_its_output_to_be_read_is_not_past_its_time_out() -> None:
    s = study(running=1, suggested=1, spec={"limits": {"trial_timeout": timedelta(seconds=10)}})
    t = trial(1, RUNNING)
    o = observed(s, [t], [run(t, ended_at=NOW + timedelta(seconds=9), message="cannot be read yet")])
    late = NOW + timedelta(minutes=1)
    assert [type(a) for a in plan(o, late).actions if isinstance(a, StopRequest | StopRun)] == []
    assert [note.message for note in actions(o, TrialNote, late)] == ["cannot be read yet"]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"phase": RunPhase.STOPPING, "reason": TrialReason.NODE_LOST, "message": "no answer"}, "no answer"),
        ({"ended_at": NOW, "message": "cannot be read yet"}, "cannot be read yet"),
        ({"phase": RunPhase.STOPPING, "reason": "Stopped", "message": "it was asked to end"}, ""),
        ({}, ""),
    ],
    ids=["node lost", "ended, not read", "stopping", "not yet"],
)
def test_a_trial_that_was_asked_to_end_says_what_it_waits_for(known: dict[str, Any], why: str) -> None:
    asked = "stopped by a user"
    t = trial(1, RUNNING, stop_reason=TrialReason.STOPPED_BY_USER, stop_message=asked, message=asked)
    o = observed(study(running=1), [t], [run(t, **known)])
    assert [note.message for note in actions(o, TrialNote)] == ([f"{asked}; {why}"] if why else [])


@pytest.mark.parametrize("reason", sorted(DISRUPTIONS))
def test_a_trial_whose_machine_was_taken_away_is_tried_again_without_a_retry_limit(reason: str) -> None:
    def after(attempt: int, **limits: int) -> list[Any]:
        t = trial(1, RUNNING, attempt=attempt)
        s = study(running=1, suggested=1, spec={"limits": limits})
        return moves(observed(s, [t], [run(t, RunPhase.FAILED, reason=reason)]))

    retried, failed = [(1, RUNNING, PENDING, "WaitingForRetry")], [(1, RUNNING, ERROR, reason)]
    assert after(1) == after(MAX_DISRUPTIONS) == after(MAX_DISRUPTIONS, retry_limit=0) == retried
    # But not for ever.
    assert after(MAX_DISRUPTIONS + 1) == failed
    assert after(MAX_DISRUPTIONS + 1, retry_limit=MAX_DISRUPTIONS + 1) == retried


def test_a_stopped_trial_is_killed_only_when_its_run_is_gone() -> None:
    s = study(running=1, suggested=1)
    t = trial(1, RUNNING, stop_reason=TrialReason.EARLY_STOPPED, stop_message="hopeless")
    assert moves(observed(s, [t], [run(t, RunPhase.STOPPING)])) == []
    assert actions(observed(s, [t], [run(t, RunPhase.STOPPING)]), StopRun) == []
    assert len(actions(observed(s, [t], [run(t)]), StopRun)) == 1
    gone = observed(s, [t], [run(t, RunPhase.FAILED, reason="Signal")])
    assert moves(gone) == [(1, RUNNING, KILLED, TrialReason.EARLY_STOPPED)]


def test_a_trial_that_ends_well_before_it_could_be_stopped_is_completed() -> None:
    t = trial(1, RUNNING, stop_reason=TrialReason.STOPPED_BY_USER, objective=0.5)
    o = observed(study(running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    assert moves(o) == [(1, RUNNING, COMPLETED, "")]


def test_a_trial_that_its_rule_has_stopped_is_killed_however_well_it_ends() -> None:
    t = trial(1, RUNNING, stop_reason=TrialReason.EARLY_STOPPED, stop_message="hopeless", objective=0.5)
    o = observed(study(running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    assert moves(o) == [(1, RUNNING, KILLED, TrialReason.EARLY_STOPPED)]


def test_a_study_whose_rule_cannot_be_asked_says_so_and_goes_on() -> None:
    t = trial(1, RUNNING)
    trouble = (StudyReason.EARLY_STOPPING_UNAVAILABLE, "nobody answers")
    o = observed(study(suggested=1, running=1, spec={"early_stopping": "asha"}), [t], [run(t)], rule_trouble=trouble)
    (note,) = actions(o, StudyMove)
    assert (note.state, note.reason, note.message) == (StudyState.RUNNING, *trouble)
    assert len(actions(o, Ask)) == 1


def test_a_pending_trial_that_is_stopped_is_fenced_before_it_is_killed() -> None:
    t = trial(1, stop_reason=TrialReason.STOPPED_BY_USER)
    kinds = [type(a) for a in plan(observed(study(pending=1), [t]), NOW).actions]
    assert kinds.index(FenceRun) < kinds.index(TrialMove)


def test_what_a_run_waits_for_is_noted_on_its_trial_once() -> None:
    t = trial(1, RUNNING)
    waiting = run(t, RunPhase.WAITING, reason="Unschedulable", message="no node has room")
    (note,) = actions(observed(study(running=1), [t], [waiting]), TrialNote)
    assert (note.reason, note.message) == ("Unschedulable", "no node has room")
    known = replace(t, reason="Unschedulable", message="no node has room")
    assert actions(observed(study(running=1), [known], [waiting]), TrialNote) == []


# Room.


def test_no_more_run_at_once_than_max_parallel() -> None:
    trials = [trial(1, RUNNING), *(trial(n) for n in range(2, 6))]
    o = observed(study(suggested=5, running=1, pending=4), trials, [run(trials[0])])
    assert [a.trial.number for a in actions(o, CreateRun)] == [2]


def test_a_stopping_trial_keeps_its_place_until_it_is_gone() -> None:
    first = trial(1, RUNNING, stop_reason="EarlyStopped")
    second = trial(2, RUNNING)
    runs = [run(first, RunPhase.STOPPING), run(second)]
    o = observed(study(suggested=3, running=2, pending=1), [first, second, trial(3)], runs)
    assert actions(o, CreateRun) == []


def test_a_run_that_has_ended_makes_room_in_the_same_pass() -> None:
    done, next_ = trial(1, RUNNING, objective=0.1), trial(2)
    s = study(suggested=2, running=1, pending=1, spec={"limits": {"max_parallel": 1}})
    o = observed(s, [done, next_], [run(done, RunPhase.SUCCEEDED)])
    assert [a.trial.number for a in actions(o, CreateRun)] == [2]


def test_nothing_begins_while_the_study_is_paused_but_what_ends_is_taken_in() -> None:
    done = trial(1, RUNNING, objective=0.1)
    s = study(state=StudyState.PAUSED, suggested=2, running=1, pending=1)
    o = observed(s, [done, trial(2)], [run(done, RunPhase.SUCCEEDED)])
    assert moves(o) == [(1, RUNNING, COMPLETED, "")]
    assert actions(o, CreateRun) == []
    assert actions(o, Ask) == []


def test_a_paused_study_that_was_about_to_end_until_a_limit_was_raised_is_paused_again() -> None:
    s = study(state=StudyState.PAUSED, suggested=1, completed=1, reason=StudyReason.STOPPING, message="1 trials")
    (note,) = actions(observed(s), StudyMove)
    assert (note.state, note.reason, note.message) == (StudyState.PAUSED, StudyReason.PAUSED, PAUSED_MESSAGE)
    assert plan(observed(replace(s, reason=note.reason, message=note.message)), NOW) == Plan(())


def test_the_same_state_gives_the_same_plan() -> None:
    t = trial(1, RUNNING, objective=0.9)
    o = observed(study(suggested=1, running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    first: Plan = plan(o, NOW)
    assert plan(o, NOW) == first


def test_an_idle_study_plans_nothing() -> None:
    trials = [trial(1, RUNNING), trial(2, RUNNING)]
    o = observed(study(suggested=2, running=2), trials, [run(t) for t in trials])
    assert plan(o, NOW) == Plan((), None)


def test_a_trial_that_could_not_be_begun_once_and_waits_for_a_slot_says_that() -> None:
    why = {"reason": TrialReason.WORKER_UNAVAILABLE, "message": "the namespace is being deleted"}
    live, waits = trial(1, RUNNING), trial(2, PENDING, **why)
    s = study(running=1, pending=1, suggested=2, spec={"limits": {"max_parallel": 1}})
    (note,) = actions(observed(s, [live, waits], [run(live)]), TrialNote)
    assert (note.trial_id, note.reason) == (waits.id, "WaitingForSlot")
    # While it is tried, or would be, it is what was said.
    assert actions(observed(study(pending=1, suggested=2), [waits]), TrialNote) == []


def test_a_study_that_is_to_end_says_which_run_is_out_of_sight() -> None:
    live = trial(1, RUNNING)
    s = replace(study(running=1, suggested=1), intent=Intent.STOP)
    (move,) = actions(
        observed(s, [live], heard={run_name(live.id, 1): Heard(unseen="grant the verb get on pods")}), StudyMove
    )
    assert (
        move.message == f"run {run_name(live.id, 1)} cannot be ended yet: grant the verb get on pods; stopped by a user"
    )


@pytest.mark.parametrize("phase", [RunPhase.RUNNING, RunPhase.STOPPING])
def test_a_trial_whose_run_cannot_be_seen_any_more_says_so_until_it_is_seen_again(phase: RunPhase) -> None:
    stopping = phase is RunPhase.STOPPING
    why = "how its run stands cannot be seen now, which is tried again: grant the verb list on pods"
    before = {"stop_reason": TrialReason.DEADLINE_EXCEEDED, "stop_message": "it ran too long"} if stopping else {}
    live, s = trial(1, RUNNING, **before), study(running=1, suggested=1)
    unseen = run(live, phase, unseen="grant the verb list on pods")
    (note,) = actions(observed(s, [live], [unseen]), TrialNote)
    assert note == (
        TrialNote(live.id, 1, "", f"it ran too long; {why}")
        if stopping
        else TrialNote(live.id, 1, TrialReason.WORKER_UNAVAILABLE, why)
    )
    told = replace(live, reason=note.reason, message=note.message)
    assert actions(observed(s, [told], [unseen]), TrialNote) == []
    (note,) = actions(observed(s, [told], [run(live, phase)]), TrialNote)
    assert (note.reason, note.message) == ("", before.get("stop_message", ""))
