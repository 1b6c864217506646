"""How the planner ends studies, and what it does for those that clients drive."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from katib.domain.study import Intent, StudyReason, StudyState
from katib.domain.trial import TrialReason
from katib.manager.changes import StopRequest, StudyMove
from katib.manager.controller.actions import Ask, AskRule, CreateRun, FenceRun, RemoveStudy, StopRun
from katib.manager.controller.plan import Plan, plan
from katib.manager.controller.settling import UNREAD_LOOK
from katib.worker.base import RunPhase
from tests.controller.planning import KILLED, NOW, PENDING, RUNNING, actions, moves, observed, run, study, trial

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


def test_an_ending_study_goes_on_at_once_where_it_can_and_waits_where_it_cannot() -> None:
    s, t = study(intent=Intent.STOP, suggested=1), trial(1, RUNNING, stop_reason=TrialReason.STOPPED_BY_USER)
    ended, ending = run(t, RunPhase.FAILED), run(t, RunPhase.STOPPING)
    assert plan(observed(s, [t], [ended]), NOW).wake_at == NOW
    assert plan(observed(s, [], [ending]), NOW).wake_at == NOW + UNREAD_LOOK
    waiting = replace(t, state=PENDING)
    held = {run(t).name: "hands off"}
    assert plan(observed(s, [waiting], unended=held), NOW).wake_at is None


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
    # While the trials that are left end, the number of those that have ended grows.
    ending = replace(
        told, spec=study(spec={"algorithm": "", "limits": {"max_trials": 2}}).spec, suggested=3, running=1, completed=2
    )
    (first,) = actions(observed(ending, [trial(3, RUNNING, client_id="me")]), StudyMove)
    assert first.message == "2 trials have finished; auto uses tpe: because"
    over = replace(ending, reason=first.reason, message=first.message, completed=2, killed=1, running=0)
    (last,) = actions(observed(over), StudyMove)
    assert (last.reason, last.message) == (StudyReason.MAX_TRIALS, "3 trials have finished; auto uses tpe: because")
    troubled = replace(told, reason=StudyReason.EARLY_STOPPING_UNAVAILABLE, message="nobody answers")
    assert [m.message for m in actions(observed(troubled), StudyMove)] == [ask]
