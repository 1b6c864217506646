"""A trial is stopped when it would have to improve, to become the best, by more than others ever did from there on.

A predictive termination criterion as that of Domhan, Springenberg and Hutter, "Speeding up Automatic Hyperparameter
Optimization of Deep Neural Networks by Extrapolation of Learning Curves" (IJCAI 2015), and the performance curve rule of
Golovin et al., "Google Vizier" (KDD 2017): both stop a trial whose final value will hardly be the best one. They predict it by
a model of learning curves; here it is predicted by what the study itself has seen, with no assumption on the form of a curve.
At step s a COMPLETED trial j of T_j steps improved by g_j(s) = l_j(s) - l_j(T_j) in its loss until its end. A trial of loss
l(s) needs l(s) - min_j l_j(T_j), and is stopped if no more than the share `Chance` of all g_j(s), `Margin` times as large, are
that much.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Final

from katib.domain.settings import Options, real, whole
from katib.domain.trial import Trial, TrialState
from katib.earlystopping.base import CHECK_INTERVAL, Problem, Request
from katib.earlystopping.losses import Losses, stopped

CHANCE: Final = real(
    "Chance",
    0.05,
    "The share of completed trials that may have improved by as much as a trial needs that is stopped all the same.",
    least=0.0,
    most=0.5,
    default_text="0.05",
)
MARGIN: Final = real(
    "Margin",
    1.25,
    "The completed trials' improvements count so many times: more is more careful.",
    least=0.5,
    most=10.0,
    default_text="1.25",
)
MIN_TRIALS_REQUIRED: Final = whole(
    "MinTrialsRequired",
    8,
    "Completed trials that must have gone on from the step on, below which none is stopped there.",
    least=1,
)
LEAST_STEP: Final = whole("LeastStep", 1, "Steps that a trial must have come to before it may be stopped.", least=1)


class Predictive:
    """Only COMPLETED trials say how much can still come; of those stopped nobody knows. A trial's loss at a step is what its
    objective would be had it ended there, by the study's strategy. Where no trial went on for longer, none is stopped: what has
    come to its end saves nothing."""

    name = "predictive"
    options = Options(name, (CHANCE, MARGIN, MIN_TRIALS_REQUIRED, LEAST_STEP, CHECK_INTERVAL))

    def check(self, problem: Problem) -> None:
        pass

    def metrics(self, problem: Problem) -> Sequence[str]:
        return (problem.spec.objective_name,)

    def stop(self, request: Request) -> Sequence[Trial]:
        values = request.problem.values
        losses = Losses(request, request.problem.spec.objective_name)
        completed = [(losses.curve(t), losses.standing(t)) for t in request.finished if t.state is TrialState.COMPLETED]
        best = min((standing[-1] for _, standing in completed if standing), default=math.inf)

        @cache
        def improvements(step: int) -> list[float]:
            """What the completed trials that went on from this step on came to improve, the most first."""
            found = [
                _improvement(standing[at], standing[-1])
                for curve, standing in completed
                if curve.last_step > step and (at := curve.index(step)) is not None
            ]
            return sorted(found, reverse=True)

        found = []
        for trial in request.running:
            standing = losses.standing(trial)
            step = losses.curve(trial).last_step
            if not standing or step < values[LEAST_STEP]:
                continue
            seen = improvements(step)
            if len(seen) < values[MIN_TRIALS_REQUIRED]:
                continue
            passed_over = int(values[CHANCE] * len(seen))
            most = seen[passed_over]
            needed = standing[-1] - best
            if needed > values[MARGIN] * most:
                who = f"all but {passed_over}" if passed_over else "each"
                why = (
                    f"at step {step} it had {losses.shown(standing[-1], trial)}, {needed:.4g} behind the best, and {who} of "
                    f"{len(seen)} completed trials improved by {most:.4g} or less from there on"
                )
                found.append(stopped(trial, why))
        return found


def _improvement(now: float, final: float) -> float:
    """Not less than none: one that became worse could have ended here. Of two equal infinities none."""
    return 0.0 if now == final else max(0.0, now - final)
