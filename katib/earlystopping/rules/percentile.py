"""A trial goes on as long as it is among the best share of those that have got as far.

The median rule's sibling: best value so far against the best values so far of the others, and the share that goes on is a
setting. Trials that were stopped, and those that run, count as far as they got, since a percentile of survivors alone would
rise with each trial stopped.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Final

from katib.domain.settings import Options, real, whole
from katib.domain.trial import Trial
from katib.earlystopping.base import CHECK_INTERVAL, Problem, Request
from katib.earlystopping.losses import Losses, comparable, compared_at, stopped

PERCENTILE: Final = real(
    "Percentile",
    50.0,
    "The share of trials that go on, in percent: 25 are the best quarter, 50 all that are better than the median.",
    above=0.0,
    most=99.0,
    default_text="50",
)
LEAST_STEP: Final = whole("LeastStep", 5, "Steps that a trial must have come to before it may be stopped.", least=1)
MIN_TRIALS_REQUIRED: Final = whole(
    "MinTrialsRequired", 5, "Other trials that must have got as far, below which none is stopped.", least=1
)


class Percentile:
    name = "percentile"
    options = Options(name, (PERCENTILE, LEAST_STEP, MIN_TRIALS_REQUIRED, CHECK_INTERVAL))

    def check(self, problem: Problem) -> None:
        pass

    def metrics(self, problem: Problem) -> Sequence[str]:
        return (problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        values = request.problem.values
        losses = Losses(request, request.problem.spec.objective_name)
        curves = [(t, losses.curve(t), losses.best(t)) for t in comparable([*request.finished, *request.running])]
        share = values[PERCENTILE] / 100

        @cache
        def bound(step: int) -> tuple[float, int]:
            """The loss beyond which a trial at this step is behind, and among how many trials. Its own is one of them."""
            there = [best[at] for t, curve, best in curves if (at := compared_at(t, curve, step)) is not None]
            # The others and the trial itself.
            enough = len(there) > values[MIN_TRIALS_REQUIRED]
            return (_quantile(sorted(there), share) if enough else math.inf), len(there)

        found = []
        for trial in request.running:
            best = losses.best(trial)
            step = losses.curve(trial).last_step
            if not best or step < values[LEAST_STEP]:
                continue
            limit, count = bound(step)
            if best[-1] > limit:
                why = (
                    f"by step {step} its best is {losses.shown(best[-1], trial)}, and the best {values[PERCENTILE]:g} % of "
                    f"{count} trials have {losses.shown(limit)} or better"
                )
                found.append(stopped(trial, why))
        return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    """With the values between two neighbours on a line, as everybody's default is; of two infinities the worse."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    rest = place - low
    if rest == 0 or ordered[low] == ordered[low + 1]:
        return ordered[low]
    if not (math.isfinite(ordered[low]) and math.isfinite(ordered[low + 1])):
        return ordered[low + 1]
    return ordered[low] * (1 - rest) + ordered[low + 1] * rest
