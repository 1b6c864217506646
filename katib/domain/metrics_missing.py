"""Why a trial that ended well has no value of its objective, as far as its output tells."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from katib.domain.collector import MetricsCollector, MetricsFormat
from katib.domain.metric_lines import Pattern, parse_object
from katib.domain.metrics import MAX_LINE, parse_value

_MAX_NAMES: Final = 10
_MAX_NAME: Final = 60
_SHOWN: Final = 80
_TOO_LONG: Final = f"a line of more than {MAX_LINE // 1024} KiB, of which only the beginning is read"


def names_seen(
    lines: Iterable[str], collector: MetricsCollector, compile_pattern: Callable[[str], Pattern]
) -> list[str]:
    """The names that the lines give numbers for, in the order of their first coming."""
    match collector.format:
        case MetricsFormat.JSON:
            found = (name for line in lines for name, value in (parse_object(line) or {}).items() if _is_number(value))
        case MetricsFormat.PATTERN:
            pattern = compile_pattern(collector.pattern)
            matches = (match.groupdict() for line in lines for match in pattern.finditer(line))
            found = (m["name"] for m in matches if m.get("name") and _is_number(m["value"]))
        case _:
            pairs = (word.partition("=") for line in lines for word in line.split())
            found = (name for name, equals, value in pairs if name and equals and _is_number(value))
    return list(dict.fromkeys(name[:_MAX_NAME] for name in found))


def explain_missing(
    objective: str, collector: MetricsCollector, lines: Sequence[str], names: Sequence[str], long: Sequence[str] = ()
) -> str:
    """A sentence on what was seen in the place of `objective`: `names`, or its name in a form that is not read. `long`
    are lines of more than MAX_LINE bytes, with what is not read of them."""
    missed = f"it ended well but reported no value of {objective}"
    written = _written(objective)
    for line in long:
        if match := written.search(line):
            return f"{missed}: it printed {match[0][:_SHOWN]!r} in {_TOO_LONG}; print it on a line of its own"
    also = f"; it printed {_TOO_LONG}" if long else ""
    near = _written_otherwise(objective, collector, lines)
    if near:
        return f"{missed}: {near}{also}"
    if not names:
        return f"{missed}, nor of anything else; {_how(objective, collector)}{also}"
    return f"{missed}; {_values_of(objective, names)}{also}"


def explain_missing_in_file(objective: str, path: str, names: Sequence[str]) -> str:
    """The same, for a study whose metrics are read from a file."""
    missed = f"it ended well but wrote no value of {objective} to {path}"
    return f"{missed}; {_values_of(objective, names)}" if names else f"{missed}, nor of anything else"


def _values_of(objective: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES]) + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
    by_fold = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(objective.casefold(), by_fold, n=1, cutoff=0.5)
    meant = f"; if {by_fold[close[0]]} is meant, name it so in the study" if close else ""
    return f"there are values of {shown}{meant}"


def _how(objective: str, collector: MetricsCollector) -> str:
    match collector.format:
        case MetricsFormat.JSON:
            return f"print lines such as {json.dumps({objective: 0.5}, ensure_ascii=False)}"
        case MetricsFormat.PATTERN:
            return "no line matches the study's pattern"
        case _:
            return f"print {objective}=NUMBER"


def _written_otherwise(objective: str, collector: MetricsCollector, lines: Iterable[str]) -> str:
    """What to do about lines that have the objective's name with something behind it that was not taken."""
    written = _written(objective)
    for line in lines:
        match = written.search(line)
        if match is None:
            continue
        if collector.format is MetricsFormat.TEXT and objective in (parse_object(line) or {}):
            return "it printed JSON, which a study reads with metrics_collector: {format: json}"
        return f"it printed {match[0][:_SHOWN]!r}, which is not read; {_how(objective, collector)}"
    return ""


def _written(objective: str) -> re.Pattern[str]:
    """The objective's name with something behind it, as in most of the ways to print a value."""
    return re.compile(rf"(?<![\w.-]){re.escape(objective)}[\"']?\s*[:=]\s*\S+")


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, str) and parse_value(value) is not None)
