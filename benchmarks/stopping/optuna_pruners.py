"""Optuna's pruners, each asked as its documentation says: after each reported value."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna  # type: ignore[import-not-found]

from benchmarks.stopping.curves import Task

Make = Callable[[], Any]


class Optuna:
    def __init__(self, task: Task, make: Make) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pruner = make()
        self._study = optuna.create_study(
            direction=task.objective.value, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        self._trials: dict[int, Any] = {}
        self._steps: dict[int, int] = {}
        self._latest: dict[int, float] = {}

    def begin(self, number: int) -> None:
        self._trials[number] = self._study.ask()
        self._steps[number] = 0

    def report(self, values: Sequence[tuple[int, float]]) -> set[int]:
        stop = set()
        for number, value in values:
            trial = self._trials[number]
            self._steps[number] += 1
            self._latest[number] = value
            trial.report(value, self._steps[number])
            with warnings.catch_warnings():
                # Of trials that have reported nothing but NaN.
                warnings.simplefilter("ignore", RuntimeWarning)
                if trial.should_prune():
                    stop.add(number)
        return stop

    def ended(self, number: int, stopped: bool) -> None:
        trial = self._trials.pop(number)
        if stopped:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif math.isnan(self._latest[number]):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, self._latest[number])
