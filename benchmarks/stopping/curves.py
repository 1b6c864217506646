"""Learning curves as they are stored: a text file for each task, its first line what was measured, each further line one
model: its parameters and, behind a bar, one value of the metric for each epoch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from katib.domain.study import Objective

FOLDER = Path(__file__).with_name("recorded")


@dataclass(frozen=True)
class Model:
    """`values`: one for each epoch; NaN from where its training failed."""

    parameters: Mapping[str, Any]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    name: str
    metric: str
    objective: Objective
    models: tuple[Model, ...]

    @property
    def epochs(self) -> int:
        return len(self.models[0].values)


def write(task: Task) -> None:
    lines = [f"{task.objective.value} {task.metric}"]
    lines += [f"{json.dumps(m.parameters)} | {' '.join(f'{v:.4g}' for v in m.values)}" for m in task.models]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{task.name}.txt").write_text("\n".join(lines) + "\n")


def read(name: str) -> Task:
    first, *lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    objective, metric = first.split()
    models = []
    for line in lines:
        parameters, _, values = line.partition(" | ")
        models.append(Model(json.loads(parameters), tuple(float(v) for v in values.split())))
    return Task(name, metric, Objective(objective), tuple(models))


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.txt"))
