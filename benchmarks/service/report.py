"""The table and the picture of docs/performance.md, between the marks that stand there."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.service import work
from benchmarks.service.plot import svg
from benchmarks.service.results import Row, Spread, processor, rates, ratio, spread

BEGIN, END = "<!-- service: begin -->", "<!-- service: end -->"
_SHOWN = {
    work.KATIB_SQLITE: "Katib on SQLite",
    work.KATIB_MARIADB: "Katib on MariaDB",
    work.KATIB_SQLITE_CALLS: "Katib on SQLite, three calls",
    work.KATIB_MARIADB_CALLS: "Katib on MariaDB, three calls",
    work.ECHO: "three gRPC calls that do nothing",
    work.VIZIER: "Vizier",
    work.OPTUNA: "Optuna on MariaDB",
    work.OPTUNA_PROXY: "Optuna's gRPC proxy",
}
_COMMITS = {work.COMMITS_SQLITE: "SQLite", work.COMMITS_MARIADB: "MariaDB"}


def markdown(rows: Sequence[Row]) -> str:
    clients = sorted({r.clients for r in rows})
    sizes = sorted({r.trials for r in rows})
    loads = [r.load for r in rows]
    rounds = len({r.round for r in rows})
    lines = [
        f"{rounds} round{'s' if rounds > 1 else ''}, at a load average of {min(loads):.1f} to {max(loads):.1f}.",
        "",
        *_rates(rows, clients, sizes),
        *_processor(rows, clients, sizes),
        *_commits(rows, clients),
        *_ratios(rows, clients, sizes),
    ]
    return "\n".join(lines)


def _rates(rows: Sequence[Row], clients: Sequence[int], sizes: Sequence[int]) -> list[str]:
    lines = [
        f"| loops a second, {' / '.join(map(str, clients))} clients | {' | '.join(f'{n:,} trials' for n in sizes)} |",
        "| --- |" + " --- |" * len(sizes),
    ]
    for name, shown in _SHOWN.items():
        cells = []
        for size in sizes:
            found = [spread([*rates(rows, name, size, n).values()]) for n in clients]
            cells.append(" / ".join(_rate(s) for s in found) if any(found) else "–")
        if any(cell != "–" for cell in cells):
            lines.append(f"| {shown} | {' | '.join(cells)} |")
    return [*lines, ""]


def _processor(rows: Sequence[Row], clients: Sequence[int], sizes: Sequence[int]) -> list[str]:
    """Where processors are what there is too little of, the limits' ratio of these is that of loops a second; and other work on
    the machine tells on it less."""
    many = clients[-1] if 8 not in clients else 8
    lines = []
    for name, shown in _SHOWN.items():
        found = [spread(processor(rows, name, size, many)) for size in sizes]
        if any(found):
            cells = ["–" if s is None else f"{s.median:.1f} ms ({s.low:.1f} to {s.high:.1f})" for s in found]
            lines.append(f"| {shown} | {' | '.join(cells)} |")
    if not lines:
        return []
    head = f"| processor for a loop: server, database and client, {many} clients | "
    return [
        head + " | ".join(f"{n:,} trials" for n in sizes) + " |",
        "| --- |" + " --- |" * len(sizes),
        *lines,
        "",
    ]


def _commits(rows: Sequence[Row], clients: Sequence[int]) -> list[str]:
    parts = []
    for name, shown in _COMMITS.items():
        of = [r for r in rows if r.system == name]
        if of:
            each = [spread([r.rate for r in of if r.clients == n]) for n in clients]
            parts.append(f"{shown} {' / '.join(_rate(s) for s in each)}")
    if not parts:
        return []
    return [f"Durable commits of one row a second, from as many connections: {'; '.join(parts)}.", ""]


def _ratios(rows: Sequence[Row], clients: Sequence[int], sizes: Sequence[int]) -> list[str]:
    lines = []
    for ours in work.OURS:
        for base in (work.ECHO, *(() if ours in work.CALLS else work.PEERS)):
            for size in sizes:
                found = [ratio(rows, ours, base, size, n) for n in clients]
                if any(found):
                    cells = [_ratio(s) for s in found]
                    lines.append(f"| {_SHOWN[ours]} : {_SHOWN[base]} | {size:,} | {' | '.join(cells)} |")
    if not lines:
        return []
    return [
        f"| ratio, the median of the rounds (lowest to highest) | trials | {' | '.join(f'{n} clients' for n in clients)} |",
        "| --- |" + " --- |" * (len(clients) + 1),
        *lines,
        "",
    ]


def _rate(found: Spread | None) -> str:
    if found is None:
        return "–"
    return f"{found.median:,.0f}" if found.median >= 10 else f"{found.median:.1f}"


def _ratio(found: Spread | None) -> str:
    if found is None:
        return "–"
    digits = 2 if found.median < 10 else 0
    return f"{found.median:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def write(rows: Sequence[Row], docs: Path) -> None:
    """Raises ValueError: docs/performance.md has no place for the table."""
    page = docs / "performance.md"
    before, mark, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END} for the table to stand between")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(rows)}\n{END}{after}")
    (docs / "service.svg").write_text(svg(rows))
