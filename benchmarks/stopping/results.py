"""What the runs of a contestant come to, with 95 % intervals from resampled studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLED = 4000
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Result:
    """By task and seed: the share of steps saved, and the regret."""

    saved: Numbers
    regret: Numbers


@dataclass(frozen=True)
class Pair:
    """The same studies with a rule of ours and with Optuna's pruner."""

    ours: Result
    theirs: Result


@dataclass(frozen=True)
class Estimate:
    mean: float
    low: float
    high: float


def estimate(values: Numbers) -> Estimate:
    """The mean over tasks, which are the same ones again each time, of the means over studies, which are drawn again."""
    rng = np.random.default_rng(1)
    tasks, seeds = values.shape
    drawn = rng.integers(seeds, size=(RESAMPLED, tasks, seeds))
    means = np.take_along_axis(values[None], drawn, axis=2).mean(axis=(1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def table(pairs: Mapping[tuple[str, str], Pair]) -> str:
    lines = [
        "| | rule of Katib | steps saved | regret | Optuna's pruner | steps saved | regret | regret less Optuna's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, ((our, their), pair) in enumerate(pairs.items(), 1):
        cells = [
            str(number),
            our,
            _percent(estimate(pair.ours.saved)),
            _number(estimate(pair.ours.regret)),
            their,
            _percent(estimate(pair.theirs.saved)),
            _number(estimate(pair.theirs.regret)),
            _number(estimate(pair.ours.regret - pair.theirs.regret)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_task(pairs: Mapping[tuple[str, str], Pair], tasks: Sequence[str]) -> str:
    """Our rules on each task: the steps saved, and the regret."""
    lines = [f"| rule of Katib | {' | '.join(tasks)} |", f"| --- |{' --- |' * len(tasks)}"]
    for (our, _), pair in pairs.items():
        means = zip(pair.ours.saved.mean(axis=1), pair.ours.regret.mean(axis=1), strict=True)
        lines.append(
            f"| {our} | {' | '.join(f'{saved:.0%}, {regret:.3f}' for saved, regret in means)} |".replace("%", " %")
        )
    return "\n".join(lines)


def _percent(it: Estimate) -> str:
    return f"{it.mean:.1%} ±{(it.high - it.low) / 2:.1%}".replace("%", " %")


def _number(it: Estimate) -> str:
    return f"{it.mean:.3f} ({it.low:.3f} to {it.high:.3f})"
