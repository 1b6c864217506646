"""Names and values as MLflow takes them."""

import math
import posixpath
import re
from collections.abc import Iterable
from typing import Final

from katib.domain.metrics import parse_value
from katib.domain.trial import Tag

# A name has at most 250 characters, of these, and must be a path that is written in one way only.
_LONGEST: Final = 250
_OTHER: Final = re.compile(r"[^A-Za-z0-9_\-. :/]")
_LONGEST_VALUE: Final = 500
# Bytes are counted, of which a character has up to four.
_LONGEST_TAG: Final = 1000
# No infinity is stored by MLflow; it shows the greatest number there is.
_NAMED: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def fit(name: str) -> str:
    """The name where MLflow takes it, else one like it."""
    fitting = _OTHER.sub("_", name)[:_LONGEST]
    if posixpath.normpath(fitting) != fitting or fitting.startswith((".", "/")):
        fitting = "_" + fitting.replace("/", "_").lstrip(".")
        fitting = fitting[:_LONGEST]
    return fitting


class Names:
    """Names that fit, a different one for each different name; the same in the same order."""

    def __init__(self) -> None:
        self._fitting: dict[str, str] = {}
        self._used: set[str] = set()

    def of(self, name: str) -> str:
        found = self._fitting.get(name)
        if found is None:
            found = fitting = fit(name)
            number = 2
            while found in self._used:
                found = f"{fitting[: _LONGEST - 8]}_{number}"
                number += 1
            self._fitting[name] = found
            self._used.add(found)
        return found


def unique(pairs: Iterable[tuple[str, str]], longest: int = _LONGEST_VALUE) -> dict[str, str]:
    """Parameters or tags by names that fit, each its own (the last one of a name counts), and values that fit."""
    names = Names()
    return {names.of(name): value if len(value) <= longest else value[: longest - 1] + "…" for name, value in pairs}


def tags(found: Iterable[Tag]) -> dict[str, str]:
    return unique(((f"katib.tag.{tag.name}", tag.value) for tag in found), _LONGEST_TAG)


def number(text: str) -> float | str:
    """As MLflow's JSON has it."""
    value = parse_value(text)
    if value is None or math.isnan(value):
        return "NaN"
    return _NAMED.get(value, value)
