"""The median stopping rule.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), section 3.2.2: a running trial is stopped
at step s when its best value by step s is strictly worse than the median of the running averages, up to step s, of all
completed trials.
"""

import math
from collections.abc import Sequence
from functools import cache, partial
from statistics import median_high, median_low
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.settings import Options, real, whole, words
from katib.domain.trial import Trial
from katib.earlystopping.base import CHECK_INTERVAL, SETTINGS_PATH, Problem, Request
from katib.earlystopping.losses import Losses, comparable, compared_at, stopped

LEAST_STEP: Final = whole("LeastStep", 20, "Steps that a trial must have come to before it may be stopped.", least=1)
EVAL_MARGIN: Final = real(
    "EvalMargin", 0.0, "By how much, in the metric's own unit, a trial must be worse than the median.", least=0.0
)
EVAL_METRICS: Final = words(
    "EvalMetrics",
    (),
    "Metrics to compare, all in the study's direction; a trial that is behind in any of them is stopped.",
    default_text="the objective",
)
BURN_IN_PERIOD: Final = whole(
    "BurnInPeriod", 0, "First values of each finished trial to leave out of its average.", least=0
)
# The successors' rule has the same under the name min_trials_required, and the same default.
MIN_TRIALS_REQUIRED: Final = whole(
    "MinTrialsRequired", 3, "Finished trials with an average to compare, below which none is stopped.", least=1
)


class MedianStopping:
    """Which finished trials count: the COMPLETED ones, those shorter than s with all that they have; and the KILLED ones
    that a rule stopped, if they lasted to step s. In the paper's system a stopped trial becomes a completed one, and a
    median over survivors alone would rise with each trial stopped. What a user killed or what failed says nothing.

    NaN is worse than every number: a trial that has reported nothing else is stopped; a NaN among numbers is passed over.
    """

    name = "medianstopping"
    options = Options(
        name, (LEAST_STEP, EVAL_MARGIN, EVAL_METRICS, BURN_IN_PERIOD, MIN_TRIALS_REQUIRED, CHECK_INTERVAL)
    )

    def check(self, problem: Problem) -> None:
        spec = problem.spec
        unknown = [m for m in problem.values[EVAL_METRICS] if m not in spec.metric_names]
        # The settings of a 0.1 manager come without the study.
        if unknown and spec.objective_name:
            at = max(i for i, s in enumerate(spec.early_stopping_settings) if s.name == EVAL_METRICS.name)
            raise InvalidArgumentError.of(
                f"{SETTINGS_PATH}[{at}].value",
                ", ".join(unknown),
                f"expected metrics of the study for {EVAL_METRICS.name}: {', '.join(spec.metric_names)}",
            )

    def metrics(self, problem: Problem) -> Sequence[str]:
        return problem.values[EVAL_METRICS] or (problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        behind: dict[str, str] = {}
        for metric in self.metrics(request.problem):
            behind = _behind(request, metric) | behind
        return [stopped(trial, behind[trial.id]) for trial in request.running if trial.id in behind]


def _behind(request: Request, metric: str) -> dict[str, str]:
    """By id, the running trials that are behind in one metric, and why."""
    values = request.problem.values
    losses = Losses(request, metric)
    burn_in = values[BURN_IN_PERIOD]
    finished = [
        (trial, losses.until_nan(trial, ("average", burn_in), partial(_running_averages, burn_in)))
        for trial in comparable(request.finished)
    ]

    @cache
    def median_at(step: int) -> tuple[float, int]:
        """Of the averages, and of how many; infinite where they are too few."""
        averages = [
            average[at]
            for trial, average in finished
            if (at := compared_at(trial, losses.curve(trial), step)) is not None and at >= burn_in
        ]
        enough = len(averages) >= values[MIN_TRIALS_REQUIRED]
        return (_median(averages) if enough else math.inf), len(averages)

    found = {}
    for trial in request.running:
        best = losses.best(trial)
        step = losses.curve(trial).last_step
        if not best or step < values[LEAST_STEP]:
            continue
        median, others = median_at(step)
        # Nothing is greater than a median that is NaN.
        if best[-1] > median + values[EVAL_MARGIN]:
            found[trial.id] = (
                f"by step {step} its best {metric} is {losses.shown(best[-1], trial)}, and the median of the averages of "
                f"{others} trials {losses.shown(median)}"
            )
    return found


def _running_averages(burn_in: int, losses: Sequence[float]) -> list[float]:
    """After the burn-in, and NaN within it. Infinite where there has been no number yet, or infinities of both signs."""
    averages = [math.nan] * min(burn_in, len(losses))
    mean, count = math.nan, 0
    for loss in losses[burn_in:]:
        if not math.isnan(loss):
            count += 1
            if count == 1:
                mean = loss
            elif math.isfinite(loss) and math.isfinite(mean):
                # The mean of equal numbers is that number, to the last bit, and no sum overflows.
                mean += loss / count - mean / count
            else:
                mean += loss
        averages.append(math.inf if math.isnan(mean) else mean)
    return averages


def _median(values: Sequence[float]) -> float:
    """Of -inf and inf it is NaN."""
    low, high = median_low(values), median_high(values)
    return low if low == high else low / 2 + high / 2
