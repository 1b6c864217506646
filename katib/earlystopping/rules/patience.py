"""A trial is stopped when it has not become better for so many values, and another one has come to more.

The first half is what Prechelt, "Early Stopping - But When?" (1998) and training frameworks since mean by patience. The second
keeps the study's best: only a COMPLETED trial can be that, so the best one is let run to its end.
"""

import math
from collections.abc import Sequence
from typing import Final

from katib.domain.metrics import fold_objective
from katib.domain.settings import Options, real, whole
from katib.domain.study import Objective
from katib.domain.trial import Trial, TrialState
from katib.earlystopping.base import CHECK_INTERVAL, Problem, Request
from katib.earlystopping.losses import Losses, stopped

PATIENCE: Final = whole("Patience", 10, "Values in a row without one that is better than all before.", least=1)
MIN_DELTA: Final = real(
    "MinDelta", 0.0, "By how much, in the metric's own unit, a value must be better to count as that.", least=0.0,
    default_text="0: any improvement counts",
)  # fmt: skip
LEAST_STEP: Final = whole("LeastStep", 1, "Steps that a trial must have come to before it may be stopped.", least=1)


class Patience:
    """NaN is no improvement."""

    name = "patience"
    options = Options(name, (PATIENCE, MIN_DELTA, LEAST_STEP, CHECK_INTERVAL))

    def check(self, problem: Problem) -> None:
        pass

    def metrics(self, problem: Problem) -> Sequence[str]:
        return (problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        values = request.problem.values
        losses = Losses(request, request.problem.spec.objective_name)
        reached = min((_came_to(losses, request, t) for t in request.finished), default=math.inf)
        found = []
        for trial in request.running:
            of, best = losses.of(trial), losses.best(trial)
            if not best or losses.curve(trial).last_step < values[LEAST_STEP] or not best[-1] > reached:
                continue
            count = _last_improvement(of, values[MIN_DELTA])
            if len(of) - count >= values[PATIENCE]:
                why = (
                    f"it has not become better since value {count} of {len(of)}, and another trial came to "
                    f"{losses.shown(reached)}"
                )
                found.append(stopped(trial, why))
        return found


def _came_to(losses: Losses, request: Request, trial: Trial) -> float:
    """The loss that is a completed trial's objective."""
    if trial.state is not TrialState.COMPLETED:
        return math.inf
    spec = request.problem.spec
    sign = -1.0 if spec.optimization is Objective.MAXIMIZE else 1.0

    def final(curve: Sequence[float]) -> float:
        value = fold_objective(None, (sign * loss for loss in curve), spec.objective_strategy)
        return math.inf if value is None or math.isnan(value) else sign * value

    return losses.derived(trial, ("objective", spec.objective_strategy), final)


def _last_improvement(losses: Sequence[float], least: float) -> int:
    """The number of the last value that was better by more than `least` than the best one before; 0: none was a number."""
    best, at = math.inf, 0
    for number, loss in enumerate(losses, 1):
        # From infinity on every finite number is an improvement.
        if loss < best - least or (at == 0 and not math.isnan(loss)):
            best, at = loss, number
    return at
