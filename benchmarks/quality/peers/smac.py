"""SMAC3: random forests (its facade for hyperparameters) or a Gaussian process (its black-box facade), by ask and tell. Numbers
with steps are shown to it by their places: it has no steps. Lists of numbers are ordinals, which it has."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.quality.peers.base import Contestant, levels
from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterConfig, ParameterType, Scale

# More than a search here ever has: its initial design, at most a quarter of them, must not depend on where a search ends.
TRIALS = 100


class Smac:
    def __init__(self, problem: Problem, seed: int, facade: str) -> None:
        import smac
        from ConfigSpace import ConfigurationSpace

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        self._problem = problem
        self._folder = tempfile.TemporaryDirectory(prefix="quality-smac-")
        space = ConfigurationSpace(seed=seed)
        space.add([_shown(p) for p in problem.parameters])
        scenario = smac.Scenario(
            space, deterministic=True, n_trials=TRIALS, seed=seed, output_directory=Path(self._folder.name)
        )
        self._facade = getattr(smac, facade)(scenario, _never, overwrite=True, logging_level=False)

    def ask(self, count: int) -> list[tuple[Any, Values]]:
        asked = [self._facade.ask() for _ in range(count)]
        return [(info, self._values(dict(info.config))) for info in asked]

    def _values(self, point: dict[str, Any]) -> Values:
        values: dict[str, Any] = {}
        for p in self._problem.parameters:
            at, steps = point[p.name], levels(p)
            if p.type is ParameterType.CATEGORICAL:
                values[p.name] = str(at)
            elif steps is not None:
                values[p.name] = int(steps[int(at)]) if p.type is ParameterType.INT else steps[int(at)]
            else:
                values[p.name] = int(at) if p.type is ParameterType.INT else float(at)
        return values

    def tell(self, handle: Any, value: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._facade.tell(handle, TrialValue(cost=float(value)), save=False)


def _never(config: Any, seed: int = 0) -> float:
    raise AssertionError(f"SMAC3 was asked for trials and ran one itself, seed {seed}: {config}")


def _shown(p: ParameterConfig) -> Any:
    from ConfigSpace import Categorical, Float, Integer, OrdinalHyperparameter

    f, steps = p.feasible, levels(p)
    log = f.scale is Scale.LOG
    if p.type is ParameterType.CATEGORICAL:
        return Categorical(p.name, list(f.list))
    if p.type is ParameterType.DISCRETE:
        return OrdinalHyperparameter(p.name, sorted(float(v) for v in f.list))
    if steps is not None:
        return Integer(p.name, (0, len(steps) - 1))
    if p.type is ParameterType.INT:
        return Integer(p.name, (int(f.min), int(f.max)), log=log)
    return Float(p.name, (float(f.min), float(f.max)), log=log)


def facade(name: str) -> Callable[[Problem, int], Contestant]:
    return lambda problem, seed: Smac(problem, seed, name)
