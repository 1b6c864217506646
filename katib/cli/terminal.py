"""What is safe and readable on a terminal: text from elsewhere without its control characters, numbers, periods, tables."""

import os
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

STATE_COLOURS: Final = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "ERROR": "red",
    "FAILED": "red",
    "KILLED": "yellow",
    "STOPPED": "yellow",
    "PAUSED": "yellow",
}
_LONGEST_CELL: Final = 60


def clean(text: str) -> str:
    """One line without anything that a terminal obeys: control characters and what turns the direction of writing are
    shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def clean_lines(text: str) -> str:
    """As `clean`, with line ends and tabs kept."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(8).split("\n")
    return "\n".join(clean(line) for line in lines)


def _escape(c: str) -> str:
    if c == "\n":
        return "\\n"
    return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def show_number(value: float | None) -> str:
    """Six digits: enough to tell trials apart. `-` for none."""
    return "-" if value is None else f"{value:.6g}"


def show_period(period: timedelta | None) -> str:
    """The two largest units: `0.5s`, `45s`, `3m20s`, `2h5m`, `4d1h`."""
    if period is None:
        return "-"
    if period < timedelta(seconds=10):
        return f"{max(period.total_seconds(), 0.0):.1f}s"
    seconds = int(period.total_seconds())
    for size, unit, small, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size}{unit}{f'{rest}{small_unit}' if rest else ''}"
    return f"{seconds}s"


def show_age(since: datetime | None, until: datetime | None = None) -> str:
    return "-" if since is None else show_period((until or datetime.now(UTC)) - since)


def show_reason(reason: str, message: str) -> str:
    return ": ".join(clean(part) for part in (reason, message) if part)


def coloured(state: str) -> str:
    """A state's word in its colour."""
    colour = STATE_COLOURS.get(state)
    return in_colour(state, colour) if colour else state


def in_colour(text: str, colour: str) -> str:
    """As it is where standard output is no terminal, or the user wants no colours."""
    import click

    return click.style(text, fg=colour) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def width_of(text: str) -> int:
    """How many columns printable text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """At most `width` columns, an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and width_of(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None) -> str:
    """Columns aligned by spaces; cells are made clean here. `columns`: the width of the terminal, into which each row is
    cut, or None for whole cells."""
    last = len(headers) - 1
    cells = [[clean(cell) or "-" for cell in row] for row in rows]
    if columns is not None:
        cells = [[cell if i == last else cut(cell, _LONGEST_CELL) for i, cell in enumerate(row)] for row in cells]
    grid = [list(headers), *cells]
    widths = [max(width_of(row[i]) for row in grid) for i in range(last + 1)]
    lines = []
    for number, row in enumerate(grid):
        line = "  ".join(cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True))
        line = line.rstrip()
        if columns is not None:
            line = cut(line, columns)
        lines.append(_colour_states(line) if number else line)
    return "\n".join(lines)


def _colour_states(line: str) -> str:
    """Colours the first state's word of a row, after widths were counted."""
    words = line.split("  ")
    for i, word in enumerate(words):
        if word.strip() in STATE_COLOURS:
            words[i] = word.replace(word.strip(), coloured(word.strip()))
            break
    return "  ".join(words)


def terminal_width() -> int | None:
    """The terminal's width, or None when standard output is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def fields(*pairs: tuple[str, str]) -> str:
    """`Name: value` lines, aligned; those with an empty value are left out. Values are made clean, their lines kept."""
    given = [(clean(name), clean_lines(value).rstrip()) for name, value in pairs if value]
    width = max((width_of(name) for name, _ in given), default=0) + 1
    lines = []
    for name, value in given:
        first, *more = value.split("\n")
        lines.append(f"{name}:{' ' * (width - width_of(name))}{coloured(first)}")
        lines += [" " * (width + 1) + line for line in more]
    return "\n".join(lines)
