"""Observations, how a number is spelled, and which of a trial's values is the objective's."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

OUTPUT_SOURCE: Final = "output"
# With the reporter's name behind it.
REPORT_SOURCE: Final = "report:"
MAX_SOURCE: Final = 64
# Of a longer line the beginning is looked at and the rest passed over: no training prints its metrics behind 64 KiB.
MAX_LINE: Final = 64 * 1024


class MetricStrategy(Enum):
    LATEST = "latest"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one metric in one attempt of a trial.

    Its key within the trial is (attempt, source, position, ordinal): taken in twice, it is there once. `source` is `output`,
    or the reporter's name; `position` is the byte offset or time stamp in the output, or the reporter's own sequence number;
    `ordinal` tells apart what shares a position. `value` may be NaN or infinite.
    """

    name: str
    value: float
    time: datetime
    attempt: int
    source: str
    position: int
    ordinal: int = 0
    step: int | None = None


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line that a run printed: without its line end; `position` is unique and grows within the attempt."""

    text: str
    position: int
    time: datetime


# ASCII only: ignoring case, `i` would match the Turkish dotless one too, which float() refuses.
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)


def parse_value(text: str) -> float | None:
    """The number that `text` spells, NaN and infinities included; None when it spells none."""
    return float(text) if len(text) <= 64 and _NUMBER.fullmatch(text) else None


def format_value(value: float) -> str:
    """With full precision: `parse_value` gives the same number back. NaN and infinities are `nan`, `inf`, `-inf`."""
    return repr(float(value))


def fold_objective(so_far: float | None, values: Iterable[float], strategy: MetricStrategy) -> float | None:
    """The objective's value after further ones, in the order in which they came.

    MIN and MAX pass over NaN as long as there is a number: a training that once divided by zero keeps its best value.
    """
    result = so_far
    for value in values:
        if result is None or strategy is MetricStrategy.LATEST or math.isnan(result):
            result = value
        elif not math.isnan(value):
            result = min(result, value) if strategy is MetricStrategy.MIN else max(result, value)
    return result
