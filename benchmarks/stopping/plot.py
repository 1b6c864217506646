"""The table as a picture: what is saved to the right, what it costs upwards."""

import math
from collections.abc import Callable, Mapping
from html import escape

from benchmarks.stopping.results import Estimate, Pair, Result, estimate

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 260, 30, 60
# Between two lines of regret.
STEP = 0.02
COLOURS = ("#0b6fb8", "#d1660b")


def draw(pairs: Mapping[tuple[str, str], Pair]) -> str:
    points = [
        (number, whose, estimate(result.saved), estimate(result.regret))
        for number, pair in enumerate(pairs.values(), 1)
        for whose, result in enumerate[Result]((pair.ours, pair.theirs))
    ]
    steps = math.ceil(max(regret.high for *_, regret in points) / STEP) or 1
    most = steps * STEP

    def x(saved: float) -> float:
        return LEFT + saved * (WIDTH - LEFT - RIGHT)

    def y(regret: float) -> float:
        return HEIGHT - BOTTOM - regret / most * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tenth in range(0, 11, 2):
        at = x(tenth / 10)
        parts += [_line(at, TOP, at, HEIGHT - BOTTOM), _text(at, HEIGHT - BOTTOM + 20, f"{tenth * 10} %", "middle")]
    for step in range(steps + 1):
        at = y(step * STEP)
        parts += [_line(LEFT, at, WIDTH - RIGHT, at), _text(LEFT - 8, at + 4, f"{step * STEP:.2f}", "end")]
    parts += [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15, "steps saved", "middle"),
        f'<text transform="translate(22 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">regret of the final best</text>',
    ]
    for number, whose, saved, regret in points:
        parts += [*_cross(x, y, saved, regret, COLOURS[whose]), *_mark(x(saved.mean), y(regret.mean), number, whose)]
    for row, (whose, text) in enumerate([(0, "Katib"), (1, "Optuna")]):
        parts += [
            f'<circle cx="{WIDTH - RIGHT + 30}" cy="{TOP + 10 + 22 * row}" r="7" fill="{COLOURS[whose]}"/>',
            _text(WIDTH - RIGHT + 45, TOP + 15 + 22 * row, text),
        ]
    parts += [_text(WIDTH - RIGHT + 23, TOP + 80 + 22 * i, f"{i + 1}  {ours}") for i, (ours, _) in enumerate(pairs)]
    return "\n".join([*parts, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#dddddd") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cross(
    x: Callable[[float], float], y: Callable[[float], float], saved: Estimate, regret: Estimate, colour: str
) -> list[str]:
    return [
        _line(x(saved.low), y(regret.mean), x(saved.high), y(regret.mean), colour),
        _line(x(saved.mean), y(regret.low), x(saved.mean), y(regret.high), colour),
    ]


def _mark(x: float, y: float, number: int, whose: int) -> list[str]:
    return [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="{COLOURS[whose]}" fill-opacity="0.85"/>',
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="white" font-size="11">{number}</text>',
    ]
