"""The median stopping rule.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), section 3.2.2: a running trial is stopped
at step s when its best value by step s is strictly worse than the median of the running averages, up to step s, of all
completed trials. A step is one value of the metric.
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import median_high, median_low
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import Observation
from katib.domain.settings import Options, real, whole, words
from katib.domain.study import Objective
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.base import CHECK_INTERVAL, SETTINGS_PATH, Problem, Request

LEAST_STEP: Final = whole("LeastStep", 20, "Values that a trial must have before it may be stopped.", least=1)
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

    def stop(self, request: Request) -> Sequence[Trial]:
        spec = request.problem.spec
        metrics = request.problem.values[EVAL_METRICS] or (spec.objective_name,)
        behind = {trial.id for metric in metrics for trial in _behind(request, metric)}
        return [trial for trial in request.running if trial.id in behind]


def _behind(request: Request, metric: str) -> list[Trial]:
    """The running trials that are behind in one metric."""
    values = request.problem.values
    sign = -1.0 if request.problem.spec.optimization is Objective.MAXIMIZE else 1.0
    losses = {trial_id: [sign * v for v in _values(curve, metric)] for trial_id, curve in request.curves.items()}
    finished = [
        _Average(t, losses[t.id], values[BURN_IN_PERIOD]) for t in request.finished if _counts(t) and losses.get(t.id)
    ]

    @cache
    def bound(step: int) -> float:
        """The loss beyond which a trial at this step is behind."""
        averages = [average for f in finished if (average := f.up_to(step)) is not None]
        enough = len(averages) >= values[MIN_TRIALS_REQUIRED]
        return _median(averages) + values[EVAL_MARGIN] if enough else math.inf

    # Nothing is greater than a median that is NaN.
    return [
        trial
        for trial in request.running
        if (curve := losses.get(trial.id, [])) and len(curve) >= values[LEAST_STEP] and _best(curve) > bound(len(curve))
    ]


def _values(curve: Sequence[Observation], metric: str) -> list[float]:
    return [o.value for o in curve if o.name == metric]


def _best(losses: Sequence[float]) -> float:
    return min((loss for loss in losses if not math.isnan(loss)), default=math.inf)


def _counts(trial: Trial) -> bool:
    stopped = trial.state is TrialState.KILLED and trial.reason == TrialReason.EARLY_STOPPED
    return stopped or trial.state is TrialState.COMPLETED


class _Average:
    """The running average of a finished trial's losses after the burn-in."""

    def __init__(self, trial: Trial, losses: Sequence[float], burn_in: int) -> None:
        self._cut_short = trial.state is not TrialState.COMPLETED
        self._steps = len(losses)
        self._burn_in = burn_in
        self._averages = _running_averages(losses[burn_in:])

    def up_to(self, step: int) -> float | None:
        """None: there is none to compare with at this step."""
        last = min(step, self._steps) - self._burn_in
        if last <= 0 or (self._cut_short and self._steps < step):
            return None
        average = self._averages[last - 1]
        return math.inf if math.isnan(average) else average


def _running_averages(losses: Sequence[float]) -> list[float]:
    """NaN where there has been no number yet, or infinities of both signs."""
    averages = []
    mean, count = math.nan, 0
    for loss in losses:
        if not math.isnan(loss):
            count += 1
            if count == 1:
                mean = loss
            elif math.isfinite(loss) and math.isfinite(mean):
                # The mean of equal numbers is that number, to the last bit, and no sum overflows.
                mean += loss / count - mean / count
            else:
                mean += loss
        averages.append(mean)
    return averages


def _median(values: Sequence[float]) -> float:
    """Of -inf and inf it is NaN."""
    low, high = median_low(values), median_high(values)
    return low if low == high else low / 2 + high / 2
