"""Optuna's samplers, by ask and tell. A list of numbers (DISCRETE) is shown to it as categories, having no such type."""

import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.quality.peers.base import Contestant
from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Optuna:
    def __init__(self, problem: Problem, sampler: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self._problem = problem
        self._study = optuna.create_study(sampler=sampler)

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        return [self._one() for _ in range(count)]

    def _one(self) -> tuple[Any, Values]:
        # Values at once: a trial that runs tells the samplers of the next ones where it is by them.
        trial = self._study.ask()
        return trial, self._values(trial)

    def _values(self, trial: Any) -> Values:
        values: dict[str, Any] = {}
        for p in self._problem.parameters:
            f = p.feasible
            log = f.scale is Scale.LOG
            if p.type is ParameterType.INT:
                step = int(f.step) if f.step else 1
                values[p.name] = trial.suggest_int(p.name, int(f.min), int(f.max), step=step, log=log)
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


def sampler(make: Callable[[Any, int, Problem], Any]) -> Callable[[Problem, int], Contestant]:
    def build(problem: Problem, seed: int) -> Contestant:
        import optuna

        warnings.simplefilter("ignore")
        return Optuna(problem, make(optuna.samplers, seed, problem))

    return build
