"""Measurements, a line of JSON each."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measurement. `rate`: loops a second; `load`: the machine's load average of a minute before it; `processor_ms`: what a
    loop takes of all processors together, the server's, the database's and the client's."""

    round: int
    system: str
    trials: int
    clients: int
    loops: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    load: float
    at: float
    processor_ms: float = 0.0


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


def add(path: Path, row: Row) -> None:
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def next_round(path: Path) -> int:
    return 1 + max((row.round for row in read(path)), default=0) if path.exists() else 1


def rates(rows: Iterable[Row], system: str, trials: int, clients: int) -> dict[int, float]:
    """By round."""
    return {r.round: r.rate for r in rows if r.system == system and r.trials == trials and r.clients == clients}


def processor(rows: Iterable[Row], system: str, trials: int, clients: int) -> list[float]:
    """Milliseconds for a loop, where that was measured."""
    of = (r for r in rows if r.system == system and r.trials == trials and r.clients == clients)
    return [r.processor_ms for r in of if r.processor_ms]


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def ratio(rows: Sequence[Row], system: str, base: str, trials: int, clients: int) -> Spread | None:
    """Of two systems, by rounds in which both were measured."""
    above, below = rates(rows, system, trials, clients), rates(rows, base, trials, clients)
    return spread([above[r] / below[r] for r in above if r in below])
