"""HEBO. Numbers with steps are shown to it by their places where it has no such type; lists of numbers as categories."""

import warnings
from typing import Any

from benchmarks.quality.peers.base import levels, listed
from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Hebo:
    def __init__(self, problem: Problem, seed: int) -> None:
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        warnings.simplefilter("ignore")
        self._problem = problem
        specs: list[dict[str, Any]] = []
        for p in problem.parameters:
            f, steps, values = p.feasible, levels(p), listed(p)
            log = f.scale is Scale.LOG
            if values is not None:
                specs.append({"name": p.name, "type": "cat", "categories": values})
            elif steps is not None:
                specs.append({"name": p.name, "type": "int", "lb": 0, "ub": len(steps) - 1})
            elif p.type is ParameterType.INT:
                kind = "pow_int" if log else "int"
                specs.append({"name": p.name, "type": kind, "lb": int(f.min), "ub": int(f.max)})
            else:
                specs.append({"name": p.name, "type": "pow" if log else "num", "lb": float(f.min), "ub": float(f.max)})
        self._optimizer = HEBO(DesignSpace().parse(specs), scramble_seed=seed)

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        asked = self._optimizer.suggest(n_suggestions=count)
        return [(asked.iloc[[i]], self._values(asked.iloc[i].to_dict())) for i in range(len(asked))]

    def _values(self, point: dict[str, Any]) -> Values:
        values: dict[str, Any] = {}
        for p in self._problem.parameters:
            at, steps = point[p.name], levels(p)
            if p.type is ParameterType.CATEGORICAL:
                values[p.name] = str(at)
            elif steps is not None:
                values[p.name] = int(steps[int(at)]) if p.type is ParameterType.INT else steps[int(at)]
            else:
                values[p.name] = round(at) if p.type is ParameterType.INT else float(at)
        return values

    def tell(self, handle: Any, value: float) -> None:
        import numpy as np

        self._optimizer.observe(handle, np.array([[float(value)]]))
