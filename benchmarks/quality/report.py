"""The tables and the picture of docs/algorithms.md, between the marks that stand there."""

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.plot import svg
from benchmarks.quality.runner import BUDGETS, Row
from benchmarks.quality.scores import Difference, Standing, Versus, batch_differences, standings, versus
from benchmarks.quality.suites import SUITES

BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"
BATCH_BEGIN, BATCH_END = "<!-- batches: begin -->", "<!-- batches: end -->"
PAIRS_BEGIN, PAIRS_END = "<!-- pairs: begin -->", "<!-- pairs: end -->"


def report(rows: Sequence[Row], suites: Sequence[str]) -> list[tuple[str, list[Standing]]]:
    """Of each suite that there are results for."""
    out = []
    for suite in suites:
        found = standings(rows, {p.name: p for p in SUITES[suite]()})
        if found:
            out.append((suite, found))
    return out


def batches(rows: Sequence[Row], suites: Sequence[str], batch: int) -> list[tuple[str, list[Difference]]]:
    """What trials in batches of so many find more than trials one by one, of each suite that there are results for."""
    found = [(suite, batch_differences(rows, {p.name: p for p in SUITES[suite]()}, batch)) for suite in suites]
    return [(suite, differences) for suite, differences in found if differences]


def pairs(
    rows: Sequence[Row], suites: Sequence[str], names: Sequence[tuple[str, str]]
) -> list[tuple[str, list[Versus]]]:
    """What the first of two contestants finds more than the second, of each suite that there are results of both for."""
    out = []
    for suite in suites:
        known = {p.name: p for p in SUITES[suite]()}
        found = [versus(rows, known, one, other) for one, other in names]
        out.append((suite, [v for v in found if v is not None]))
    return [(suite, found) for suite, found in out if found]


def markdown(suites: Sequence[tuple[str, Sequence[Standing]]]) -> str:
    lines: list[str] = []
    for suite, found in suites:
        lines += [f"**{suite}**, {found[0].problems} problems", ""]
        head = [f"{b} trials" for b in BUDGETS[: len(found[0].score)]]
        lines.append(f"| | {' | '.join(head)} | mean ranks | searches |")
        lines.append("| --- |" + " --- |" * (len(head) + 2))
        for s in found:
            cells = [_cell(v, a, z) for v, a, z in zip(s.score, s.low, s.high, strict=True)]
            places = zip(s.rank, s.rank_low, s.rank_high, strict=True)
            ranks = " / ".join(_rank(r, a, z) for r, a, z in places)
            name = f"{s.contestant} {s.version}".rstrip()
            lines.append(f"| {name} | {' | '.join(cells)} | {ranks} | {s.searches} |")
        lines.append("")
    return "\n".join(lines)


def _rank(rank: float, low: float, high: float) -> str:
    if math.isnan(rank):
        return "–"
    return f"{rank:.1f}" if math.isnan(low) else f"{rank:.1f} ({low:.1f} to {high:.1f})"


def markdown_of_batches(suites: Sequence[tuple[str, Sequence[Difference]]]) -> str:
    lines = [
        f"| suite | | {' | '.join(f'{b} trials' for b in BUDGETS)} | pairs |",
        "| --- |" + " --- |" * (len(BUDGETS) + 2),
    ]
    for suite, found in suites:
        for d in found:
            cells = [_signed(v, a, z) for v, a, z in zip(d.mean, d.low, d.high, strict=True)]
            lines.append(f"| {suite} | {d.contestant} | {' | '.join(cells)} | {d.pairs} |")
    return "\n".join([*lines, ""])


def _signed(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "–"
    whole = f"{round(value, 2) + 0.0:+.2f}"
    return whole if math.isnan(low) else f"{whole} ({round(low, 2) + 0.0:+.2f} to {round(high, 2) + 0.0:+.2f})"


def _cell(score: float, low: float, high: float) -> str:
    if math.isnan(score):
        return "–"
    return _two(score) if math.isnan(low) else f"{_two(score)} ({_two(low)} to {_two(high)})"


def _two(score: float) -> str:
    return f"{round(score, 2) + 0.0:.2f}"  # no -0.00


def write(
    suites: Sequence[tuple[str, Sequence[Standing]]],
    batched: Sequence[tuple[str, Sequence[Difference]]],
    docs: Path,
) -> None:
    """Raises ValueError: docs/algorithms.md has no place for the tables."""
    page = docs / "algorithms.md"
    text = _between(page, page.read_text(), BEGIN, END, markdown(suites))
    if batched:
        text = _between(page, text, BATCH_BEGIN, BATCH_END, markdown_of_batches(batched))
    page.write_text(text)
    (docs / "quality.svg").write_text(svg(suites))


def markdown_of_pairs(suites: Sequence[tuple[str, Sequence[Versus]]]) -> str:
    lines = [
        f"| suite | | {' | '.join(f'{b} trials' for b in BUDGETS)} | searches |",
        "| --- |" + " --- |" * (len(BUDGETS) + 2),
    ]
    for suite, found in suites:
        for v in found:
            cells = [_signed(m, a, z) for m, a, z in zip(v.mean, v.low, v.high, strict=True)]
            count = f"{v.searches[0]} and {v.searches[1]}"
            lines.append(f"| {suite} | {v.one} less {v.other} | {' | '.join(cells)} | {count} |")
    return "\n".join([*lines, ""])


def write_pairs(paired: Sequence[tuple[str, Sequence[Versus]]], docs: Path) -> None:
    """Raises ValueError: docs/algorithms.md has no place for the table."""
    page = docs / "algorithms.md"
    page.write_text(_between(page, page.read_text(), PAIRS_BEGIN, PAIRS_END, markdown_of_pairs(paired)))


def _between(page: Path, text: str, begin: str, end: str, new: str) -> str:
    before, mark, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not mark or not last:
        raise ValueError(f"{page} has no lines {begin} and {end} for the tables to stand between")
    return f"{before}{begin}\n\n{new}\n{end}{after}"
