"""Which of a study's models are kept: `all`, `none`, or `best:K`, the K best."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from katib.domain.errors import FieldViolation, violation
from katib.domain.ranking import rank

MAX_BEST: Final = 1_000_000
EXPECTED: Final = f"expected all, none, or best:K with K from 1 to {MAX_BEST}"
_BEST: Final = re.compile("best:([1-9][0-9]{0,6})")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retention:
    """`best` None: every model; 0: none."""

    best: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Retention | None":
        """Empty is `all`. None: it is no such word."""
        if text in ("", "all"):
            return cls()
        if text == "none":
            return cls(0)
        match = _BEST.fullmatch(text)
        best = int(match[1]) if match else 0
        return cls(best) if 1 <= best <= MAX_BEST else None


def check_retention(field: str, text: str) -> list[FieldViolation]:
    return [] if Retention.parse(text) else [violation(field, text, EXPECTED)]


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """A model that the policy decides on. `objective` None, or NaN: worse than any with a value."""

    key: T
    number: int
    objective: float | None


def surplus(retention: Retention, maximize: bool, models: Sequence[Candidate[T]]) -> list[T]:
    """The keys of those that are to go: all but the best. Of two that are as good as each other the earlier trial's stays."""
    if retention.best is None or len(models) <= retention.best:
        return []
    ranked = sorted(models, key=lambda model: rank(model.objective, maximize, model.number))
    return [model.key for model in ranked[retention.best :]]
