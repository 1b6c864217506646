"""What early stopping saves and what it costs, on recorded learning curves, beside Optuna's pruners: `make bench-stopping`.

Prints docs/early-stopping.md's table and, with `--plot FILE`, draws it. Every number comes from this run; the same seeds give
the same numbers.
"""

import argparse
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optuna  # type: ignore[import-not-found]

from benchmarks.stopping.contestants import Nobody, Ours
from benchmarks.stopping.curves import Task, names, read
from benchmarks.stopping.optuna_pruners import Optuna
from benchmarks.stopping.plot import draw
from benchmarks.stopping.results import Pair, Result, by_task, table
from benchmarks.stopping.simulate import PARALLEL, TRIALS, Contestant, Outcome, simulate
from katib.domain.study import Objective

Make = Callable[[Task], Contestant]
# From this value on a trial must be better than the task's median model: what a user may know from earlier studies.
KNOWN_FROM = 10


def ours(rule: str, **settings: object) -> Make:
    return partial(_ours, rule, settings)


def theirs(pruner: str, *arguments: object, **settings: object) -> Make:
    return partial(_theirs, pruner, arguments, settings)


def _ours(rule: str, settings: dict[str, object], task: Task) -> Contestant:
    return Ours(task, rule, settings)


def _theirs(pruner: str, arguments: tuple[object, ...], settings: dict[str, object], task: Task) -> Contestant:
    return Optuna(task, lambda: getattr(optuna.pruners, pruner)(*arguments, **settings))


def _nobody(_task: Task) -> Contestant:
    return Nobody()


def _median_final(task: Task) -> float:
    return float(np.nanmedian([m.values[-1] for m in task.models]))


def _our_bound(task: Task) -> Contestant:
    side = "Lower" if task.objective is Objective.MAXIMIZE else "Upper"
    return Ours(task, "threshold", {side: _median_final(task), "LeastStep": KNOWN_FROM})


def _their_bound(task: Task) -> Contestant:
    side = "lower" if task.objective is Objective.MAXIMIZE else "upper"
    bound = {side: _median_final(task), "n_warmup_steps": KNOWN_FROM}
    return Optuna(task, lambda: optuna.pruners.ThresholdPruner(**bound))


# A rule of ours and Optuna's pruner of the same kind, with settings that save about as many steps where that can be had: then
# the regrets can be compared. The last two are as they come.
PAIRS: dict[tuple[str, str], tuple[Make, Make]] = {
    ("predictive as it comes", "MedianPruner, warm-up 5"): (
        ours("predictive"),
        theirs("MedianPruner", n_startup_trials=5, n_warmup_steps=5),
    ),
    ("medianstopping, LeastStep 3", "MedianPruner, warm-up 5"): (
        ours("medianstopping", LeastStep=3),
        theirs("MedianPruner", n_startup_trials=5, n_warmup_steps=5),
    ),
    ("percentile 50", "PercentilePruner 25, warm-up 5"): (
        ours("percentile", Percentile=50),
        theirs("PercentilePruner", 25.0, n_startup_trials=5, n_warmup_steps=5),
    ),
    ("asha, Eta 2, MinResource 5", "SuccessiveHalvingPruner, 3 from 5"): (
        ours("asha", Eta=2, MinResource=5),
        theirs("SuccessiveHalvingPruner", min_resource=5, reduction_factor=3),
    ),
    ("asha, Eta 3, MinResource 3", "SuccessiveHalvingPruner, 3 from 2"): (
        ours("asha", Eta=3, MinResource=3),
        theirs("SuccessiveHalvingPruner", min_resource=2, reduction_factor=3),
    ),
    ("patience 5", "PatientPruner 5"): (ours("patience", Patience=5), theirs("PatientPruner", None, patience=5)),
    ("threshold, a known bound", "ThresholdPruner, the same bound"): (_our_bound, _their_bound),
    ("medianstopping as it comes", "MedianPruner as it comes"): (ours("medianstopping"), theirs("MedianPruner")),
    ("asha as it comes", "SuccessiveHalvingPruner as it comes"): (ours("asha"), theirs("SuccessiveHalvingPruner")),
}


def _run(make: Make, job: tuple[str, int]) -> Outcome:
    name, seed = job
    task = read(name)
    return simulate(task, seed, make(task))


def measure(make: Make, seeds: int, pool: ProcessPoolExecutor) -> Result:
    jobs = [(task, seed) for task in names() for seed in range(seeds)]
    outcomes = list(pool.map(partial(_run, make), jobs))
    # By task and seed.
    return Result(
        np.array([1 - o.steps for o in outcomes]).reshape(len(names()), seeds),
        np.array([o.regret for o in outcomes]).reshape(len(names()), seeds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40, help="studies on each task (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="an SVG file to draw")
    args = parser.parse_args()
    pairs = {}
    with ProcessPoolExecutor(args.processes) as pool:
        nobody = measure(_nobody, 1, pool)
        assert not nobody.saved.any()
        assert not nobody.regret.any()
        for labels, (our, their) in PAIRS.items():
            pairs[labels] = Pair(measure(our, args.seeds, pool), measure(their, args.seeds, pool))
            print(f"measured {labels[0]}", flush=True)
    print(
        f"\n{len(names())} tasks ({', '.join(names())}), {args.seeds} studies of {TRIALS} trials on each, {PARALLEL} at a "
        f"time; Optuna {version('optuna')}, Python {platform.python_version()}\n"
    )
    print(f"{table(pairs)}\n\n{by_task(pairs, names())}")
    if args.plot:
        args.plot.write_text(draw(pairs))


if __name__ == "__main__":
    main()
