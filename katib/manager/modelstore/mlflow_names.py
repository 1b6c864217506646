"""Names and values as MLflow takes them."""

import math
import posixpath
import re
from collections.abc import Iterable
from typing import Final

from katib.domain.metrics import parse_value

# A name has at most 250 characters, of these, and must be a path that is written in one way only.
_LONGEST: Final = 250
_OTHER: Final = re.compile(r"[^A-Za-z0-9_\-. :/]")
_LONGEST_VALUE: Final = 500
# No infinity is stored by MLflow; it shows the greatest number there is.
_NAMED: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def fit(name: str) -> str:
    """The name where MLflow takes it, else one like it."""
    fitting = _OTHER.sub("_", name)[:_LONGEST]
    if posixpath.normpath(fitting) != fitting or fitting.startswith((".", "/")):
        fitting = "_" + fitting.replace("/", "_").lstrip(".")
        fitting = fitting[:_LONGEST]
    return fitting


def unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Parameters by names that fit, each its own, and values that fit."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key = fitting = fit(name)
        number = 2
        while key in found:
            key = f"{fitting[: _LONGEST - 8]}_{number}"
            number += 1
        found[key] = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
    return found


def number(text: str) -> float | str:
    """As MLflow's JSON has it."""
    value = parse_value(text)
    if value is None or math.isnan(value):
        return "NaN"
    return _NAMED.get(value, value)
