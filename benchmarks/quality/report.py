"""The tables and the picture of docs/algorithms.md, between the marks that stand there."""

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.plot import svg
from benchmarks.quality.runner import BUDGETS, Row
from benchmarks.quality.scores import Standing, standings
from benchmarks.quality.suites import SUITES

BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"


def report(rows: Sequence[Row], suites: Sequence[str]) -> list[tuple[str, list[Standing]]]:
    """Of each suite that there are results for."""
    out = []
    for suite in suites:
        found = standings(rows, {p.name: p for p in SUITES[suite]()})
        if found:
            out.append((suite, found))
    return out


def markdown(suites: Sequence[tuple[str, Sequence[Standing]]]) -> str:
    lines: list[str] = []
    for suite, found in suites:
        lines += [f"**{suite}**, {found[0].problems} problems", ""]
        head = [f"{b} trials" for b in BUDGETS[: len(found[0].score)]]
        lines.append(f"| | {' | '.join(head)} | mean ranks | searches |")
        lines.append("| --- |" + " --- |" * (len(head) + 2))
        for s in found:
            cells = [_cell(v, a, z) for v, a, z in zip(s.score, s.low, s.high, strict=True)]
            ranks = " / ".join("–" if math.isnan(r) else f"{r:.1f}" for r in s.rank)
            lines.append(f"| {s.contestant} | {' | '.join(cells)} | {ranks} | {s.searches} |")
        lines.append("")
    return "\n".join(lines)


def _cell(score: float, low: float, high: float) -> str:
    if math.isnan(score):
        return "–"
    return _two(score) if math.isnan(low) else f"{_two(score)} ({_two(low)} to {_two(high)})"


def _two(score: float) -> str:
    return f"{round(score, 2) + 0.0:.2f}"  # no -0.00


def write(suites: Sequence[tuple[str, Sequence[Standing]]], docs: Path) -> None:
    """Raises ValueError: docs/algorithms.md has no place for the tables."""
    page = docs / "algorithms.md"
    before, mark, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END} for the tables to stand between")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(suites)}\n{END}{after}")
    (docs / "quality.svg").write_text(svg(suites))
