"""Scores as a picture: a panel for each suite, a line for each contestant over the number of trials."""

import html
import math
from collections.abc import Sequence

from benchmarks.quality.runner import BUDGETS
from benchmarks.quality.scores import Standing

_COLOURS = (
    "#0b6e4f",
    "#c1121f",
    "#1d4ed8",
    "#b45309",
    "#7c3aed",
    "#0891b2",
    "#be185d",
    "#4d7c0f",
    "#6b7280",
    "#111827",
    "#eab308",
)
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _LEGEND = 250, 300, 46, 34, 34, 170
_FOOT = 60
# More side by side, and nothing can be read where a page has them as wide as its text.
_COLUMNS = 3
_LEAST = -0.25


def svg(suites: Sequence[tuple[str, Sequence[Standing]]]) -> str:
    names = sorted({s.contestant for _, standings in suites for s in standings})
    colours = {n: _COLOURS[i % len(_COLOURS)] for i, n in enumerate(names)}
    columns = min(len(suites), _COLUMNS)
    width = _LEFT + columns * (_WIDTH + _GAP) + _LEGEND
    height = math.ceil(len(suites) / _COLUMNS) * (_TOP + _HEIGHT + _FOOT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for i, (suite, standings) in enumerate(suites):
        row, column = divmod(i, _COLUMNS)
        parts.append(f'<g transform="translate({column * (_WIDTH + _GAP)} {row * (_TOP + _HEIGHT + _FOOT)})">')
        parts += [*_panel(suite, standings, colours), "</g>"]
    x = _LEFT + columns * (_WIDTH + _GAP)
    for i, name in enumerate(names):
        y = _TOP + 10 + 20 * i
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{colours[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}">{html.escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(suite: str, standings: Sequence[Standing], colours: dict[str, str]) -> list[str]:
    left = _LEFT
    parts = [f'<text x="{left}" y="{_TOP - 12}" font-size="14" font-weight="bold">{html.escape(suite)}</text>']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(tick)
        strong = 1.2 if tick in (0.0, 1.0) else 0.5
        parts.append(
            f'<line x1="{left}" x2="{left + _WIDTH}" y1="{y}" y2="{y}" stroke="#bbb" stroke-width="{strong}"/>'
            f'<text x="{left - 5}" y="{y + 4}" text-anchor="end" fill="#666">{tick:g}</text>'
        )
    below, middle = _TOP + _HEIGHT, 'text-anchor="middle"'
    parts += [f'<text x="{_x(left, b)}" y="{below + 18}" {middle}>{b}</text>' for b in BUDGETS]
    parts.append(f'<text x="{left + _WIDTH / 2}" y="{below + 36}" {middle} fill="#666">trials</text>')
    for k, s in enumerate(standings):
        shift = 3.0 * (k - (len(standings) - 1) / 2)  # whiskers side by side
        points = [(_x(left, b) + shift, v, a, z) for b, v, a, z in zip(BUDGETS, s.score, s.low, s.high, strict=False)]
        points = [
            (x, v, v if math.isnan(a) else a, v if math.isnan(z) else z) for x, v, a, z in points if not math.isnan(v)
        ]
        colour = colours[s.contestant]
        line = " ".join(f"{x:.1f},{_y(v)}" for x, v, _, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(a)}" y2="{_y(z)}" stroke="{colour}" stroke-width="1.2"/>'
            f'<circle cx="{x:.1f}" cy="{_y(v)}" r="3" fill="{colour}"/>'
            for x, v, a, z in points
        ]
    return parts


def _x(left: int, budget: int) -> float:
    return left + 24 + (_WIDTH - 48) * math.log(budget / BUDGETS[0]) / math.log(BUDGETS[-1] / BUDGETS[0])


def _y(score: float) -> float:
    share = (max(score, _LEAST) - _LEAST) / (1.0 - _LEAST)
    return round(_TOP + _HEIGHT * (1.0 - share), 1)
