"""Studies, trials and changes for the tests of storages."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, Study, StudySpec, StudyState
from katib.domain.trial import NewTrial, Tag, Trial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.ports import Storage

NOW = datetime(2026, 11, 24, 9, 30, 15, 123457, tzinfo=UTC)
LATEST = MetricStrategy.LATEST
PENDING, RUNNING, COMPLETED, KILLED, ERROR = TrialState

# No two observations share a key unless a test asks for it.
_positions = count(1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def make_spec(**fields: Any) -> StudySpec:
    rate = ParameterConfig("rate", ParameterType.DOUBLE, FeasibleSpace("0.1", "0.9"))
    return replace(StudySpec("digits", "accuracy", Objective.MAXIMIZE, (rate,)), **fields)


def make_study(**fields: Any) -> Study:
    return replace(Study(new_id(), make_spec(), StudyState.RUNNING, NOW, 1), **fields)


def new_trials(n: int = 1, **fields: Any) -> list[NewTrial]:
    parameters = (Parameter("rate", ParameterType.DOUBLE, "0.1"), Parameter("kind", ParameterType.CATEGORICAL, "a b"))
    return [replace(NewTrial(new_id(), parameters, (Tag("bracket", "3"),)), **fields) for _ in range(n)]


def observe(value: float = 0.5, name: str = "accuracy", **fields: Any) -> Observation:
    made = Observation(name, value, NOW, attempt=1, source="output", position=next(_positions))
    return replace(made, **fields)


def add(
    storage: Storage, study: Study, n: int = 1, client_id: str = "", lease: timedelta | None = None, **arguments: Any
) -> list[Trial]:
    suggested = storage.get_study(study.id).suggested
    new = new_trials(n, client_id=client_id, lease=lease)
    return list(storage.add_trials(study.id, suggested, new, NOW, **arguments))


def move(trial: Trial, to: TrialState, **fields: Any) -> TrialMove:
    made = TrialMove(trial.id, trial.attempt, trial.state, to, at=later(1))
    return replace(made, **fields)


def intake(trial: Trial, *observations: Observation, to: str = "9", **fields: Any) -> Intake:
    made = Intake(trial.id, trial.attempt, trial.cursor, to, observations)
    return replace(made, **fields)


def go(storage: Storage, *trials: Trial, to: TrialState, **fields: Any) -> list[Trial]:
    """Moves trials of one study, which must work."""
    applied = storage.apply(trials[0].study_id, StudyChanges(moves=tuple(move(t, to, **fields) for t in trials)))
    assert not applied.refused
    return [applied.trials[trial.id] for trial in trials]


def running(storage: Storage, study: Study, n: int = 1) -> list[Trial]:
    return go(storage, *add(storage, study, n), to=RUNNING, run="run", at=NOW)


def completed(storage: Storage, study: Study, *values: float) -> list[Trial]:
    """Trials that ended well, one for each value of the objective."""
    trials = running(storage, study, len(values))
    intakes = tuple(intake(t, observe(v)) for t, v in zip(trials, values, strict=True))
    moves = tuple(move(t, COMPLETED) for t in trials)
    applied = storage.apply(study.id, StudyChanges(intakes=intakes, moves=moves))
    assert not applied.refused
    return [applied.trials[trial.id] for trial in trials]


def curves_of(storage: Storage, trials: Sequence[Trial], metrics: Sequence[str]) -> dict[str, list[Observation]]:
    """Of each of the trials that has any, all pieces as one."""
    found: dict[str, list[Observation]] = {}
    for trial_id, piece in storage.curves(trials, metrics):
        found.setdefault(trial_id, []).extend(piece)
    return found


def recount(storage: Storage, study_id: str) -> None:
    """The counters on the study's row are those of its trials."""
    study = storage.get_study(study_id)
    trials = [*storage.unfinished_trials(study_id), *storage.finished_trials(study_id)]
    counts = {state: sum(trial.state is state for trial in trials) for state in TrialState}
    assert [counts[s] for s in (PENDING, RUNNING, COMPLETED, KILLED, ERROR)] == [
        study.pending,
        study.running,
        study.completed,
        study.killed,
        study.failed,
    ]
    assert study.suggested == len(trials)
    assert sorted(trial.number for trial in trials) == list(range(1, len(trials) + 1))


def ids(items: Sequence[Any]) -> list[str]:
    return [item.id for item in items]
