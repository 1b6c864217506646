"""Curves as losses: whichever way the study goes, less is better. NaN is worse than every number.

A loss has the place of its value in the curve; at which step it stands, or which place a step has, the curve knows.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TypeVar

from katib.domain.metrics import MetricStrategy
from katib.domain.study import Objective
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.base import Request
from katib.earlystopping.curve import Curve

T = TypeVar("T")


class Losses:
    """Those of a question's trials in one metric."""

    def __init__(self, request: Request, metric: str) -> None:
        self._request = request
        self._metric = metric
        spec = request.problem.spec
        self._sign = -1.0 if spec.optimization is Objective.MAXIMIZE else 1.0
        self._latest = spec.objective_strategy is MetricStrategy.LATEST

    def curve(self, trial: Trial) -> Curve:
        return self._request.curve(trial, self._metric)

    def of(self, trial: Trial) -> Sequence[float]:
        """One for each value that the trial has reported, NaN where that was none."""
        return self._request.once(
            trial,
            ("losses", self._metric, self._sign),
            lambda: tuple(self._sign * value for value in self.curve(trial).values),
        )

    def best(self, trial: Trial) -> Sequence[float]:
        """The least loss by each place, by the rules of `until_nan`; infinite before the first number."""
        return self.until_nan(trial, "best", best_so_far)

    def standing(self, trial: Trial) -> Sequence[float]:
        """What the trial would have come to, had it ended at each place: the objective by the study's strategy, by the rules of
        `until_nan`; infinite before the first number."""
        return self.until_nan(trial, "latest", latest_so_far) if self._latest else self.best(trial)

    def until_nan(
        self, trial: Trial, key: Hashable, make: Callable[[Sequence[float]], Sequence[float]]
    ) -> Sequence[float]:
        """`make` of the trial's losses, one for each, which passes over NaN; but where the latest value counts infinite behind
        the last number. A single NaN there may be a gap while the trial runs."""
        if not self._latest:
            return self.derived(trial, key, make)
        gap = 0 if trial.state.finished else 1

        def made(losses: Sequence[float]) -> Sequence[float]:
            numbers = len(losses)
            while numbers and math.isnan(losses[numbers - 1]):
                numbers -= 1
            rest = len(losses) - numbers
            return (*make(losses)[:numbers], *[math.inf] * rest) if rest > gap else make(losses)

        return self.derived(trial, ("until nan", key), made)

    def derived(self, trial: Trial, key: Hashable, make: Callable[[Sequence[float]], T]) -> T:
        """`make` of the trial's losses, by the rules of `Request.once`."""
        return self._request.once(trial, (key, self._metric, self._sign), lambda: make(self.of(trial)))

    def shown(self, loss: float, trial: Trial | None = None) -> str:
        """The value of the metric that is this loss, for a message; what only stands for NaN in what is derived of the trial's
        losses is that."""
        if trial is not None and loss == math.inf and loss not in self.of(trial):
            return "nan"
        return f"{self._sign * loss:.4g}"


def best_so_far(losses: Sequence[float]) -> tuple[float, ...]:
    return tuple(accumulate((math.inf if math.isnan(loss) else loss for loss in losses), min))


def latest_so_far(losses: Sequence[float]) -> tuple[float, ...]:
    return tuple(accumulate(losses, lambda last, loss: last if math.isnan(loss) else loss, initial=math.inf))[1:]


def comparable(trials: Sequence[Trial]) -> Iterator[Trial]:
    """The trials whose curves say what a trial comes to: those that run, the COMPLETED, and the KILLED that a rule stopped.
    What a user killed or what failed says nothing."""
    for trial in trials:
        stopped = trial.state is TrialState.KILLED and trial.reason == TrialReason.EARLY_STOPPED
        if stopped or trial.state in (TrialState.COMPLETED, TrialState.RUNNING):
            yield trial


def compared_at(trial: Trial, curve: Curve, step: int) -> int | None:
    """At which place of its curve a trial is compared with one at `step`: where it was at that step; a COMPLETED one that was
    shorter at its last. None: it did not get so far, and might have become better, or had no value yet."""
    if curve.last_step >= step:
        return curve.index(step)
    return len(curve) - 1 if curve and trial.state is TrialState.COMPLETED else None


def stopped(trial: Trial, why: str) -> Trial:
    """What a rule returns for a trial that should stop."""
    return replace(trial, message=why)
