"""Problems whose losses were computed beforehand: see `models`, `other_models` and `held_out_models`."""

import json
import math
from pathlib import Path
from typing import Any

from benchmarks.quality.problems import Problem, Values, categorical, whole
from katib.domain.parameters import FeasibleSpace, ParameterConfig, ParameterType

FOLDER = Path(__file__).parent / "tables"
OTHER = FOLDER / "other"
HELD_OUT = FOLDER / "held_out"


def problems(folder: Path = FOLDER) -> list[Problem]:
    return [_problem(path) for path in sorted(folder.glob("*.json"))]


def _problem(path: Path) -> Problem:
    table = json.loads(path.read_text())
    axes: dict[str, list[Any]] = table["axes"]
    losses: list[float] = table["losses"]
    places = {name: {value: i for i, value in enumerate(axis)} for name, axis in axes.items()}
    assert len(losses) == math.prod(map(len, axes.values())), path

    def value(values: Values) -> float:
        at = 0
        for name, axis in axes.items():
            at = at * len(axis) + places[name][values[name]]
        return losses[at]

    return Problem(path.stem, "models", tuple(_parameter(n, a) for n, a in axes.items()), value, min(losses))


def _parameter(name: str, axis: list[Any]) -> ParameterConfig:
    if isinstance(axis[0], str):
        return categorical(name, *axis)
    step = axis[1] - axis[0]
    if step == 1:
        return whole(name, axis[0], axis[-1])
    return ParameterConfig(name, ParameterType.INT, FeasibleSpace(str(axis[0]), str(axis[-1]), (), str(step)))
