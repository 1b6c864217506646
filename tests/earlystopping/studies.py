"""Studies and curves to try rules on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from katib.domain.metrics import Observation
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Objective, Setting, StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.service import Call

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STUDY_ID = "a0123456789abcde"


def study(*settings: tuple[str, object], objective: Objective = Objective.MAXIMIZE, **fields: object) -> StudySpec:
    spec = StudySpec(
        name="study",
        objective_name="score",
        metrics=("loss", "score"),
        optimization=objective,
        parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("0", "1")),),
        early_stopping="some",
        early_stopping_settings=tuple(Setting(name, str(value)) for name, value in settings),
    )
    return replace(spec, **fields)  # type: ignore[arg-type]


def trial(number: int, state: TrialState, reason: str = "") -> Trial:
    return Trial(
        id=f"b{number:015x}",
        study_id=STUDY_ID,
        number=number,
        attempt=1,
        state=state,
        parameters=(),
        created_at=NOW,
        revision=0,
        reason=reason,
    )


# A value, or a value and the step that the trial named, if it named one.
Value = float | tuple[float, int | None]


def observations(metric: str, values: Sequence[Value]) -> list[Observation]:
    stepped = [value if isinstance(value, tuple) else (value, None) for value in values]
    return [Observation(metric, value, NOW, 1, "output", i, step=step) for i, (value, step) in enumerate(stepped)]


def question(
    spec: StudySpec,
    running: Sequence[Sequence[Value]],
    completed: Sequence[Sequence[Value]] = (),
    stopped: Sequence[Sequence[Value]] = (),
    others: Sequence[tuple[TrialState, str, Sequence[Value]]] = (),
) -> Call:
    """Trials by their curves of the objective; the running ones are numbered from 1."""
    states: list[tuple[TrialState, str, Sequence[Value]]] = [
        *((TrialState.RUNNING, "", c) for c in running),
        *((TrialState.COMPLETED, "", c) for c in completed),
        *((TrialState.KILLED, TrialReason.EARLY_STOPPED, c) for c in stopped),
        *others,
    ]
    trials = [trial(i, state, reason) for i, (state, reason, _) in enumerate(states, 1)]
    return Call(
        study_id=STUDY_ID,
        spec=spec,
        running=[t for t in trials if not t.state.finished],
        finished=[t for t in trials if t.state.finished],
        curves={t.id: observations("score", c) for t, (_, _, c) in zip(trials, states, strict=True)},
    )
