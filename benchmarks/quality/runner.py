"""Searches, each a line of a file of results. What the file has is not run again: a run that was broken off goes on."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.contestants import Ours, code, contestant, version
from benchmarks.quality.problems import Problem, fingerprint, stream

Row = dict[str, Any]
BUDGETS = (25, 50, 100)
# The contestant that scores are measured by: its row has the median of so many random searches.
REFERENCE = "median of random"
RANDOM_SEEDS = 200


def reference(problem: Problem) -> Row:
    """A random search's trials do not depend on one another: all are asked for at once."""
    found = []
    for seed in range(RANDOM_SEEDS):
        asked = Ours(problem, seed, "random", {}).ask(max(BUDGETS))
        true = np.array([problem.value(v) for _, v in asked])
        noise = problem.noise * stream(problem.name, "noise", seed).normal(size=len(true))
        found.append([true[np.argmin((true + noise)[:b])] for b in BUDGETS])
    medians = np.median(found, axis=0).tolist()
    return {
        "problem": problem.name,
        "of": fingerprint(problem),
        "contestant": REFERENCE,
        "seed": 0,
        "batch": 1,
        "best": medians,
    }


def run_one(problem: Problem, name: str, seed: int, batch: int, trials: int, budgets: tuple[int, ...] = BUDGETS) -> Row:
    """One search: `best`, the true value at each budget of the trial that reported the least; `cpu`, what the contestant took
    of the processor, in seconds."""
    player = contestant(name, problem, seed, trials)
    noise = stream(problem.name, "noise", seed)
    trace: list[float] = []
    best, reported, seconds = np.inf, np.inf, 0.0
    while len(trace) < trials:
        begin = time.process_time()
        asked = player.ask(min(batch, trials - len(trace)))
        seconds += time.process_time() - begin
        if not asked:
            trace += [best] * (trials - len(trace))
            break
        for handle, values in asked:
            true = problem.value(values)
            value = true + problem.noise * float(noise.normal())
            if value < reported:
                reported, best = value, true
            begin = time.process_time()
            player.tell(handle, value)
            seconds += time.process_time() - begin
            trace.append(best)
    return {
        "problem": problem.name,
        "of": fingerprint(problem),
        "contestant": name,
        "version": version(name),
        "code": code(name),
        "seed": seed,
        "batch": batch,
        "best": [trace[b - 1] for b in budgets if b <= trials],
        "cpu": round(seconds, 3),
    }


def read(path: Path) -> list[Row]:
    """The results so far. The last line of a run that was killed while it wrote is left out."""
    if not path.exists():
        return []
    *whole, rest = path.read_text().split("\n")
    if rest:
        path.write_text("".join(line + "\n" for line in whole))
    return [json.loads(line) for line in whole]


def run(
    path: Path, problems: list[Problem], contestants: list[str], seeds: range, batch: int, trials: int, minutes: float
) -> bool:
    """Seed by seed, so that what is there when time is up is fair to all. What was found in a problem that is another one now,
    by another version of a peer, or by other code of ours, is not taken for done. Returns whether everything is there."""
    there = current(read(path), problems)
    done = {key(r) for r in there if _long(r, trials) and is_as_it_is(r)}
    for problem in problems:
        if (problem.name, REFERENCE, 0, 1) not in done:
            append(path, reference(problem))
    deadline = time.monotonic() + minutes * 60
    for seed in seeds:
        for problem in problems:
            for name in contestants:
                if (problem.name, name, seed, batch) in done:
                    continue
                if time.monotonic() > deadline:
                    return False
                append(path, run_one(problem, name, seed, batch, trials))
    return True


def is_as_it_is(row: Row) -> bool:
    """Whether who searched then would find the same now."""
    name = row["contestant"]
    if name == REFERENCE:
        return True
    return row.get("version", "") == version(name) and row.get("code", "") == code(name)


def key(row: Row) -> tuple[str, str, int, int]:
    """Which search it is."""
    return row["problem"], row["contestant"], row["seed"], row["batch"]


def current(rows: Iterable[Row], problems: Iterable[Problem]) -> list[Row]:
    """The searches of these problems as they are now, each once: its last row."""
    known = {p.name: fingerprint(p) for p in problems}
    return list({key(r): r for r in rows if known.get(r["problem"], "") == r["of"]}.values())


def append(path: Path, row: Row) -> None:
    with path.open("a") as out:
        out.write(json.dumps(row) + "\n")


def _long(row: Row, trials: int) -> bool:
    return len(row["best"]) >= sum(b <= trials for b in BUDGETS)
