"""Studies, trials and runs as a planner is shown them, and what it decides."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from katib.domain.names import run_name
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, Study, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import TrialMove
from katib.manager.controller.observed import Heard, Observed
from katib.manager.controller.plan import plan
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


def observed(
    s: Study,
    trials: list[Trial] | None = None,
    runs: list[RunStatus] | None = None,
    *,
    drained: bool = True,
    heard: dict[str, Heard] | None = None,
    **more: Any,
) -> Observed:
    """`drained`: of the runs that have ended all output is taken in, unless `heard` says otherwise."""
    runs = runs or []
    of_runs = {r.name: Heard(drained=drained and r.phase.ended) for r in runs} | (heard or {})
    return Observed(study=s, trials=trials or [], runs={r.name: r for r in runs}, heard=of_runs, **more)


def actions(o: Observed, kind: type, now: datetime = NOW) -> list[Any]:
    return [a for a in plan(o, now).actions if isinstance(a, kind)]


def moves(o: Observed, now: datetime = NOW) -> list[tuple[int, TrialState, TrialState, str]]:
    return [(int(m.trial_id[1:], 16), m.from_state, m.to_state, m.reason) for m in actions(o, TrialMove, now)]
