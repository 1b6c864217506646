"""Searches of hundreds of trials, where scores of 0.99 and 0.9999 are far apart: how much is left to the best there is."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.quality.problems import Problem
from benchmarks.quality.runner import Row, append, current, is_as_it_is, key, read, run_one

BUDGETS = (200, 300, 400, 500, 700, 1000, 1500, 2000)
# Less than this is nothing: values are sums of numbers of about 1.
LEAST = 1e-12


def run(
    path: Path, problems: Sequence[Problem], contestants: Sequence[str], seeds: range, batch: int, trials: int
) -> None:
    """What the file has already is not run again."""
    done = {key(r) for r in of(read(path), problems, batch, trials)}
    for seed in seeds:
        for problem in problems:
            for name in contestants:
                if (problem.name, name, seed, batch) not in done:
                    append(path, {**run_one(problem, name, seed, batch, trials, BUDGETS), "trials": trials})


def of(rows: Sequence[Row], problems: Sequence[Problem], batch: int, trials: int) -> list[Row]:
    """The searches of these problems, of just so many trials, that would find the same now."""
    alike = [r for r in rows if (r["batch"], r["trials"]) == (batch, trials) and is_as_it_is(r)]
    return current(alike, problems)


def markdown(rows: Sequence[Row], problems: Sequence[Problem], contestants: Sequence[str]) -> str:
    """For each suite a row of each contestant but the first: the median over searches of what it leaves for one that the first
    leaves in the same problem with the same seed, and in how many searches it leaves less and more."""
    left: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(dict)
    best = {p.name: p.best for p in problems}
    for r in rows:
        if r["problem"] in best:
            left[r["contestant"]][r["problem"], r["seed"]] = [max(v - best[r["problem"]], LEAST) for v in r["best"]]
    first = left[contestants[0]]
    budgets = BUDGETS[: max(map(len, first.values()), default=0)]
    lines = [f"| suite | | {' | '.join(f'{b} trials' for b in budgets)} | searches |"]
    lines.append("| --- |" + " --- |" * (len(budgets) + 2))
    for suite in dict.fromkeys(p.suite for p in problems):
        names = {p.name for p in problems if p.suite == suite}
        for name in contestants[1:]:
            both = sorted(k for k in left[name].keys() & first.keys() if k[0] in names)
            if both:
                ratios = np.array([left[name][k] for k in both]) / np.array([first[k] for k in both])
                cells = [f"{np.median(r):.2g} ({(r < 1).sum()}, {(r > 1).sum()})" for r in ratios.T]
                lines.append(f"| {suite} | {name} | {' | '.join(cells)} | {len(both)} |")
    return "\n".join(lines)
