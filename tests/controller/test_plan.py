"""The plan, state by state: every crash point is only another state to begin from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from katib.domain.names import run_name
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import PAUSED_MESSAGE, Intent, Limits, Objective, Study, StudyReason, StudySpec, StudyState
from katib.domain.trial import DISRUPTIONS, MAX_DISRUPTIONS, Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyMove, TrialMove, TrialNote
from katib.manager.controller.actions import Ask, AskRule, CreateRun, DeleteRun, FenceRun, RemoveStudy, StopRun
from katib.manager.controller.observed import Asking, Observed
from katib.manager.controller.plan import NO_SUGGESTIONS_DEADLINE, STOCK, Plan, plan
from katib.manager.controller.settling import ON_ITS_WAY, RETRY_MOST
from katib.manager.service_ports import History
from katib.worker.base import RunPhase, RunStatus

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
STUDY = "a000000000000001"
PENDING, RUNNING, COMPLETED = TrialState.PENDING, TrialState.RUNNING, TrialState.COMPLETED
KILLED, ERROR = TrialState.KILLED, TrialState.ERROR


def spec(**changes: Any) -> StudySpec:
    limits = Limits(**{"max_trials": 10, "max_parallel": 2, **changes.pop("limits", {})})
    base = StudySpec(
        name="s",
        objective_name="acc",
        optimization=Objective.MAXIMIZE,
        parameters=(ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
        algorithm="random",
        command=("true",),
        limits=limits,
    )
    return replace(base, **changes)


def study(**changes: Any) -> Study:
    spec_changes = changes.pop("spec", {})
    base = Study(id=STUDY, spec=spec(**spec_changes), state=StudyState.RUNNING, created_at=NOW, revision=1)
    return replace(base, **changes)


def trial(number: int, state: TrialState = PENDING, **changes: Any) -> Trial:
    base = Trial(
        id=f"b{number:015x}",
        study_id=STUDY,
        number=number,
        attempt=1,
        state=state,
        parameters=(Parameter("x", ParameterType.DOUBLE, "0.5"),),
        created_at=NOW,
        revision=1,
        started_at=NOW if state is RUNNING else None,
    )
    return replace(base, **changes)


def run(t: Trial, phase: RunPhase = RunPhase.RUNNING, **changes: Any) -> RunStatus:
    base = RunStatus(run_name(t.id, t.attempt), STUDY, t.id, t.attempt, phase, started_at=NOW)
    return replace(base, **changes)


def observed(s: Study, trials: list[Trial] | None = None, runs: list[RunStatus] | None = None, **more: Any) -> Observed:
    runs = runs or []
    more.setdefault("drained", frozenset(r.name for r in runs if r.phase.ended))
    return Observed(study=s, trials=trials or [], runs={r.name: r for r in runs}, **more)


def actions(o: Observed, kind: type, now: datetime = NOW) -> list[Any]:
    return [a for a in plan(o, now).actions if isinstance(a, kind)]


def moves(o: Observed, now: datetime = NOW) -> list[tuple[int, TrialState, TrialState, str]]:
    return [(int(m.trial_id[1:], 16), m.from_state, m.to_state, m.reason) for m in actions(o, TrialMove, now)]


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
    o = observed(study(), [t], [ended], drained=frozenset({ended.name}), warnings={ended.name: "m cannot be read"})
    (move,) = actions(o, TrialMove)
    assert (move.to_state, move.message) == (COMPLETED, "m cannot be read")


def test_a_trial_is_not_completed_before_its_output_is_taken_in_whole() -> None:
    t = trial(1, RUNNING, objective=0.9)
    o = observed(study(suggested=1, running=1), [t], [run(t, RunPhase.SUCCEEDED)], drained=frozenset())
    assert moves(o) == []
    assert actions(o, DeleteRun) == []
    assert plan(o, NOW).wake_at == NOW


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
    o = observed(study(running=1, spec={"limits": {"retry_limit": 5}}), [t], [r], tails={r.name: "loss=3 | bye"})
    (move,) = actions(o, TrialMove)
    assert (move.to_state, move.reason) == (ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert "acc" in move.message
    assert "loss=3 | bye" in move.message


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


# Asking.


def test_what_the_service_says_of_a_study_is_its_message_while_it_runs() -> None:
    """Until the next answer it stays what it was: a manager that begins has not asked yet."""
    said = actions(observed(study(), asking=Asking(note="auto uses tpe: because")), StudyMove)
    assert [(m.reason, m.message) for m in said] == [("", "auto uses tpe: because")]

    running = study(message="auto uses tpe: because")
    assert actions(observed(running, asking=Asking(note=None)), StudyMove) == []
    assert [m.message for m in actions(observed(running, asking=Asking(note="")), StudyMove)] == [""]


def test_the_message_of_an_ended_study_says_what_its_service_said_of_it_too() -> None:
    """Known to this manager, or, if it has just begun, from where the one before had got to."""
    told = "stopped by a user; auto uses tpe: because"
    stopped = study(intent=Intent.STOP, message="auto uses tpe: because")
    stopping = replace(stopped, reason=StudyReason.STOPPING, message=told)
    troubled = replace(stopped, reason=StudyReason.NO_SUGGESTIONS, message="it is asked again")

    def end(s: Study, note: str | None) -> list[str]:
        return [m.message for m in actions(observed(s, asking=Asking(note=note)), StudyMove)]

    assert end(stopped, "auto uses tpe: because") == [told]
    assert end(stopped, None) == [told]
    assert end(stopping, None) == [told]
    assert end(troubled, "auto uses tpe: because") == [told]
    assert end(troubled, None) == ["stopped by a user"]
    assert end(stopped, "") == ["stopped by a user"]


def test_a_trouble_that_is_over_leaves_no_message() -> None:
    troubled = study(reason=StudyReason.NO_SUGGESTIONS, message="it is asked again")

    assert [m.message for m in actions(observed(troubled, asking=Asking(note=None)), StudyMove)] == [""]


def test_the_service_is_asked_for_as_many_as_there_is_room() -> None:
    assert [a.count for a in actions(observed(study()), Ask)] == [2]


def test_without_need_of_history_it_is_asked_ahead() -> None:
    asking = Asking(history=History.NONE)
    s = study(spec={"limits": {"max_trials": 100}})
    assert [a.count for a in actions(observed(s, asking=asking), Ask)] == [STOCK]


def test_never_more_are_asked_for_than_max_trials_leaves() -> None:
    s = study(suggested=9, completed=9)
    assert [a.count for a in actions(observed(s, asking=Asking(history=History.NONE)), Ask)] == [1]
    t = trial(10, RUNNING)
    assert actions(observed(study(suggested=10, completed=9, running=1), [t], [run(t)]), Ask) == []


def test_it_is_not_asked_while_suggestions_wait_or_a_call_is_under_way() -> None:
    trials = [trial(1, RUNNING), trial(2, RUNNING), trial(3)]
    runs = [run(trials[0]), run(trials[1])]
    assert actions(observed(study(suggested=3, running=2, pending=1), trials, runs), Ask) == []
    assert actions(observed(study(), asking=Asking(in_flight=True)), Ask) == []


def test_after_a_failure_it_is_asked_again_when_its_time_has_come() -> None:
    later = NOW + timedelta(seconds=1)
    asking = Asking(not_before=later, trouble=(StudyReason.SUGGESTION_UNAVAILABLE, "nobody answers"))
    o = observed(study(), asking=asking)
    assert actions(o, Ask) == []
    assert plan(o, NOW).wake_at == later
    (note,) = actions(o, StudyMove)
    assert (note.state, note.reason) == (StudyState.RUNNING, StudyReason.SUGGESTION_UNAVAILABLE)
    assert len(actions(o, Ask, later)) == 1


def test_completed_ends_the_study_only_when_nothing_is_unfinished() -> None:
    done = Asking(completed_at=3, completed_reason=StudyReason.EXHAUSTED)
    t = trial(4, RUNNING)
    o = observed(study(suggested=4, completed=3, running=1), [t], [run(t)], asking=done)
    assert actions(o, StudyMove) == []
    assert actions(o, Ask) == []
    (end,) = actions(observed(study(suggested=3, completed=3), asking=done), StudyMove)
    assert (end.state, end.reason) == (StudyState.COMPLETED, StudyReason.EXHAUSTED)


@pytest.mark.parametrize("said", ["no more points: all 27 were tried", "x" * 1000, "Swept\n"])
def test_what_is_no_word_becomes_no_reason_but_a_message_of_bounded_length(said: str) -> None:
    done = Asking(completed_at=3, completed_reason=said)
    (end,) = plan(observed(study(suggested=3, completed=3), asking=done), NOW).actions
    assert isinstance(end, StudyMove)
    assert (end.state, end.reason) == (StudyState.COMPLETED, StudyReason.EXHAUSTED)
    assert said[:300] in end.message
    assert len(end.message) < 400


def test_a_services_own_word_is_the_reason() -> None:
    done = Asking(completed_at=3, completed_reason="SweepCompleted")
    (end,) = plan(observed(study(suggested=3, completed=3), asking=done), NOW).actions
    assert isinstance(end, StudyMove)
    assert end.reason == "SweepCompleted"


def test_completed_is_asked_about_again_when_more_has_finished_since() -> None:
    o = observed(study(suggested=4, completed=4), asking=Asking(completed_at=3))
    assert [a.count for a in actions(o, Ask)] == [2]


def test_a_service_that_has_nothing_for_long_ends_the_study_with_that_reason() -> None:
    o = observed(study(), asking=Asking(empty_since=NOW))
    assert actions(o, StudyMove) == []
    (end,) = actions(o, StudyMove, NOW + NO_SUGGESTIONS_DEADLINE)
    assert (end.state, end.reason) == (StudyState.FAILED, StudyReason.NO_SUGGESTIONS)


def test_the_rule_is_asked_when_it_is_due_and_something_runs() -> None:
    t = trial(1, RUNNING)
    ruled = study(running=1, suggested=1, spec={"early_stopping": "medianstopping"})
    assert len(actions(observed(ruled, [t], [run(t)], rule_due=True), AskRule)) == 1
    assert actions(observed(ruled, [t], [run(t)]), AskRule) == []
    assert actions(observed(ruled, rule_due=True), AskRule) == []


# How studies end.


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"completed": 10, "suggested": 10}, StudyState.COMPLETED, StudyReason.MAX_TRIALS),
        ({"completed": 4, "killed": 3, "failed": 3, "suggested": 10}, StudyState.COMPLETED, StudyReason.MAX_TRIALS),
        ({"best_objective": 0.99, "spec": {"goal": 0.99}}, StudyState.COMPLETED, StudyReason.GOAL),
        ({"failed": 2, "spec": {"limits": {"max_failed_trials": 2}}}, StudyState.FAILED, StudyReason.MAX_FAILED_TRIALS),
        (
            {"created_at": NOW - timedelta(hours=1), "spec": {"limits": {"max_duration": timedelta(hours=1)}}},
            StudyState.COMPLETED,
            StudyReason.MAX_DURATION,
        ),
        ({"intent": Intent.STOP}, StudyState.STOPPED, StudyReason.STOPPED_BY_USER),
    ],
)
def test_a_study_ends_with_its_reason(changes: dict[str, Any], state: StudyState, reason: str) -> None:
    o = observed(study(**changes))
    (end,) = actions(o, StudyMove)
    assert (end.state, end.reason) == (state, reason)
    assert actions(o, Ask) == []


@pytest.mark.parametrize("goal", [None, 0.95])
def test_without_a_goal_or_below_it_the_study_goes_on(goal: float | None) -> None:
    o = observed(study(best_objective=0.9, spec={"goal": goal}))
    assert len(actions(o, Ask)) == 1


def test_an_ending_study_stops_what_runs_and_stays_running_until_it_is_gone() -> None:
    s = study(best_objective=1.0, suggested=3, running=1, pending=1, completed=1, spec={"goal": 0.9})
    running, pending = trial(2, RUNNING), trial(3)
    o = observed(s, [running, pending], [run(running)])
    assert [(a.trial_id, a.reason) for a in actions(o, StopRequest)] == [
        (running.id, TrialReason.STUDY_ENDED),
        (pending.id, TrialReason.STUDY_ENDED),
    ]
    # Not before it is stored why: a pass that is lost must not leave a fence behind.
    assert actions(o, FenceRun) == []
    assert moves(o) == []
    (note,) = actions(o, StudyMove)
    assert (note.state, note.reason) == (StudyState.RUNNING, StudyReason.STOPPING)


def test_the_goal_reached_in_this_pass_keeps_the_next_trial_from_starting() -> None:
    done, next_ = trial(1, RUNNING, objective=0.95), trial(2)
    s = study(suggested=2, running=1, pending=1, spec={"goal": 0.9})
    o = observed(s, [done, next_], [run(done, RunPhase.SUCCEEDED)])
    assert actions(o, CreateRun) == []
    assert [(a.trial_id, a.reason) for a in actions(o, StopRequest)] == [(next_.id, TrialReason.STUDY_ENDED)]


def test_the_pass_that_ends_the_last_trial_leaves_the_study_to_the_next() -> None:
    t = trial(10, RUNNING, objective=0.1)
    o = observed(study(suggested=10, completed=9, running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    assert all(not a.state.finished for a in actions(o, StudyMove))
    assert plan(o, NOW).wake_at == NOW


def test_a_study_does_not_end_while_a_stray_run_lives() -> None:
    o = observed(study(intent=Intent.STOP), [], [run(trial(1))])
    assert all(not a.state.finished for a in actions(o, StudyMove))
    assert len(actions(o, StopRun)) == 1


def test_a_deleted_study_is_removed_when_nothing_of_it_is_left() -> None:
    assert len(actions(observed(study(intent=Intent.DELETE)), RemoveStudy)) == 1
    t = trial(1, RUNNING)
    o = observed(study(intent=Intent.DELETE, running=1), [t], [run(t)])
    assert actions(o, RemoveStudy) == []
    assert len(actions(o, StopRun)) == 1


def test_a_client_driven_study_asks_its_rule_and_says_when_that_cannot_be_asked() -> None:
    s = study(suggested=1, running=1, spec={"algorithm": "", "early_stopping": "medianstopping"})
    t = trial(1, RUNNING, client_id="me")
    assert len(actions(observed(s, [t], rule_due=True), AskRule)) == 1
    assert actions(observed(s, [t]), AskRule) == actions(observed(s, rule_due=True), AskRule) == []
    trouble = (StudyReason.EARLY_STOPPING_UNAVAILABLE, "nobody answers")
    (note,) = actions(observed(s, [t], rule_trouble=trouble), StudyMove)
    assert (note.reason, note.message) == trouble
    stopped = replace(t, stop_reason=TrialReason.EARLY_STOPPED, stop_message="hopeless")
    assert moves(observed(s, [stopped])) == [(1, RUNNING, KILLED, TrialReason.EARLY_STOPPED)]


def test_a_client_driven_study_asks_nobody_and_ends_its_trials_without_runs() -> None:
    s = study(suggested=1, running=1, spec={"algorithm": ""})
    t = trial(1, RUNNING, client_id="me")
    o = observed(s, [t])
    assert actions(o, Ask) == actions(o, StopRun) == actions(o, CreateRun) == []
    stopped = observed(replace(s, intent=Intent.STOP), [t])
    assert moves(stopped) == [(1, RUNNING, KILLED, TrialReason.STOPPED_BY_USER)]


def test_a_client_driven_study_keeps_what_its_algorithm_said_to_its_clients() -> None:
    ask = "clients ask for its trials (SuggestTrials)"
    fresh = study(spec={"algorithm": ""})
    assert [(m.reason, m.message) for m in actions(observed(fresh), StudyMove)] == [(StudyReason.CLIENT_DRIVEN, ask)]
    told = replace(fresh, reason=StudyReason.CLIENT_DRIVEN, message=f"{ask}; auto uses tpe: because")
    assert plan(observed(told), NOW) == Plan(())
    (ended,) = actions(observed(replace(told, intent=Intent.STOP)), StudyMove)
    assert ended.message == "stopped by a user; auto uses tpe: because"
    troubled = replace(told, reason=StudyReason.EARLY_STOPPING_UNAVAILABLE, message="nobody answers")
    assert [m.message for m in actions(observed(troubled), StudyMove)] == [ask]


def test_the_same_state_gives_the_same_plan() -> None:
    t = trial(1, RUNNING, objective=0.9)
    o = observed(study(suggested=1, running=1), [t], [run(t, RunPhase.SUCCEEDED)])
    first: Plan = plan(o, NOW)
    assert plan(o, NOW) == first


def test_an_idle_study_plans_nothing() -> None:
    trials = [trial(1, RUNNING), trial(2, RUNNING)]
    o = observed(study(suggested=2, running=2), trials, [run(t) for t in trials])
    assert plan(o, NOW) == Plan((), None)
