"""A trial is stopped when a metric leaves the bounds that its user has set: a loss that explodes, an accuracy that after ten
epochs is no better than guessing, NaN."""

import math
from collections.abc import Sequence
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.settings import Option, Options, real, whole
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.earlystopping.base import CHECK_INTERVAL, SETTINGS_PATH, Problem, Request
from katib.earlystopping.curve import Curve
from katib.earlystopping.losses import stopped

LOWER: Final = real("Lower", None, "A value less than this is out of bounds.", default_text="none")
UPPER: Final = real("Upper", None, "A value greater than this is out of bounds, as NaN always is.", default_text="none")
METRIC: Final[Option[str]] = Option(
    "Metric", "The metric that has the bounds.", "the name of a metric of the study", lambda t: t or None, "", "the objective"
)  # fmt: skip
LEAST_STEP: Final = whole("LeastStep", 1, "The first step that counts; values before it may be anything.", least=1)
IN_A_ROW: Final = whole("InARow", 1, "Values in a row that must be out of bounds: more than 1 forgives noise.", least=1)


class Threshold:
    """It looks at nothing but the trial itself. Whatever was out of bounds counts, also where the latest value is back within
    them: what is decided does not depend on when the question comes."""

    name = "threshold"
    options = Options(name, (LOWER, UPPER, METRIC, LEAST_STEP, IN_A_ROW, CHECK_INTERVAL))

    def check(self, problem: Problem) -> None:
        spec, values = problem.spec, problem.values
        lower, upper = values[LOWER], values[UPPER]
        if lower is None and upper is None:
            raise InvalidArgumentError.of(
                SETTINGS_PATH, "", f"expected {LOWER.name}, {UPPER.name} or both for threshold"
            )
        if lower is not None and upper is not None and lower > upper:
            raise _refusal(
                spec, UPPER, f"expected a number from {lower:g}, the value of {LOWER.name}, on for {UPPER.name}"
            )
        # The settings of a 0.1 manager come without the study.
        if values[METRIC] and spec.objective_name and values[METRIC] not in spec.metric_names:
            raise _refusal(
                spec, METRIC, f"expected a metric of the study for {METRIC.name}: {', '.join(spec.metric_names)}"
            )

    def metrics(self, problem: Problem) -> Sequence[str]:
        return (problem.values[METRIC] or problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        (metric,) = self.metrics(request.problem)
        found = []
        for trial in request.running:
            curve = request.curve(trial, metric)
            at = _out_of_bounds(curve, request.problem)
            if at is not None:
                found.append(
                    stopped(trial, f"{metric} was {curve.values[at]:.4g} at step {curve.step(at)}, out of bounds")
                )
        return found


def _out_of_bounds(curve: Curve, problem: Problem) -> int | None:
    """The place at which there were enough in a row."""
    lower, upper = problem.values[LOWER], problem.values[UPPER]
    low = -math.inf if lower is None else lower
    high = math.inf if upper is None else upper
    row = 0
    for at, value in enumerate(curve.values):
        if curve.step(at) < problem.values[LEAST_STEP]:
            continue
        row = 0 if low <= value <= high else row + 1
        if row == problem.values[IN_A_ROW]:
            return at
    return None


def _refusal(spec: StudySpec, option: Option[object], expected: str) -> InvalidArgumentError:
    at = max(i for i, s in enumerate(spec.early_stopping_settings) if s.name == option.name)
    return InvalidArgumentError.of(f"{SETTINGS_PATH}[{at}].value", spec.early_stopping_settings[at].value, expected)
