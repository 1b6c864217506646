"""What results are worth, and how sure that is.

A search's score at a budget is 0 where it found what the median random search finds with as many trials, 1 where it found the
best there is; in between linear, and cut off at -1. A contestant's score on a suite is the mean over problems of the mean over
seeds. Its interval, of 95 %, is a bootstrap over the seeds of each problem: what other seeds would give on these problems. It
says nothing of other problems.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.problems import Problem
from benchmarks.quality.runner import REFERENCE, Row

Floats = NDArray[np.float64]
RESAMPLED = 1000


def score(problem: Problem, medians: Iterable[float], best: Iterable[float]) -> list[float]:
    """At each budget, NaN beyond the search's end. Where the median random search finds the best itself: 1 for the best, else
    0."""
    out = []
    for median, value in zip_longest(medians, best, fillvalue=math.nan):
        gap = median - problem.best
        out.append(_scaled(median - value, gap) if gap > 0 else float(value <= problem.best))
    return out


def _scaled(gain: float, gap: float) -> float:
    return gain / gap if math.isnan(gain) else max(-1.0, gain / gap)


@dataclass(frozen=True)
class Standing:
    """A contestant's row of a suite's table, a number for each budget, NaN where it has none. `rank`: the mean over problems of
    its place by the mean over seeds among the contestants, 1 the first. `cpu`: seconds of processor for one search, on
    average."""

    contestant: str
    problems: int
    searches: int
    score: Floats
    low: Floats
    high: Floats
    rank: Floats
    cpu: float


def standings(rows: Iterable[Row], problems: Mapping[str, Problem], batch: int = 1) -> list[Standing]:
    """The best at the last budget first. Only contestants that have results for every problem that any has are listed, and only
    problems that have their reference."""
    rows = list(rows)
    medians = {r["problem"]: r["best"] for r in rows if r["contestant"] == REFERENCE}
    scores: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    cpu: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        problem = problems.get(str(row["problem"]))
        if problem is None or problem.name not in medians or row["batch"] != batch or row["contestant"] == REFERENCE:
            continue
        scores[row["contestant"]][problem.name].append(score(problem, medians[problem.name], row["best"]))
        if "cpu" in row:
            cpu[row["contestant"]].append(float(row["cpu"]))
    names = sorted({p for by in scores.values() for p in by})
    whole = {c: [np.array(by[n]) for n in names] for c, by in scores.items() if set(by) == set(names)}
    if not whole:
        return []
    means = np.array([[s.mean(axis=0) for s in each] for each in whole.values()])  # (contestants, problems, budgets)
    ranks = _ranks(means).mean(axis=1)
    out = []
    for i, (name, each) in enumerate(whole.items()):
        low, high = _interval(each)
        total = sum(map(len, each))
        cost = float(np.mean(cpu[name])) if cpu[name] else float("nan")
        out.append(Standing(name, len(names), total, means[i].mean(axis=0), low, high, ranks[i], cost))
    return sorted(out, key=lambda s: -float(s.score[np.isfinite(s.score)][-1]))


def _ranks(means: Floats) -> Floats:
    """Along the first axis, the greatest is 1; equals share the mean of their places."""
    above = (means[None] > means[:, None]).sum(axis=1)
    equal = (means[None] == means[:, None]).sum(axis=1)
    return np.where(np.isnan(means), np.nan, 1.0 + above + (equal - 1) / 2.0)


def _interval(scores: list[Floats]) -> tuple[Floats, Floats]:
    """NaN where no problem has a second seed."""
    if max(map(len, scores)) < 2:
        nothing = np.full(scores[0].shape[1], np.nan)
        return nothing, nothing
    rng = np.random.default_rng(1)
    draws: list[Any] = [
        np.mean([s[rng.integers(len(s), size=len(s))].mean(axis=0) for s in scores], axis=0) for _ in range(RESAMPLED)
    ]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high
