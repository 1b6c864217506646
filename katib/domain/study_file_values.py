"""What stands in one scalar of a study file, or in one option of the command line: numbers, names and periods."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Final, Generic, TypeVar

from katib.domain.collector import MetricsFormat, MetricsReader, MetricsSource
from katib.domain.metrics import MetricStrategy, parse_value
from katib.domain.search_space import ParameterType, Scale
from katib.domain.study import Objective, StudySpec

E = TypeVar("E", bound=Enum)

PERIOD_EXPECTED: Final = "expected a period such as 90s, 10m, 2h or 1h30m, or a number of seconds"
_MAX_LENGTH: Final = 40
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_SECONDS: Final = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_PERIOD: Final = re.compile(
    "".join(rf"(?:(?P<{unit}>\d+\.?\d*|\.\d+){unit})?" for unit in "dhms"), re.ASCII | re.IGNORECASE
)
_SECONDS_OF: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
DEFAULT_ALGORITHM: Final = "auto"
# As Kubernetes' own reader has them; YAML 1.1's `yes`, `on` and dates are texts to us.
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?(0|[1-9]\d*)", re.ASCII)
_OCTAL: Final = re.compile(r"0o?([0-7]+)")
_FLOAT: Final = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?", re.ASCII)
_YAML_NUMBERS: Final = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


@dataclass(frozen=True, slots=True)
class Words(Generic[E]):
    """The words for the values of an enum: its names, its numbers on the wire, and what users write by mistake."""

    numbers: Mapping[str, E]
    mistaken: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        *most, last = (f"{value.value} ({number})" for number, value in self.numbers.items())
        return f"expected {', '.join(most)} or {last}"

    def find(self, text: str) -> E | None:
        word = text.strip().lower()
        return self.numbers.get(word) or next((v for v in self.numbers.values() if v.value == word), None)

    def names(self) -> list[str]:
        return [str(value.value) for value in self.numbers.values()]


OBJECTIVES: Final = Words({"1": Objective.MINIMIZE, "2": Objective.MAXIMIZE}, {"min": "minimize", "max": "maximize"})
PARAMETER_TYPES: Final = Words(
    {
        "1": ParameterType.DOUBLE,
        "2": ParameterType.INT,
        "3": ParameterType.DISCRETE,
        "4": ParameterType.CATEGORICAL,
    },
    {
        "float": "double",
        "real": "double",
        "number": "double",
        "uniform": "double",
        "integer": "int",
        "choice": "categorical",
        "string": "categorical",
        "bool": "categorical",
        "boolean": "categorical",
    },
)
SCALES: Final = Words({"0": Scale.LINEAR, "1": Scale.LOG}, {"uniform": "linear", "loguniform": "log"})
STRATEGIES: Final = Words(
    {"0": MetricStrategy.LATEST, "1": MetricStrategy.MIN, "2": MetricStrategy.MAX},
    {"last": "latest", "final": "latest", "minimum": "min", "maximum": "max"},
)
FORMATS: Final = Words(
    {"0": MetricsFormat.TEXT, "1": MetricsFormat.JSON, "2": MetricsFormat.PATTERN},
    {
        "jsonl": "json",
        "jsonlines": "json",
        "json_lines": "json",
        "regex": "pattern",
        "regexp": "pattern",
        "txt": "text",
    },
)

SOURCES: Final = Words(
    {"0": MetricsSource.OUTPUT, "1": MetricsSource.FILE, "2": MetricsSource.TENSORBOARD},
    {
        "stdout": "output",
        "print": "output",
        "log": "output",
        "tfevent": "tensorboard",
        "tensorflowevent": "tensorboard",
    },
)
READERS: Final = Words({"0": MetricsReader.MANAGER, "1": MetricsReader.SDK})


def parse_whole(text: str) -> int | None:
    """The whole number that `text` spells, or None."""
    return int(text) if len(text) <= _MAX_LENGTH and _WHOLE.fullmatch(text) else None


def parse_number(text: str) -> float | None:
    """The number that `text` spells, YAML's `.inf` and `.nan` included, or None."""
    return parse_value(_YAML_NUMBERS.get(text.lower(), text))


def parse_period(text: str) -> timedelta:
    """`90s`, `10m`, `2h`, `1d`, `1h30m`, or a number of seconds.

    Raises ValueError with what was expected; a period that is too long for a timedelta becomes the longest one.
    """
    text = text.strip()
    found = _PERIOD.fullmatch(text) if text and len(text) <= _MAX_LENGTH else None
    if found is not None:
        seconds = sum((Decimal(n) * _SECONDS_OF[unit] for unit, n in found.groupdict().items() if n), Decimal(0))
    elif len(text) <= _MAX_LENGTH and _SECONDS.fullmatch(text):
        seconds = Decimal(text)
    else:
        raise ValueError(PERIOD_EXPECTED)
    microseconds = int((seconds * 1_000_000).to_integral_value())
    return min(microseconds, timedelta.max // timedelta(microseconds=1)) * timedelta(microseconds=1)


def format_period(period: timedelta) -> str:
    """The shortest spelling that `parse_period` reads as the same: `1h30m`, `90s` is `1m30s`, nothing is `0s`."""
    rest = period // timedelta(microseconds=1)
    words = []
    for unit in "dhm":
        count, rest = divmod(rest, _SECONDS_OF[unit] * 1_000_000)
        if count:
            words.append(f"{count}{unit}")
    if rest or not words:
        whole, fraction = divmod(rest, 1_000_000)
        words.append(f"{whole}.{fraction:06d}".rstrip("0").rstrip(".") + "s")
    return "".join(words)


def plain_value(text: str) -> object:
    """What a scalar without quotes stands for in a Pod template: `true`, `8080`, `0.5`, `0644` in octal, nothing, or a text."""
    if text in NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    if len(text) > _MAX_LENGTH:
        return text
    if _INT.fullmatch(text):
        return int(text)
    octal = _OCTAL.fullmatch(text)
    if octal is not None:
        return int(octal[1], 8)
    return float(text) if _FLOAT.fullmatch(text) else text


def leaves_algorithm_open(spec: StudySpec) -> bool:
    """Whether a file of this study that says nothing of an algorithm means the default one: it says how many trials there shall
    be, and what each of them is to run. Files of Katib 0.1 do not say the first in this way: without an algorithm their studies
    stay idle, as they were."""
    return spec.limits.max_trials is not None and bool(spec.command or spec.image)


def names_a_program(spec: StudySpec) -> bool:
    """Whether there is anything that Katib could run."""
    return bool(spec.command or spec.image or spec.pod.template)
