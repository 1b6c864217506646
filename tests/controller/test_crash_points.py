"""A manager may be killed between any two of its writes; each leaves a state, and each state has its row here.

The order of writes stands in docs/architecture.md: what carries out a stored intent, then the transaction, then what depends on
it. Below the rows stand what holds in every state there can be, all of them tried.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from katib.domain.names import run_name
from katib.domain.study import Intent, StudyReason, StudyState
from katib.domain.trial import MOVES, TrialReason, TrialState
from katib.manager.changes import StudyMove, TrialMove
from katib.manager.controller.actions import Ask, CreateRun, DeleteRun, FenceRun, RemoveStudy
from katib.manager.controller.observed import Asking, Observed
from katib.manager.controller.plan import plan
from katib.worker.base import RunPhase
from tests.controller.planning import NOW, observed, run, study, trial

PENDING, RUNNING = TrialState.PENDING, TrialState.RUNNING
STOPPED, LATE = TrialReason.STOPPED_BY_USER, TrialReason.DEADLINE_EXCEEDED
LONG_AGO = NOW - timedelta(hours=1)


def state(
    trial_state: TrialState | None,
    phase: RunPhase | None,
    *,
    drained: bool = True,
    trial_changes: dict[str, Any] | None = None,
    run_changes: dict[str, Any] | None = None,
    **study_changes: Any,
) -> Observed:
    """A study with one trial (None: it has finished) and its run (None: there is none)."""
    t = replace(trial(1, trial_state or RUNNING), started_at=LONG_AGO if trial_state is RUNNING else None)
    t = replace(t, **(trial_changes or {}))
    counters = {PENDING: {"pending": 1}, RUNNING: {"running": 1}, None: {"completed": 1}}[trial_state]
    s = study(suggested=1, **counters, **{"spec": {"limits": {"max_trials": 1}}, **study_changes})
    failure = {"reason": "ExitCode", "message": "exited with code 1"} if phase is RunPhase.FAILED else {}
    runs = [] if phase is None else [run(t, phase, **{**failure, **(run_changes or {})})]
    return observed(s, [t] if trial_state else [], runs, drained=drained)


def done(o: Observed) -> list[str]:
    """The plan's acts in their order, in words."""
    words = []
    for action in plan(o, NOW).actions:
        match action:
            case TrialMove():
                words.append(f"{action.from_state.value}->{action.to_state.value}")
            case StudyMove() if action.state is not o.study.state:
                words.append(f"study->{action.state.value}")
            case StudyMove():
                pass
            case _:
                words.append(type(action).__name__)
    return words


RETRY: dict[str, Any] = {"spec": {"limits": {"max_trials": 1, "retry_limit": 1}}}
STOP = {"stop_reason": STOPPED, "stop_message": "stopped by a user"}
TIMED_OUT = {"stop_reason": LATE, "stop_message": "too long"}

ROWS: list[tuple[str, Observed, list[str]]] = [
    # Beginning an attempt: insert, create, store that it runs.
    ("asked and killed before the reply came", observed(study()), ["Ask"]),
    ("inserted and killed before the run was created", state(PENDING, None), ["CreateRun"]),
    ("created and killed before that was stored", state(PENDING, RunPhase.RUNNING), ["PENDING->RUNNING"]),
    ("created, killed, and it ended well meanwhile", state(PENDING, RunPhase.SUCCEEDED), ["PENDING->RUNNING"]),
    ("created, killed, and it failed meanwhile", state(PENDING, RunPhase.FAILED), ["PENDING->RUNNING"]),
    ("stored that it runs, and the run is lost", state(RUNNING, None), ["StopRun"]),
    # Ending one: take in, store how it ended, let go of the run.
    (
        "it ended and killed before its output was read",
        state(RUNNING, RunPhase.SUCCEEDED, drained=False, trial_changes={"objective": 1.0}),
        [],
    ),
    (
        "its output was stored and killed before its end was",
        state(RUNNING, RunPhase.SUCCEEDED, trial_changes={"objective": 1.0}),
        ["RUNNING->COMPLETED", "DeleteRun"],
    ),
    ("its failure was not stored", state(RUNNING, RunPhase.FAILED), ["RUNNING->ERROR", "DeleteRun"]),
    (
        "its failure was not stored, and there is a retry",
        state(RUNNING, RunPhase.FAILED, **RETRY),
        ["RUNNING->PENDING", "DeleteRun"],
    ),
    (
        "its end was stored and killed before the run was let go",
        state(None, RunPhase.SUCCEEDED),
        ["study->COMPLETED", "DeleteRun"],
    ),
    ("all that was done, and killed before the study's end was stored", state(None, None), ["study->COMPLETED"]),
    # Trying again: the next attempt is stored, then the old run let go, then the new one created.
    (
        "the retry was stored and killed before the old run was let go",
        observed(
            study(suggested=1, pending=1, **RETRY),
            [trial(1, attempt=2)],
            [replace(run(trial(1), RunPhase.FAILED), name=run_name(trial(1).id, 1))],
        ),
        ["CreateRun", "DeleteRun"],
    ),
    (
        "the second attempt was created and killed before that was stored",
        observed(study(suggested=1, pending=1, **RETRY), [trial(1, attempt=2)], [run(trial(1, attempt=2))]),
        ["PENDING->RUNNING"],
    ),
    # Stopping: the wish is stored, then the run stopped, then its end stored.
    (
        "the wish was stored and killed before the run was stopped",
        state(RUNNING, RunPhase.RUNNING, trial_changes=STOP),
        ["StopRun"],
    ),
    ("the run was stopped and is not gone", state(RUNNING, RunPhase.STOPPING, trial_changes=STOP), []),
    ("the run is gone", state(RUNNING, RunPhase.FAILED, trial_changes=STOP), ["RUNNING->KILLED", "DeleteRun"]),
    (
        "a waiting trial's wish was stored and killed before it was fenced",
        state(PENDING, None, trial_changes=STOP),
        ["FenceRun", "PENDING->KILLED"],
    ),
    (
        "it was fenced and killed before that was stored",
        state(PENDING, RunPhase.FAILED, trial_changes=STOP),
        ["PENDING->RUNNING"],
    ),
    (
        "the time-out was stored and killed before the run was stopped",
        state(RUNNING, RunPhase.RUNNING, trial_changes=TIMED_OUT),
        ["StopRun"],
    ),
    (
        "timed out, gone, and there is a retry",
        state(RUNNING, RunPhase.FAILED, trial_changes=TIMED_OUT, **RETRY),
        ["RUNNING->PENDING", "DeleteRun"],
    ),
    (
        "timed out, gone, and there is none",
        state(RUNNING, RunPhase.FAILED, trial_changes=TIMED_OUT),
        ["RUNNING->ERROR", "DeleteRun"],
    ),
    # Ending a study: the wish is stored, its trials are stopped, its end is stored; a deletion removes it then.
    (
        "the study is to stop, and a run goes on",
        state(RUNNING, RunPhase.RUNNING, intent=Intent.STOP),
        ["StopRequest", "StopRun"],
    ),
    ("the study is to stop, and a trial waits", state(PENDING, None, intent=Intent.STOP), ["StopRequest"]),
    ("the study is to stop, and nothing is left", state(None, None, intent=Intent.STOP), ["study->STOPPED"]),
    (
        "the study is to go, and a run goes on",
        state(RUNNING, RunPhase.RUNNING, intent=Intent.DELETE),
        ["StopRequest", "StopRun"],
    ),
    ("the study is to go, and a stray run lives", state(None, RunPhase.RUNNING, intent=Intent.DELETE), ["StopRun"]),
    ("the study is to go, and nothing is left", state(None, None, intent=Intent.DELETE), ["RemoveStudy"]),
    (
        "paused, and a run had been created before that was known",
        state(PENDING, RunPhase.RUNNING, state=StudyState.PAUSED, reason=StudyReason.PAUSED),
        ["PENDING->RUNNING"],
    ),
]


@pytest.mark.parametrize(("o", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_next_manager_goes_on_where_this_one_was_killed(o: Observed, expected: list[str]) -> None:
    assert done(o) == expected


STUDIES: dict[str, dict[str, Any]] = {
    "running": {},
    "full": {"spec": {"limits": {"max_trials": 1}}},
    "retrying": {"spec": {"limits": {"retry_limit": 2, "trial_timeout": timedelta(minutes=1)}}},
    "over": {"spec": {"limits": {"max_duration": timedelta(seconds=1)}}, "created_at": LONG_AGO},
    "at its goal": {"spec": {"goal": 0.5}, "best_objective": 0.9},
    "paused": {"state": StudyState.PAUSED, "reason": StudyReason.PAUSED},
    "stopping": {"intent": Intent.STOP},
    "paused and stopping": {"state": StudyState.PAUSED, "intent": Intent.STOP},
    "deleted": {"intent": Intent.DELETE},
    "client-driven": {"spec": {"algorithm": ""}},
}


def states(study_changes: dict[str, Any]) -> Iterator[Observed]:
    """Every way in which a trial and its run can be found, begun or begun again, asked to stop or not."""
    trials: list[TrialState | None] = [None, PENDING, RUNNING]
    phases = [None, *RunPhase]
    for trial_state, phase, drained, objective, stop, attempt in product(
        trials, phases, (True, False), (None, 0.9), ("", STOPPED, LATE), (1, 2)
    ):
        changes = {"objective": objective, "stop_reason": stop, "stop_message": stop, "attempt": attempt}
        yield state(
            trial_state,
            phase,
            drained=drained,
            trial_changes=changes,
            run_changes={"started_at": LONG_AGO},
            **study_changes,
        )


@pytest.mark.long
@pytest.mark.parametrize("study_changes", STUDIES.values(), ids=STUDIES)
def test_in_every_state_there_is_the_plan_keeps_its_rules(study_changes: dict[str, Any]) -> None:
    for o in states(study_changes):
        planned = plan(o, NOW)
        assert plan(o, NOW) == planned
        kinds = [type(action) for action in planned.actions]
        moves = [a for a in planned.actions if isinstance(a, TrialMove)]
        runs = {r.name: r for r in o.runs.values()}
        going_on = o.study.state is StudyState.RUNNING and o.study.intent is Intent.NONE
        assert len(moves) <= len(o.trials), "two moves of one trial in one transaction"
        assert all((m.from_state, m.to_state) in MOVES for m in moves)
        assert all(
            m.reason and m.message for m in moves if m.to_state in (TrialState.KILLED, TrialState.ERROR, PENDING)
        )
        # A paused or ending study begins nothing.
        assert going_on or not {CreateRun, Ask} & set(kinds)
        for move in moves:
            if o.study.spec.client_driven or move.to_state is RUNNING:
                continue
            # An attempt is over only when its run is gone and its output is in, or when it is kept from ever beginning.
            name = run_name(move.trial_id, move.attempt)
            if name in runs:
                assert runs[name].phase.ended
                assert o.heard[name].drained
            else:
                assert move.from_state is PENDING
                assert kinds.index(FenceRun) < planned.actions.index(move)
        for delete in (a for a in planned.actions if isinstance(a, DeleteRun)):
            unfinished = {run_name(t.id, t.attempt) for t in o.trials}
            assert runs[delete.run].phase.ended
            assert o.heard[delete.run].drained or delete.run not in unfinished
        ends = RemoveStudy in kinds or any(isinstance(a, StudyMove) and a.state.finished for a in planned.actions)
        if ends:
            assert not o.trials
            assert all(r.phase.ended for r in o.runs.values())
        assert planned.actions or planned.wake_at or waits_for_somebody(o), "nothing will ever happen to it again"


def waits_for_somebody(o: Observed) -> bool:
    """A run that lives will end, a client will call, a user will resume it."""
    alive = any(not r.phase.ended for r in o.runs.values())
    return alive or o.study.spec.client_driven or o.study.state is StudyState.PAUSED


def test_what_was_asked_and_lost_is_asked_again() -> None:
    """The conversation with a service is memory only."""
    assert Ask in [type(a) for a in plan(observed(study(), asking=Asking()), NOW).actions]
    assert Ask not in [type(a) for a in plan(observed(study(), asking=Asking(in_flight=True)), NOW).actions]
