"""Curves of metrics for a terminal, of Braille dots: two by four in a character."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from katib.cli.terminal import clean, cut, show_number, width_of
from katib.domain.metrics import Observation

ROWS: Final = 8
_WIDEST: Final = 100
_NARROWEST_PLOT: Final = 10
_BLANK: Final = 0x2800
# By row and column within a character, as Unicode numbers the dots of Braille.
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Curve:
    """A metric's finite values by step, or by order where one has no step; `odd` counts the others."""

    name: str
    points: list[tuple[int, float]] = field(default_factory=list)
    by_step: bool = True
    odd: int = 0


def curves_of(observations: Iterable[Observation], names: Sequence[str]) -> list[Curve]:
    """Those with at least two finite values, `names` first and in their order."""
    values: dict[str, list[Observation]] = {name: [] for name in names}
    for observation in observations:
        values.setdefault(observation.name, []).append(observation)
    return [curve for name, found in values.items() if len((curve := _curve(name, found)).points) > 1]


def _curve(name: str, observations: Sequence[Observation]) -> Curve:
    by_step = all(o.step is not None for o in observations)
    curve = Curve(name, by_step=by_step)
    for order, observation in enumerate(observations, start=1):
        if math.isfinite(observation.value):
            curve.points.append(
                (observation.step if observation.step is not None and by_step else order, observation.value)
            )
        else:
            curve.odd += 1
    curve.points.sort(key=lambda point: point[0])
    return curve


def draw(curve: Curve, columns: int, *, unicode: bool = True, rows: int = ROWS) -> list[str]:
    """The lines of a picture at most `columns` wide. Where that is not enough, or the terminal has no such characters, one
    line of bars or none."""
    ys = [y for _, y in curve.points]
    low, high = min(ys), max(ys)
    odd = f", {curve.odd} not finite" if curve.odd else ""
    title = cut(
        f"{clean(curve.name)}: {show_number(ys[-1])} (lowest {show_number(low)}, highest {show_number(high)}{odd})",
        columns,
    )
    if not unicode:
        return [title]
    labels = [show_number(high), *[""] * (rows - 2), show_number(low)]
    margin = max(map(width_of, labels))
    plot = min(columns, _WIDEST) - margin - 2
    if plot < _NARROWEST_PLOT:
        return [title, _bars(ys, max(columns, 1))]
    lines = [
        f"{label:>{margin}} {'┤' if label else '│'}{dots}".rstrip()
        for label, dots in zip(labels, _plot(curve.points, plot, rows), strict=True)
    ]
    first, last = str(curve.points[0][0]), str(curve.points[-1][0])
    what = "step" if curve.by_step else "value"
    axis = f"{what} {first}".ljust(plot - len(last)) + last
    return [title, *lines, cut(f"{'':>{margin}}  {axis}", columns)]


def _plot(points: Sequence[tuple[int, float]], columns: int, rows: int) -> list[str]:
    """The points, joined by lines."""
    cells = [[0] * columns for _ in range(rows)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    width, height = columns * 2 - 1, rows * 4 - 1
    before: tuple[int, int] | None = None
    for x, y in points:
        at = round((x - left) / (right - left) * width) if right > left else 0
        up = height - round(_share(y, low, high) * height)
        for dot_x, dot_y in _line(before or (at, up), (at, up)):
            cells[dot_y // 4][dot_x // 2] |= _DOTS[dot_y % 4][dot_x % 2]
        before = (at, up)
    return ["".join(chr(_BLANK | cell) if cell else " " for cell in row) for row in cells]


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterable[tuple[int, int]]:
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0), abs(y1 - y0), 1)
    return ((x0 + round((x1 - x0) * i / steps), y0 + round((y1 - y0) * i / steps)) for i in range(steps + 1))


def _bars(ys: Sequence[float], columns: int) -> str:
    """The last value of each of so many pieces."""
    count = min(columns, len(ys))
    picked = [ys[(i + 1) * len(ys) // count - 1] for i in range(count)]
    low, high = min(ys), max(ys)
    return "".join(_BARS[round(_share(y, low, high) * (len(_BARS) - 1))] for y in picked)


def _share(y: float, low: float, high: float) -> float:
    """Where `y` is between the two; halved first, since their distance may be more than any number."""
    distance = high / 2 - low / 2
    return (y / 2 - low / 2) / distance if distance > 0 else 0.5
