"""How a study's metrics are read from what its trials print."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from katib.domain.checks import check_name
from katib.domain.errors import FieldViolation, violation

MAX_PATTERN: Final = 1000
# The keys that give a value's step where the study names none; the first that a line has counts.
STEP_KEYS: Final = ("step", "epoch")

PATTERN_GROUPS: Final = "with a group (?P<value>...), and perhaps (?P<name>...) and (?P<step>...)"


class MetricsFormat(Enum):
    TEXT = "text"  # name=value, several to a line
    JSON = "json"  # an object to a line
    PATTERN = "pattern"  # a regular expression of the user's


@dataclass(frozen=True, slots=True)
class MetricsCollector:
    """`pattern`: for PATTERN, with a group `value` and perhaps `name` and `step`. `step`: the key of a line's step for TEXT
    and JSON; empty: one of STEP_KEYS."""

    format: MetricsFormat = MetricsFormat.TEXT
    pattern: str = ""
    step: str = ""

    @property
    def step_keys(self) -> tuple[str, ...]:
        return (self.step,) if self.step else STEP_KEYS


DEFAULT_COLLECTOR: Final = MetricsCollector()


def check_collector(collector: MetricsCollector, path: str) -> list[FieldViolation]:
    """Everything but what a pattern means: that is for the manager's engine to say."""
    found: list[FieldViolation] = []
    if collector.step:
        found += check_name(f"{path}.step", collector.step)
    if collector.format is MetricsFormat.PATTERN:
        found += _check_pattern(f"{path}.pattern", collector.pattern)
        if collector.step:
            found.append(violation(f"{path}.step", collector.step, "expected none: a pattern has a group for it"))
    elif collector.pattern:
        found.append(violation(f"{path}.pattern", collector.pattern, "expected none, or the format pattern"))
    return found


def _check_pattern(field: str, pattern: str) -> list[FieldViolation]:
    if not pattern:
        return [violation(field, pattern, f"expected a regular expression {PATTERN_GROUPS}")]
    if len(pattern) > MAX_PATTERN:
        return [violation(field, pattern, f"expected at most {MAX_PATTERN} characters, got {len(pattern)}")]
    return []
