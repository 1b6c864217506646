"""What the suggestions find per trial spent: `python -m benchmarks.quality run`, `... score` and `... report`.

A run appends one line of JSON for each (problem, contestant, seed, batch) that the file of results does not have yet, so one
that was broken off goes on when it is called again.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.quality import report
from benchmarks.quality.peers import PEERS
from benchmarks.quality.runner import read, run
from benchmarks.quality.scores import standings
from benchmarks.quality.suites import SUITES, problems


def _run(args: argparse.Namespace) -> int:
    chosen = [p for p in problems(args.suite) if args.problem in p.name]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    if run(Path(args.results), chosen, args.contestant, seeds, args.batch, args.trials, args.minutes):
        return 0
    print(f"Time is up after {args.minutes:g} minutes. The same command goes on from here.", file=sys.stderr)
    return 3


def _score(args: argparse.Namespace) -> int:
    rows = [r for path in args.results for r in read(Path(path))]
    for batch in sorted({r["batch"] for r in rows}):
        for suite, make in SUITES.items():
            for s in standings(rows, {p.name: p for p in make()}, batch):
                shown = "  ".join(f"{v:.3f} [{a:.3f},{z:.3f}]" for v, a, z in zip(s.score, s.low, s.high, strict=True))
                ranks = "/".join(f"{r:.1f}" for r in s.rank)
                print(f"{suite:18} {s.contestant:30} x{batch} n={s.searches:3} {shown}  rank {ranks}  {s.cpu:.1f} s")
    return 0


def _report(args: argparse.Namespace) -> int:
    rows = [r for path in args.results for r in read(Path(path))]
    suites = report.report(rows, args.suite.split(","))
    if not suites:
        print("There are no results of these suites. Run `python -m benchmarks.quality run` first.", file=sys.stderr)
        return 1
    report.write(suites, Path(args.docs))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="search")
    runs.set_defaults(do=_run)
    runs.add_argument("--suite", default="synthetic,mixed,models", help=f"of {', '.join(SUITES)}")
    runs.add_argument("--problem", default="", help="only those with this in their names")
    runs.add_argument("--seeds", type=int, default=10)
    runs.add_argument("--first-seed", type=int, default=0)
    runs.add_argument("--batch", type=int, default=1, help="trials asked for at once")
    runs.add_argument("--trials", type=int, default=100)
    runs.add_argument("--minutes", type=float, default=600, help="begin no search later than that")
    runs.add_argument("--results", default="quality.jsonl")
    runs.add_argument(
        "contestant", nargs="+", help=f"{', '.join(PEERS)}, or one of ours: ALGORITHM[:SETTING=VALUE,...]"
    )
    scoring = commands.add_parser("score", help="show what came of it")
    scoring.set_defaults(do=_score)
    scoring.add_argument("results", nargs="+")
    reporting = commands.add_parser("report", help="write the tables and the picture of docs/algorithms.md")
    reporting.set_defaults(do=_report)
    reporting.add_argument("--suite", default="synthetic,mixed,models,synthetic-held-out")
    reporting.add_argument("--docs", default="docs")
    reporting.add_argument("results", nargs="+")
    args = parser.parse_args()
    code: int = args.do(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
