"""scikit-optimize: its Gaussian process with its own choice of acquisition. Numbers with steps, and lists of numbers, are shown
to it by their places: it has no steps."""

import warnings
from typing import Any

from benchmarks.quality.peers.base import levels
from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Skopt:
    def __init__(self, problem: Problem, seed: int) -> None:
        from skopt import Optimizer
        from skopt.space import Categorical, Integer, Real

        warnings.simplefilter("ignore")
        self._problem = problem
        dimensions: list[Any] = []
        for p in problem.parameters:
            f = p.feasible
            prior = "log-uniform" if f.scale is Scale.LOG else "uniform"
            steps = levels(p)
            if p.type is ParameterType.CATEGORICAL:
                dimensions.append(Categorical(list(f.list), name=p.name))
            elif p.type is ParameterType.DISCRETE:
                dimensions.append(Integer(0, len(f.list) - 1, name=p.name))
            elif steps is not None:
                dimensions.append(Integer(0, len(steps) - 1, name=p.name))
            elif p.type is ParameterType.INT:
                dimensions.append(Integer(int(f.min), int(f.max), prior=prior, name=p.name))
            else:
                dimensions.append(Real(float(f.min), float(f.max), prior=prior, name=p.name))
        self._optimizer = Optimizer(dimensions, base_estimator="GP", random_state=seed)

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        points = [self._optimizer.ask()] if count == 1 else self._optimizer.ask(n_points=count)
        return [(point, self._values(point)) for point in points]

    def _values(self, point: list[Any]) -> Values:
        values: dict[str, Any] = {}
        for p, at in zip(self._problem.parameters, point, strict=True):
            f, steps = p.feasible, levels(p)
            if p.type is ParameterType.CATEGORICAL:
                values[p.name] = str(at)
            elif p.type is ParameterType.DISCRETE:
                values[p.name] = float(f.list[int(at)])
            elif steps is not None:
                values[p.name] = int(steps[int(at)]) if p.type is ParameterType.INT else steps[int(at)]
            else:
                values[p.name] = int(at) if p.type is ParameterType.INT else float(at)
        return values

    def tell(self, handle: Any, value: float) -> None:
        self._optimizer.tell(handle, float(value))
