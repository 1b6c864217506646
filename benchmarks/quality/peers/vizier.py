"""Google's Vizier, the open one: its default Gaussian-process bandit, in process."""

import logging
import warnings
from typing import Any

from benchmarks.quality.peers.base import levels
from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterType, Scale


class Vizier:
    def __init__(self, problem: Problem, seed: int) -> None:
        import jax
        from vizier import pyvizier as vz
        from vizier.algorithms import designers

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        self._vz = vz
        self._problem = problem
        self._count = 0
        self._running: dict[int, Any] = {}
        statement = vz.ProblemStatement()
        root = statement.search_space.root
        for p in problem.parameters:
            f, steps = p.feasible, levels(p)
            scale = vz.ScaleType.LOG if f.scale is Scale.LOG else vz.ScaleType.LINEAR
            if p.type is ParameterType.CATEGORICAL:
                root.add_categorical_param(p.name, list(f.list))
            elif p.type is ParameterType.DISCRETE:
                root.add_discrete_param(p.name, [float(v) for v in f.list])
            elif steps is not None:
                root.add_discrete_param(p.name, steps)
            elif p.type is ParameterType.INT:
                root.add_int_param(p.name, int(f.min), int(f.max), scale_type=scale)
            else:
                root.add_float_param(p.name, float(f.min), float(f.max), scale_type=scale)
        statement.metric_information.append(vz.MetricInformation(name="loss", goal=vz.ObjectiveMetricGoal.MINIMIZE))
        self._designer = designers.VizierGPUCBPEBandit(statement, rng=jax.random.PRNGKey(seed))

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        asked = []
        for suggestion in self._designer.suggest(count):
            self._count += 1
            trial = suggestion.to_trial(self._count)
            asked.append((trial, self._values(trial.parameters.as_dict())))
        self._running.update({trial.id: trial for trial, _ in asked})
        return asked

    def _values(self, point: dict[str, Any]) -> Values:
        kinds: dict[ParameterType, Any] = {ParameterType.INT: round, ParameterType.CATEGORICAL: str}
        return {p.name: kinds.get(p.type, float)(point[p.name]) for p in self._problem.parameters}

    def tell(self, handle: Any, value: float) -> None:
        from vizier import algorithms as vza

        handle.complete(self._vz.Measurement(metrics={"loss": float(value)}))
        del self._running[handle.id]
        self._designer.update(vza.CompletedTrials([handle]), vza.ActiveTrials(list(self._running.values())))
