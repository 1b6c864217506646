"""Values as people read them: numbers with as many digits as tell trials apart, periods in their two largest units."""

import math
from datetime import UTC, datetime, timedelta

from katib.domain.study import Objective
from katib.domain.study_file_values import format_period
from katib.domain.views import StudySummary

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def number(value: float | None) -> str:
    """Six digits; a dash for none."""
    return "–" if value is None else f"{value:.6g}"


def rounded(value: float | None) -> float | str | None:
    """Six digits for a chart, where JSON has such a number; `NaN`, `Infinity` and `-Infinity` as JavaScript spells them."""
    if value is None:
        return None
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(f"{value:.6g}")


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
