"""Rates as a picture: a panel for each number of clients, a line for each system over the size of the study."""

import html
import math
from collections.abc import Sequence

from benchmarks.service import work
from benchmarks.service.results import Row, rates, spread

_COLOURS = {
    work.KATIB_SQLITE: "#0b6e4f",
    work.KATIB_MARIADB: "#1d4ed8",
    work.KATIB_SQLITE_CALLS: "#8fbfae",
    work.KATIB_MARIADB_CALLS: "#9db6f2",
    work.ECHO: "#6b7280",
    work.VIZIER: "#c1121f",
    work.OPTUNA: "#b45309",
    work.OPTUNA_PROXY: "#7c3aed",
}
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _LEGEND = 250, 300, 56, 34, 34, 150
_HIGHEST = 4  # powers of ten


def svg(rows: Sequence[Row]) -> str:
    clients = sorted({r.clients for r in rows})
    sizes = sorted({r.trials for r in rows})
    names = [n for n in _COLOURS if any(r.system == n for r in rows)]
    width = _LEFT + len(clients) * (_WIDTH + _GAP) + _LEGEND
    height = _TOP + _HEIGHT + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for i, n in enumerate(clients):
        parts += _panel(rows, n, sizes, names, _LEFT + i * (_WIDTH + _GAP))
    x = _LEFT + len(clients) * (_WIDTH + _GAP)
    for i, name in enumerate(names):
        y = _TOP + 10 + 20 * i
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{_COLOURS[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}">{html.escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(rows: Sequence[Row], clients: int, sizes: Sequence[int], names: Sequence[str], left: int) -> list[str]:
    title = f"{clients} client{'s' if clients > 1 else ''}, trials a second"
    parts = [f'<text x="{left}" y="{_TOP - 12}" font-size="14" font-weight="bold">{title}</text>']
    for power in range(_HIGHEST + 1):
        y = _y(10**power)
        parts.append(
            f'<line x1="{left}" x2="{left + _WIDTH}" y1="{y}" y2="{y}" stroke="#bbb" stroke-width="0.5"/>'
            f'<text x="{left - 5}" y="{y + 4}" text-anchor="end" fill="#666">{10**power:,}</text>'
        )
    below, middle = _TOP + _HEIGHT, 'text-anchor="middle"'
    parts += [f'<text x="{_x(left, n, sizes)}" y="{below + 18}" {middle}>{_short(n)}</text>' for n in sizes]
    parts.append(f'<text x="{left + _WIDTH / 2}" y="{below + 36}" {middle} fill="#666">trials in the study</text>')
    for name in names:
        points = [
            (_x(left, n, sizes), found) for n in sizes if (found := spread([*rates(rows, name, n, clients).values()]))
        ]
        colour = _COLOURS[name]
        line = " ".join(f"{x:.1f},{_y(s.median)}" for x, s in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(s.low)}" y2="{_y(s.high)}" stroke="{colour}" stroke-width="1.2"/>'
            f'<circle cx="{x:.1f}" cy="{_y(s.median)}" r="3" fill="{colour}"/>'
            for x, s in points
        ]
    return parts


def _short(n: int) -> str:
    return f"{n // 1000}k" if n >= 1000 else str(n)


def _x(left: int, n: int, sizes: Sequence[int]) -> float:
    span = math.log(sizes[-1] / sizes[0]) or 1.0
    return left + 24 + (_WIDTH - 48) * math.log(n / sizes[0]) / span


def _y(rate: float) -> float:
    return round(_TOP + _HEIGHT * (1.0 - math.log10(max(rate, 1.0)) / _HIGHEST), 1)
