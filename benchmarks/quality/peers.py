"""Other libraries, each through its own interface; installed by `make bench-quality` in an environment of their own.

A list of numbers (DISCRETE) is shown to them as categories, having no such type.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Contestant(Protocol):
    def ask(self, count: int) -> Sequence[tuple[Any, Values]]:
        """So many trials that run from now on: a handle and the values of each."""

    def tell(self, handle: Any, value: float) -> None: ...


class Optuna:
    def __init__(self, problem: Problem, sampler: Any) -> None:
        import optuna

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


def _optuna(make: Callable[[Any, int], Any]) -> Callable[[Problem, int], Contestant]:
    def build(problem: Problem, seed: int) -> Contestant:
        import optuna

        warnings.simplefilter("ignore")
        return Optuna(problem, make(optuna.samplers, seed))

    return build


class Hyperopt:
    """TPE by its first authors; their service of points one by one is `tpe.suggest`, which takes the history."""

    def __init__(self, problem: Problem, seed: int) -> None:
        from hyperopt import Trials
        from hyperopt.base import Domain

        warnings.simplefilter("ignore")
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._space = self._space_of(problem)
        self._domain = Domain(lambda _: 0.0, self._space)
        self._trials = Trials()

    @staticmethod
    def _space_of(problem: Problem) -> dict[str, Any]:
        from hyperopt import hp

        space: dict[str, Any] = {}
        for p in problem.parameters:
            f = p.feasible
            if p.type in (ParameterType.DISCRETE, ParameterType.CATEGORICAL):
                space[p.name] = hp.choice(p.name, list(range(len(f.list))))
                continue
            low, high = float(f.min), float(f.max)
            step = float(f.step) if f.step else 1.0 if p.type is ParameterType.INT else 0.0
            if f.scale is Scale.LOG:
                bounds = np.log(low), np.log(high)
                space[p.name] = hp.qloguniform(p.name, *bounds, step) if step else hp.loguniform(p.name, *bounds)
            elif step:  # steps from 0 on: counted, so that they begin at the least value
                space[p.name] = hp.randint(p.name, round((high - low) / step) + 1)
            else:
                space[p.name] = hp.uniform(p.name, low, high)
        return space

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        from hyperopt import space_eval, tpe

        ids = self._trials.new_trial_ids(count)
        self._trials.refresh()
        documents = []
        for i in ids:
            documents += tpe.suggest([i], self._domain, self._trials, int(self._rng.integers(2**31)))
        self._trials.insert_trial_docs(documents)
        self._trials.refresh()
        last = self._trials._dynamic_trials[-count:]
        points = [{k: v[0] for k, v in d["misc"]["vals"].items()} for d in last]
        return [(d, self._values(space_eval(self._space, p))) for d, p in zip(last, points, strict=True)]

    def _values(self, point: dict[str, Any]) -> Values:
        values: dict[str, Any] = {}
        for p in self._problem.parameters:
            f, at = p.feasible, point[p.name]
            if p.type is ParameterType.CATEGORICAL:
                values[p.name] = f.list[int(at)]
            elif p.type is ParameterType.DISCRETE:
                values[p.name] = float(f.list[int(at)])
            elif f.scale is Scale.LOG:
                at = min(max(float(at), float(f.min)), float(f.max))
                values[p.name] = round(at) if p.type is ParameterType.INT else at
            elif p.type is ParameterType.INT:
                values[p.name] = int(f.min) + int(at) * int(f.step or 1)
            else:
                values[p.name] = float(f.min) + int(at) * float(f.step) if f.step else float(at)
        return values

    def tell(self, handle: Any, value: float) -> None:
        from hyperopt import JOB_STATE_DONE

        handle["state"] = JOB_STATE_DONE
        handle["result"] = {"loss": float(value), "status": "ok"}
        self._trials.refresh()


PEERS: dict[str, Callable[[Problem, int], Contestant]] = {
    # Said out loud, as Optuna 5 made both the default.
    "optuna-tpe": _optuna(lambda s, seed: s.TPESampler(seed=seed, multivariate=True, constant_liar=True)),
    "optuna-tpe-univariate": _optuna(lambda s, seed: s.TPESampler(seed=seed, multivariate=False)),
    "optuna-gp": _optuna(lambda s, seed: s.GPSampler(seed=seed, deterministic_objective=True)),
    "optuna-cma": _optuna(lambda s, seed: s.CmaEsSampler(seed=seed)),
    "hyperopt": Hyperopt,
}
