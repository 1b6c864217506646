"""What the suggestions find per trial spent: `python -m benchmarks.quality run` and `... score`.

A run appends one line of JSON for each (problem, contestant, seed, batch) that the file does not have yet: the least true value
found after each trial, and the seconds that the contestant took.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import mixed, synthetic
from benchmarks.quality.contestants import contestant
from benchmarks.quality.problems import Problem, stream

Row = dict[str, Any]

TRIALS = 100
BUDGETS = (25, 50, 100)
RANDOM_SEEDS = 100


SUITES: dict[str, Callable[[], list[Problem]]] = {
    "synthetic": lambda: synthetic.problems(synthetic.SUITE, 0),
    "mixed": lambda: mixed.problems(0),
    "synthetic-held-out": lambda: synthetic.problems(synthetic.HELD_OUT, 7),
    "wide": lambda: synthetic.problems(synthetic.WIDE, 0),
    "synthetic-other": lambda: synthetic.problems(synthetic.SUITE, 1),
    "mixed-other": lambda: mixed.problems(1),
}


def all_problems(which: str) -> list[Problem]:
    return [p for name in which.split(",") for p in SUITES[name]()]


def run_one(problem: Problem, name: str, seed: int, batch: int, trials: int) -> Row:
    player = contestant(name, problem, seed)
    noise = stream(problem.name, "noise", seed)
    trace: list[float] = []
    best, reported, seconds = np.inf, np.inf, 0.0
    while len(trace) < trials:
        begin = time.perf_counter()
        asked = player.ask(min(batch, trials - len(trace)))
        seconds += time.perf_counter() - begin
        if not asked:
            trace += [best] * (trials - len(trace))
            break
        for handle, values in asked:
            true = problem.value(values)
            value = true + problem.noise * float(noise.normal())
            if value < reported:
                reported, best = value, true
            begin = time.perf_counter()
            player.tell(handle, value)
            seconds += time.perf_counter() - begin
            trace.append(best)
    return {
        "problem": problem.name,
        "contestant": name,
        "seed": seed,
        "batch": batch,
        "best": [trace[b - 1] for b in BUDGETS if b <= trials],
        "seconds": round(seconds, 3),
    }


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(args: argparse.Namespace) -> None:
    path = Path(args.results)
    done = {(r["problem"], r["contestant"], r["seed"], r["batch"]) for r in read(path)}
    deadline = time.monotonic() + args.minutes * 60
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for problem in all_problems(args.suite):
            if args.problem and args.problem not in problem.name:
                continue
            for name in args.contestant:
                if (problem.name, name, seed, args.batch) in done:
                    continue
                if time.monotonic() > deadline:
                    return
                result = run_one(problem, name, seed, args.batch, args.trials)
                with path.open("a") as out:
                    out.write(json.dumps(result) + "\n")


def score(args: argparse.Namespace) -> None:
    """0: the median of random search at that budget; 1: the least value there is. Cut off at -1."""
    rows = [r for path in args.results for r in read(Path(path))]
    reference: dict[str, list[float]] = {}
    for name in {str(r["problem"]) for r in rows}:
        traces = [r["best"] for r in rows if r["problem"] == name and r["contestant"] == "random" and r["batch"] == 1]
        if traces:
            reference[name] = [statistics.median(column) for column in zip(*traces, strict=True)]
    known = {p.name: p for make in SUITES.values() for p in make()}
    scores: dict[tuple[str, str, int], dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for r in rows:
        problem = known[str(r["problem"])]
        if problem.name not in reference or (r["contestant"] == "random" and not args.random):
            continue
        own = [
            max(-1.0, (median - value) / (median - problem.best))
            for median, value in zip(reference[problem.name], r["best"], strict=False)
        ]
        suite = problem.suite + ("" if "#" not in problem.name else " (other)")
        key = (suite, str(r["contestant"]), int(r["batch"]))
        scores[key][problem.name].append(own)
        seconds[key].append(float(r["seconds"]))
    rng = np.random.default_rng(1)
    for key in sorted(scores):
        by_problem = scores[key]
        means = {p: np.mean(np.array(s), axis=0) for p, s in by_problem.items()}
        resampled = [
            np.mean([np.array(s)[rng.integers(len(s), size=len(s))].mean(axis=0) for s in by_problem.values()], axis=0)
            for _ in range(400)
        ]
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        total = np.mean(list(means.values()), axis=0)
        shown = "  ".join(f"{t:.3f} [{a:.3f},{b:.3f}]" for t, a, b in zip(total, low, high, strict=True))
        count = sum(map(len, by_problem.values()))
        print(
            f"{key[0]:18} {key[1]:34} x{key[2]} n={count:3} p={len(by_problem):2} {shown}  {np.mean(seconds[key]):.1f}s"
        )
        if args.each:
            for name in sorted(means):
                print(f"    {name:18}" + "  ".join(f"{v:.3f}" for v in means[name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run")
    runs.set_defaults(do=run)
    runs.add_argument("--suite", default="synthetic,mixed")
    runs.add_argument("--problem", default="")
    runs.add_argument("--seeds", type=int, default=10)
    runs.add_argument("--first-seed", type=int, default=0)
    runs.add_argument("--batch", type=int, default=1)
    runs.add_argument("--trials", type=int, default=TRIALS)
    runs.add_argument("--minutes", type=float, default=600)
    runs.add_argument("--results", default="quality.jsonl")
    runs.add_argument("contestant", nargs="+")
    scoring = commands.add_parser("score")
    scoring.set_defaults(do=score)
    scoring.add_argument("--each", action="store_true")
    scoring.add_argument("--random", action="store_true")
    scoring.add_argument("results", nargs="+")
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
