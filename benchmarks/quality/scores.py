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
    its place by the mean over seeds among the contestants, 1 the first; its interval is a bootstrap over everybody's seeds.
    `cpu`: seconds of processor for one search, on average."""

    contestant: str
    problems: int
    searches: int
    score: Floats
    low: Floats
    high: Floats
    rank: Floats
    rank_low: Floats
    rank_high: Floats
    cpu: float
    version: str = ""


def standings(rows: Iterable[Row], problems: Mapping[str, Problem], batch: int = 1) -> list[Standing]:
    """The best at the last budget first. Only contestants that have results for every problem that any has are listed, and only
    problems that have their reference."""
    rows = list(rows)
    cpu: dict[str, list[float]] = defaultdict(list)
    versions: dict[str, str] = {}
    for row in rows:
        if row["batch"] == batch and row["problem"] in problems:
            versions[row["contestant"]] = row.get("version", "")
            if "cpu" in row:
                cpu[row["contestant"]].append(float(row["cpu"]))
    by_seed = searches(rows, problems, batch)
    scores = {c: {p: list(each.values()) for p, each in by.items()} for c, by in by_seed.items()}
    names = sorted({p for by in scores.values() for p in by})
    whole = {c: [np.array(by[n]) for n in names] for c, by in scores.items() if set(by) == set(names)}
    if not whole:
        return []
    means = np.array([[s.mean(axis=0) for s in each] for each in whole.values()])  # (contestants, problems, budgets)
    ranks = _ranks(means).mean(axis=1)
    draws = _draws(list(whole.values()))
    ranks_drawn = _ranks_of(draws)
    out = []
    for i, (name, each) in enumerate(whole.items()):
        # Without a second seed of anything there is nothing to draw from.
        single = max(map(len, each)) < 2
        low, high = _interval(draws[:, i].mean(axis=1), single)
        rank_low, rank_high = _interval(ranks_drawn[:, i], single)
        total = sum(map(len, each))
        cost = float(np.mean(cpu[name])) if cpu[name] else float("nan")
        mean = means[i].mean(axis=0)
        version = versions.get(name, "")
        row = Standing(name, len(names), total, mean, low, high, ranks[i], rank_low, rank_high, cost, version)
        out.append(row)
    return sorted(out, key=lambda s: -float(s.score[np.isfinite(s.score)][-1]))


def searches(
    rows: Iterable[Row], problems: Mapping[str, Problem], batch: int
) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Scores by contestant, problem and seed, of the problems that have their reference."""
    rows = list(rows)
    medians = {r["problem"]: r["best"] for r in rows if r["contestant"] == REFERENCE}
    scores: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        problem = problems.get(str(row["problem"]))
        if problem is None or problem.name not in medians or row["batch"] != batch or row["contestant"] == REFERENCE:
            continue
        scores[row["contestant"]][problem.name][row["seed"]] = score(problem, medians[problem.name], row["best"])
    return scores


@dataclass(frozen=True)
class Difference:
    """How much more one way of searching found than another, at each budget, on average over `pairs` of searches of the same
    problem with the same seed. The interval is a bootstrap over the pairs: of other problems as much as of other seeds."""

    contestant: str
    pairs: int
    mean: Floats
    low: Floats
    high: Floats


def batch_differences(rows: Iterable[Row], problems: Mapping[str, Problem], batch: int) -> list[Difference]:
    """What trials in batches find more than trials one after the other, by contestant."""
    rows = list(rows)
    alone, together = (searches(rows, problems, b) for b in (1, batch))
    found = [difference(c, together[c], alone[c]) for c in sorted(set(together) & set(alone))]
    return [d for d in found if d is not None]


@dataclass(frozen=True)
class Versus:
    """How much more one contestant found than another on average over the problems that both have searched, each the mean over
    its seeds. The interval is a bootstrap over the seeds of either."""

    one: str
    other: str
    searches: tuple[int, int]
    mean: Floats
    low: Floats
    high: Floats


def versus(rows: Iterable[Row], problems: Mapping[str, Problem], one: str, other: str) -> Versus | None:
    """None: they have no problem in common."""
    found = searches(rows, problems, 1)
    both = sorted(set(found.get(one, {})) & set(found.get(other, {})))
    if not both:
        return None
    scores = [[np.array(list(found[name][problem].values())) for problem in both] for name in (one, other)]
    means = [np.mean([each.mean(axis=0) for each in by], axis=0) for by in scores]
    mine, theirs = _draws(scores).mean(axis=2).transpose(1, 0, 2)  # (draws, budgets) each
    interval = _interval(mine - theirs, single=max(len(each) for by in scores for each in by) < 2)
    count = tuple(sum(map(len, by)) for by in scores)
    return Versus(one, other, (count[0], count[1]), means[0] - means[1], *interval)


def difference(
    name: str, ours: Mapping[str, Mapping[int, list[float]]], others: Mapping[str, Mapping[int, list[float]]]
) -> Difference | None:
    """None: no search of the one has a partner among those of the other."""
    pairs = [
        np.array(scores) - np.array(others[problem][seed])
        for problem, by_seed in ours.items()
        for seed, scores in by_seed.items()
        if seed in others.get(problem, {})
    ]
    if not pairs:
        return None
    together = np.array(pairs)
    draws = together[np.random.default_rng(1).integers(len(pairs), size=(RESAMPLED, len(pairs)))].mean(axis=1)
    return Difference(name, len(pairs), together.mean(axis=0), *_interval(draws, single=len(pairs) < 2))


def _ranks(means: Floats) -> Floats:
    """Along the first axis, the greatest is 1; equals share the mean of their places."""
    above = (means[None] > means[:, None]).sum(axis=1)
    equal = (means[None] == means[:, None]).sum(axis=1)
    return np.where(np.isnan(means), np.nan, 1.0 + above + (equal - 1) / 2.0)


def _ranks_of(draws: Floats) -> Floats:
    """(draws, contestants, problems, budgets) to mean ranks, (draws, contestants, budgets)."""
    return np.array([_ranks(draw).mean(axis=1) for draw in draws])


def _draws(scores: list[list[Floats]]) -> Floats:
    """What other seeds would have given: (draws, contestants, problems, budgets)."""
    rng = np.random.default_rng(1)
    out = [[s[rng.integers(len(s), size=(RESAMPLED, len(s)))].mean(axis=1) for s in each] for each in scores]
    return np.array(out).transpose(2, 0, 1, 3)


def _interval(draws: Floats, single: bool) -> tuple[Floats, Floats]:
    """NaN where no problem has a second seed."""
    if single:
        nothing = np.full(draws.shape[1], np.nan)
        return nothing, nothing
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high
