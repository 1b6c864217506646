"""TPE by its first authors. A list of numbers (DISCRETE) is shown to it as categories, having no such type."""

import warnings
from typing import Any

import numpy as np

from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Hyperopt:
    """Their service of points one by one is `tpe.suggest`, which takes the history."""

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
