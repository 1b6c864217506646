"""Studies over recorded curves: what a rule would have stopped, what that saves, and what it costs.

A study draws models at random and trains several at a time; each epoch of a trial costs one step. After each epoch of those
that run the contestant says which of them to stop. A trial that is stopped is no candidate for the study's best: that is the
best final value among those that ran to their end, as in Katib and in Optuna.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from benchmarks.stopping.curves import Task
from katib.domain.study import Objective

TRIALS = 60
PARALLEL = 4


class Contestant(Protocol):
    """One study's."""

    def begin(self, number: int) -> None: ...

    def report(self, values: Sequence[tuple[int, float]]) -> set[int]:
        """One new value of each running trial; which of them to stop now."""

    def ended(self, number: int, stopped: bool) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """`steps`: the share of all epochs that were trained. `regret`: by how much the study's best final value is worse than it
    would be had every trial run to its end, in distances between the task's best and median model."""

    steps: float
    regret: float


def simulate(task: Task, seed: int, contestant: Contestant, trials: int = TRIALS, parallel: int = PARALLEL) -> Outcome:
    models = Random(f"{task.name} {seed}").sample(task.models, trials)
    waiting = list(range(trials))[::-1]
    steps: dict[int, int] = {}
    finals: list[float] = []
    spent = 0
    while waiting or steps:
        while waiting and len(steps) < parallel:
            number = waiting.pop()
            steps[number] = 0
            contestant.begin(number)
        for number in steps:
            steps[number] += 1
        spent += len(steps)
        done = {n for n, step in steps.items() if step == task.epochs}
        stop = contestant.report([(n, models[n].values[step - 1]) for n, step in steps.items()])
        for number in done | stop:
            # Stopping a trial that has just come to its end stops nothing.
            contestant.ended(number, number not in done)
            if number in done:
                finals.append(_loss(task, models[number].values[-1]))
            del steps[number]
    best = min(_loss(task, m.values[-1]) for m in models)
    return Outcome(spent / (trials * task.epochs), (min(finals, default=math.inf) - best) / _scale(task))


def _loss(task: Task, value: float) -> float:
    """NaN is worse than every number."""
    if math.isnan(value):
        return math.inf
    return -value if task.objective is Objective.MAXIMIZE else value


def _scale(task: Task) -> float:
    finals = sorted(_loss(task, m.values[-1]) for m in task.models)
    return finals[len(finals) // 2] - finals[0]
