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
        self._sign = -1.0 if request.problem.spec.optimization is Objective.MAXIMIZE else 1.0

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
        """The least loss by each place, NaN passed over; infinite before the first number."""
        return self.derived(trial, "best", best_so_far)

    def standing(self, trial: Trial) -> Sequence[float]:
        """What the trial would have come to, had it ended at each place: the objective by the study's strategy; infinite before
        the first number, and where the latest value counts also behind the last one. NaN among numbers is passed over; so is a
        single one behind them while the trial runs, which may be a gap."""
        if self._request.problem.spec.objective_strategy is not MetricStrategy.LATEST:
            return self.best(trial)
        gap = 0 if trial.state.finished else 1
        return self.derived(trial, "latest", lambda losses: _latest(losses, gap))

    def derived(self, trial: Trial, key: Hashable, make: Callable[[Sequence[float]], T]) -> T:
        """`make` of the trial's losses, by the rules of `Request.once`."""
        return self._request.once(trial, (key, self._metric, self._sign), lambda: make(self.of(trial)))

    def shown(self, loss: float) -> str:
        """The value of the metric that is this loss, for a message."""
        return f"{self._sign * loss:.4g}"


def best_so_far(losses: Sequence[float]) -> tuple[float, ...]:
    return tuple(accumulate((math.inf if math.isnan(loss) else loss for loss in losses), min))


def _latest(losses: Sequence[float], gap: int) -> tuple[float, ...]:
    filled = list(accumulate(losses, lambda last, loss: last if math.isnan(loss) else loss, initial=math.inf))[1:]
    numbers = len(losses)
    while numbers and math.isnan(losses[numbers - 1]):
        numbers -= 1
    if len(losses) - numbers > gap:
        filled[numbers:] = [math.inf] * (len(losses) - numbers)
    return tuple(filled)


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
