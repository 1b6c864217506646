"""What the suggestions find per trial spent: `python -m benchmarks.quality run`, `... score`, `... report`, `... versus`,
`... keep` and `... long`.

A run appends one line of JSON for each (problem, contestant, seed, batch) that the file of results does not have yet, so one
that was broken off goes on when it is called again. What peers found, and what our algorithms did as they are, is kept beside
the program (`keep`), and `score` and `report` take it in.
"""

import argparse
import math
import sys
from pathlib import Path

from benchmarks.quality import long, report
from benchmarks.quality.kept import keep, kept
from benchmarks.quality.peers.table import PEERS
from benchmarks.quality.runner import Row, current, read, run
from benchmarks.quality.scores import batch_differences, standings
from benchmarks.quality.suites import REPORTED, SUITES, problems


def _run(args: argparse.Namespace) -> int:
    chosen = [p for p in problems(args.suite) if args.problem in p.name]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    if run(Path(args.results), chosen, args.contestant, seeds, args.batch, args.trials, args.minutes):
        return 0
    print(f"Time is up after {args.minutes:g} minutes. The same command goes on from here.", file=sys.stderr)
    return 3


def _rows(paths: list[str], alone: bool = False) -> list[Row]:
    """Of files, and those that are kept; a search that a file has counts as the file has it. `alone`: of the files only."""
    before = [] if alone else kept()
    return current([*before, *(r for path in paths for r in read(Path(path)))], problems(",".join(SUITES)))


def _score(args: argparse.Namespace) -> int:
    rows = _rows(args.results, args.alone)
    for batch in sorted({r["batch"] for r in rows}):
        for suite, make in SUITES.items():
            known = {p.name: p for p in make()}
            for s in standings(rows, known, batch):
                # Not those of budgets that its searches do not have.
                got = [i for i, value in enumerate(s.score) if not math.isnan(value)]
                shown = "  ".join(f"{s.score[i]:.3f} [{s.low[i]:.3f},{s.high[i]:.3f}]" for i in got)
                ranks = "/".join(f"{s.rank[i]:.1f}" for i in got)
                print(f"{suite:18} {s.contestant:30} x{batch} n={s.searches:3} {shown}  rank {ranks}  {s.cpu:.1f} s")
            for d in batch_differences(rows, known, batch) if batch > 1 else []:
                shown = "  ".join(
                    f"{v:+.3f} [{a:+.3f},{z:+.3f}]" for v, a, z in zip(d.mean, d.low, d.high, strict=True)
                )
                print(f"{suite:18} {d.contestant:30} x{batch} less x1, {d.pairs} pairs {shown}")
    return 0


def _report(args: argparse.Namespace) -> int:
    rows = _rows(args.results)
    suites = report.report(rows, args.suite.split(","))
    if not suites:
        print("There are no results of these suites. Run `python -m benchmarks.quality run` first.", file=sys.stderr)
        return 1
    report.write(suites, report.batches(rows, args.suite.split(","), args.batch), Path(args.docs))
    return 0


def _versus(args: argparse.Namespace) -> int:
    names = [(one, other) for one, _, other in (pair.partition(":") for pair in args.pairs.split(","))]
    found = report.pairs(_rows(args.results), args.suite.split(","), names)
    if not found:
        print("These contestants have no problem in common. Run both first.", file=sys.stderr)
        return 1
    report.write_pairs(found, Path(args.docs))
    return 0


def _keep(args: argparse.Namespace) -> int:
    rows = [r for path in args.results for r in read(Path(path))]
    print(f"{keep(rows, problems(','.join(SUITES)))} results are kept", file=sys.stderr)
    return 0


def _long(args: argparse.Namespace) -> int:
    chosen = [p for p in problems(args.suite) if args.problem in p.name]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    long.run(Path(args.results), chosen, args.contestant, seeds, args.batch, args.trials)
    print(long.markdown(long.of(read(Path(args.results)), chosen, args.batch, args.trials), chosen, args.contestant))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="search")
    runs.set_defaults(do=_run)
    runs.add_argument("--suite", default=",".join(REPORTED), help=f"of {', '.join(SUITES)}")
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
    scoring.add_argument("--alone", action="store_true", help="only what is in the files, and not what is kept")
    scoring.add_argument("results", nargs="*")
    reporting = commands.add_parser("report", help="write the tables and the picture of docs/algorithms.md")
    reporting.set_defaults(do=_report)
    reporting.add_argument("--suite", default=",".join(REPORTED))
    reporting.add_argument(
        "--batch", type=int, default=4, help="the second table: what trials in batches of so many find"
    )
    reporting.add_argument("--docs", default="docs")
    reporting.add_argument("results", nargs="*")
    pairing = commands.add_parser("versus", help="write the table of contestants two by two of docs/algorithms.md")
    pairing.set_defaults(do=_versus)
    pairing.add_argument("--suite", default=",".join(REPORTED))
    pairing.add_argument("--pairs", default="tpe:optuna-tpe,cmaes:optuna-cma", help="ONE:OTHER, joined by commas")
    pairing.add_argument("--docs", default="docs")
    pairing.add_argument("results", nargs="*")
    keeping = commands.add_parser("keep", help="take what was found into the repository")
    keeping.set_defaults(do=_keep)
    keeping.add_argument("results", nargs="+")
    longer = commands.add_parser(
        "long", help="search for long, and show what the others leave for each that the first leaves"
    )
    longer.set_defaults(do=_long)
    longer.add_argument("--suite", default="synthetic,mixed,noisy", help=f"of {', '.join(SUITES)}")
    longer.add_argument("--problem", default="", help="only those with this in their names")
    longer.add_argument("--seeds", type=int, default=1)
    longer.add_argument("--first-seed", type=int, default=0)
    longer.add_argument("--batch", type=int, default=4, help="trials asked for at once")
    longer.add_argument("--trials", type=int, default=1000)
    longer.add_argument("--results", default="quality-long.jsonl")
    longer.add_argument("contestant", nargs="+", help="as of `run`")
    args = parser.parse_args()
    code: int = args.do(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
