"""Whom the planner asks, when and for how many trials, and what it makes of the answer."""

from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.manager.changes import StudyMove
from katib.manager.controller.actions import Ask, AskRule
from katib.manager.controller.observed import Asking
from katib.manager.controller.plan import NO_SUGGESTIONS_DEADLINE, STOCK, plan
from katib.manager.service_ports import History
from tests.controller.planning import NOW, RUNNING, actions, observed, run, study, trial

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
