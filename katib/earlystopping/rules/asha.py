"""Asynchronous successive halving as a stopping rule.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020; first as arXiv:1810.05934, 2018). The rungs are
at r, r·eta, r·eta^2, ... steps. Where the paper promotes the best 1/eta of a rung from
paused trials, here those that are not among them are stopped and the others just go on, so nothing is ever paused, resumed or
waited for.

A trial is judged by the highest rung that it has reached, and as long as it is between this one and the next by all that is
known of that rung by then: the trial that came first, and had nobody to be compared with, is not let through for that.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Final

from katib.domain.settings import Options, real, whole
from katib.domain.trial import Trial
from katib.earlystopping.base import CHECK_INTERVAL, Problem, Request
from katib.earlystopping.losses import Losses, comparable, compared_at, stopped

ETA: Final = real(
    "Eta", 3.0, "One in so many of a rung goes on to the next, at so many times the steps.", least=1.5, most=1000.0,
    default_text="3",
)  # fmt: skip
MIN_RESOURCE: Final = whole(
    "MinResource",
    5,
    "Steps before the first rung: no trial is stopped earlier.",
    least=1,
)
MIN_TRIALS_REQUIRED: Final = whole(
    "MinTrialsRequired",
    None,
    "Trials that must have reached a rung, below which none is stopped there.",
    least=2,
    default_text="Eta, rounded up",
)


class Asha:
    """Trials that failed or that a user killed are not counted, as if they had never been: nothing waits for them. A trial's
    value at a rung is what its objective would be had it ended there: by the study's strategy its latest value or its best. A
    curve that turns, as of a model that learns its data by heart, is then ranked by where it goes. Equal ones go on together.
    """

    name = "asha"
    options = Options(name, (ETA, MIN_RESOURCE, MIN_TRIALS_REQUIRED, CHECK_INTERVAL))

    def check(self, problem: Problem) -> None:
        pass

    def metrics(self, problem: Problem) -> Sequence[str]:
        return (problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        eta, least_step = request.problem.values[ETA], request.problem.values[MIN_RESOURCE]
        least = request.problem.values[MIN_TRIALS_REQUIRED] or math.ceil(eta)
        losses = Losses(request, request.problem.spec.objective_name)
        curves = [(t, losses.curve(t), losses.standing(t)) for t in comparable([*request.finished, *request.running])]

        @cache
        def bound(rung: int) -> tuple[float, int, int]:
            """The worst loss at the rung that goes on; of how many trials there; and how many these may be."""
            there = sorted(
                standing[at] for t, curve, standing in curves if (at := compared_at(t, curve, rung)) is not None
            )
            go_on = max(1, int(len(there) / eta))
            return (there[go_on - 1] if len(there) >= least else math.inf), len(there), go_on

        found = []
        for trial in request.running:
            curve = losses.curve(trial)
            rung = _rung(curve.last_step, least_step, eta)
            # One that began to report behind the rung has nothing to be compared by there.
            at = None if rung is None else curve.index(rung)
            if rung is None or at is None:
                continue
            limit, count, go_on = bound(rung)
            loss = losses.standing(trial)[at]
            if loss > limit:
                why = (
                    f"at step {rung} it had {losses.shown(loss, trial)}, and of {count} trials the best {go_on} have "
                    f"{losses.shown(limit)} or better"
                )
                found.append(stopped(trial, why))
        return found


def _rung(steps: int, least: int, eta: float) -> int | None:
    """The highest rung within so many steps: the whole number that is reached first where least·eta^k is none."""
    rung = None
    at = float(least)
    while math.ceil(at - 1e-9) <= steps:
        rung = math.ceil(at - 1e-9)
        at *= eta
    return rung
