"""Who is compared: each is asked for trials and told what came of them, through its own interface."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from benchmarks.quality.problems import Problem, Values
from katib.api import plugins
from katib.domain.parameters import ParameterType, Scale
from katib.domain.study import Objective, Setting, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.suggestion.room import MAX_PARALLEL
from katib.suggestion.server import GROUP
from katib.suggestion.service import Call, generate


class Contestant(Protocol):
    def ask(self, count: int) -> Sequence[tuple[Any, Values]]:
        """So many trials that run from now on: a handle and the values of each."""

    def tell(self, handle: Any, value: float) -> None: ...


class Ours:
    """A service of ours, by the request and the reply that it gets from a manager."""

    def __init__(self, problem: Problem, seed: int, algorithm: str, settings: dict[str, str]) -> None:
        self._problem = problem
        self._algorithm = plugins.find(GROUP, "algorithm", algorithm)
        self._settings = (Setting("Seed", str(seed)), *(Setting(k, v) for k, v in settings.items()))
        self._trials: list[Trial] = []

    def ask(self, count: int) -> list[tuple[int, Values]]:
        finished = [t for t in self._trials if t.state.finished]
        running = [t for t in self._trials if not t.state.finished]
        room = Setting(MAX_PARALLEL.name, str(len(running) + count))
        spec = StudySpec(
            name=self._problem.name,
            objective_name="loss",
            optimization=Objective.MINIMIZE,
            parameters=self._problem.parameters,
            algorithm=self._algorithm.name,
            settings=(*self._settings, room, Setting("SuggestionNum", "100000")),
        )
        begin = len(self._trials)
        call = Call("a" * 16, spec, len(finished), len(running), begin + 1, finished, running)
        for suggestion in generate(self._algorithm, call).suggestions:
            number = len(self._trials) + 1
            self._trials.append(
                Trial(
                    id=f"b{number:015x}",
                    study_id="a" * 16,
                    number=number,
                    attempt=1,
                    state=TrialState.RUNNING,
                    parameters=suggestion.parameters,
                    created_at=datetime(2026, 1, 1, tzinfo=UTC),
                    revision=0,
                    tags=suggestion.tags,
                )
            )
        return [(i, self._problem.read(self._trials[i].parameters)) for i in range(begin, len(self._trials))]

    def tell(self, handle: int, value: float) -> None:
        self._trials[handle] = replace(self._trials[handle], state=TrialState.COMPLETED, objective=value)


class Optuna:
    def __init__(self, problem: Problem, sampler: Any) -> None:
        import optuna  # type: ignore[import-not-found]

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self._problem = problem
        self._study = optuna.create_study(sampler=sampler)

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        trials = [self._study.ask() for _ in range(count)]
        return [(t, self._values(t)) for t in trials]

    def _values(self, trial: Any) -> Values:
        values: dict[str, Any] = {}
        for p in self._problem.parameters:
            f = p.feasible
            log = f.scale is Scale.LOG
            if p.type is ParameterType.INT:
                values[p.name] = trial.suggest_int(p.name, int(f.min), int(f.max), log=log)
            elif p.type is ParameterType.DOUBLE:
                step = float(f.step) if f.step else None
                values[p.name] = trial.suggest_float(p.name, float(f.min), float(f.max), log=log, step=step)
            elif p.type is ParameterType.DISCRETE:
                values[p.name] = trial.suggest_categorical(p.name, list(map(float, f.list)))
            else:
                values[p.name] = trial.suggest_categorical(p.name, f.list)
        return values

    def tell(self, handle: Any, value: float) -> None:
        self._study.tell(handle, value)


def _optuna(make: Callable[[Any, int], Any]) -> Callable[[Problem, int], Contestant]:
    def build(problem: Problem, seed: int) -> Contestant:
        import optuna

        warnings.simplefilter("ignore")
        return Optuna(problem, make(optuna.samplers, seed))

    return build


PEERS: dict[str, Callable[[Problem, int], Contestant]] = {
    "optuna-tpe": _optuna(lambda s, seed: s.TPESampler(seed=seed)),
    "optuna-mtpe": _optuna(lambda s, seed: s.TPESampler(seed=seed, multivariate=True, constant_liar=True)),
    "optuna-gp": _optuna(lambda s, seed: s.GPSampler(seed=seed, deterministic_objective=True)),
    "optuna-cma": _optuna(lambda s, seed: s.CmaEsSampler(seed=seed)),
}


def contestant(name: str, problem: Problem, seed: int) -> Contestant:
    """A peer, or one of our algorithms: `ALGORITHM[:SETTING=VALUE,...][@label]`."""
    if name in PEERS:
        return PEERS[name](problem, seed)
    algorithm, _, settings = name.partition("@")[0].partition(":")
    return Ours(problem, seed, algorithm, dict(s.split("=", 1) for s in settings.split(",") if s))
