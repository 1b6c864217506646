"""Values as people read them: numbers with as many digits as tell trials apart, periods in their two largest units."""

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.domain.study import Objective
from katib.domain.study_file_values import format_period
from katib.domain.views import StudySummary

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


# From here on a number's whole part has more than six digits, and to here all of them are its own.
_LONG: Final = (1e6, 1e15)


def number(value: float | None) -> str:
    """Six digits, or all of a longer whole part; a dash for none. As the scripts write it."""
    if value is None:
        return "–"
    if _LONG[0] <= abs(value) < _LONG[1]:
        return f"{value:.0f}"
    return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e+")


def precise(value: float | None) -> str:
    """As many digits as tell any two numbers of a trial's report apart; a dash for none."""
    return "–" if value is None else f"{value:.12g}"


def rounded(value: float | None, digits: int = 6) -> float | str | None:
    """Six digits for a chart, ten of what has a longer whole part, where JSON has such a number; `NaN`, `Infinity` and
    `-Infinity` as JavaScript spells them."""
    if value is None:
        return None
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(f"{value:.{10 if abs(value) >= _LONG[0] else digits}g}")


def exact(value: float | None) -> float | str | None:
    """The number with all its digits; what JSON has no number for as `rounded` spells it."""
    return value if value is not None and math.isfinite(value) else rounded(value)


def period(seconds: float) -> str:
    """`0.5s`, `45s`, `3m 20s`, `2h 5m`, `4d 1h`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds)
    for size, unit, small, small_unit in _UNITS:
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size}{unit}" + (f" {rest}{small_unit}" if rest else "")
    return f"{whole}s"


def between(start: datetime | None, end: datetime | None) -> str:
    """How long; until now where there is no end."""
    if start is None:
        return "–"
    return period(((end or datetime.now(UTC)) - start).total_seconds())


def limit(value: timedelta | None) -> str:
    """As a study file has it."""
    return "" if value is None else format_period(value)


def iso(time: datetime | None) -> str:
    """RFC 3339 to the second, in UTC."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def aim(study: StudySummary) -> str:
    """What the study makes better, such as `highest accuracy`."""
    word = "lowest" if study.optimization is Objective.MINIMIZE else "highest"
    return f"{word} {study.objective_name}"


def percent(part: int, whole: int | None) -> str:
    """As an SVG length; of an unknown whole, nothing."""
    return f"{100 * part / whole:.3f}" if whole else "0"
