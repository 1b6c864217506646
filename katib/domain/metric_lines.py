"""How printed lines become observations, in each of the formats that a study may name."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from katib.domain.collector import STEP_KEYS, MetricsCollector, MetricsFormat
from katib.domain.metrics import MAX_LINE, OUTPUT_SOURCE, Observation, OutputLine, parse_value
from katib.domain.report_lines import parse_report

# Below it, a step fits the wire and every database.
_MAX_STEP: Final = 2.0**63


class Reading(NamedTuple):
    """One value of a metric as a line has it."""

    name: str
    value: float
    step: int | None = None


LineParser = Callable[[str], Iterable[Reading]]


class Match(Protocol):
    def groupdict(self) -> dict[str, Any]: ...


class Pattern(Protocol):
    """What a compiled regular expression must do. The manager's engine takes time linear in the line's length."""

    def finditer(self, text: str, /) -> Iterator[Match]: ...


def line_parser(
    collector: MetricsCollector,
    objective: str,
    names: Collection[str],
    compile_pattern: Callable[[str], Pattern],
) -> LineParser:
    """The reader of lines for the metrics `names`; `objective` is what a pattern without a name gives."""
    if collector.format is MetricsFormat.JSON:
        return JsonLines(names, collector.step_keys)
    if collector.format is MetricsFormat.PATTERN:
        return PatternLines(names, objective, compile_pattern(collector.pattern))
    return TextLines(names, collector.step_keys)


class TextLines:
    """Katib 0.1's form: words are split at white space, so `a=1 b=2` gives two values and `a = 1` none. A word whose value is
    not wholly a number gives none, such as `a=0.9,`. All values of a line have the step that it names, if it names one."""

    def __init__(self, names: Collection[str], step_keys: Sequence[str] = STEP_KEYS) -> None:
        self._names: Final = frozenset(names)
        self._step_keys: Final = step_keys

    def __call__(self, text: str) -> Sequence[Reading]:
        if "=" not in text:
            return ()
        words = text[:MAX_LINE].split()
        if len(text) > MAX_LINE:
            words = words[:-1]  # perhaps cut in the middle of a number
        found: list[tuple[str, float]] = []
        pairs: list[tuple[str, str]] = []
        for word in words:
            name, separator, number = word.partition("=")
            if separator:
                pairs.append((name, number))
                if name in self._names and (value := parse_value(number)) is not None:
                    found.append((name, value))
        if not found:
            return ()
        step = self._step(pairs)
        return [Reading(name, value, step) for name, value in found]

    def _step(self, pairs: Sequence[tuple[str, str]]) -> int | None:
        for key in self._step_keys:
            for name, number in pairs:
                if name == key and (step := parse_step(number)) is not None:
                    return step
        return None


class JsonLines:
    """A line that is wholly a JSON object: its entries are metrics, numbers or texts that spell numbers. `NaN`, `Infinity` and
    `-Infinity` are numbers, as Python's `json` prints them. Nothing is looked for below the first level."""

    def __init__(self, names: Collection[str], step_keys: Sequence[str] = STEP_KEYS) -> None:
        self._names: Final = frozenset(names)
        self._step_keys: Final = step_keys

    def __call__(self, text: str) -> Sequence[Reading]:
        entries = parse_object(text)
        if not entries:
            return ()
        step = next((s for key in self._step_keys if (s := _json_step(entries.get(key))) is not None), None)
        return [
            Reading(name, value, step)
            for name, entry in entries.items()
            if name in self._names and (value := _json_value(entry)) is not None
        ]


class PatternLines:
    """Each match in a line gives a value: its group `value`, which must spell a number, of the metric that its group `name`
    names, or of the objective where the pattern has no such group."""

    def __init__(self, names: Collection[str], objective: str, pattern: Pattern) -> None:
        self._names: Final = frozenset(names)
        self._objective: Final = objective
        self._pattern: Final = pattern

    def __call__(self, text: str) -> Iterator[Reading]:
        for match in self._pattern.finditer(text[:MAX_LINE]):
            groups = match.groupdict()
            name = groups.get("name", self._objective)
            value = parse_value(groups["value"] or "")
            if value is not None and name in self._names:
                yield Reading(name, value, parse_step(groups.get("step") or ""))


def parse_output(
    lines: Iterable[OutputLine], parser: LineParser, attempt: int, source: str = OUTPUT_SOURCE
) -> list[Observation]:
    """The observations that the lines hold, reports that could not be sent among them."""
    found: list[Observation] = []
    for line in lines:
        if (report := parse_report(line, attempt)) is not None:
            found.append(report)
            continue
        found += [
            Observation(name, value, line.time, attempt, source, line.position, ordinal, step)
            for ordinal, (name, value, step) in enumerate(parser(line.text))
        ]
    return found


def parse_step(text: str) -> int | None:
    """The whole number that `text` spells (`3`, `3.0`, `1e3`), or None."""
    return _whole(parse_value(text))


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that the line is, its numbers floats; None when it is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        # A number of any length is one: Python's int() refuses more than 4300 digits.
        found = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json_value(entry: object) -> float | None:
    if isinstance(entry, float):
        return entry
    return parse_value(entry) if isinstance(entry, str) else None


def _json_step(entry: object) -> int | None:
    return _whole(_json_value(entry))


def _whole(value: float | None) -> int | None:
    """A number beyond what the wire and the databases hold is no step."""
    return int(value) if value is not None and value.is_integer() and abs(value) < _MAX_STEP else None
