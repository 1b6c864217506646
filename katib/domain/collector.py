"""Where a study's metrics are read from, and how."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from katib.domain.checks import MAX_TEXT, check_name, check_text
from katib.domain.errors import FieldViolation, violation

MAX_PATTERN: Final = 1000
# The keys that give a value's step where the study names none; the first that a line has counts.
STEP_KEYS: Final = ("step", "epoch")

PATTERN_GROUPS: Final = "with a group (?P<value>...), and perhaps (?P<name>...) and (?P<step>...)"


class MetricsFormat(Enum):
    TEXT = "text"  # name=value, several to a line
    JSON = "json"  # an object to a line
    PATTERN = "pattern"  # a regular expression of the user's


class MetricsSource(Enum):
    OUTPUT = "output"  # what the program prints
    FILE = "file"  # a file of lines
    TENSORBOARD = "tensorboard"  # a folder with event files


class MetricsReader(Enum):
    """Who reads a file: a manager that sees it, or the SDK beside the program (`python -m katib.sdk.collect COMMAND`)."""

    MANAGER = "manager"
    SDK = "sdk"


@dataclass(frozen=True, slots=True)
class MetricsCollector:
    """`path`: of the file or the folder, as the program sees it; relative to where it runs. Empty: what the program finds in
    KATIB_METRICS_PATH. `pattern`: for PATTERN, with a group `value` and perhaps `name` and `step`. `step`: the key of a
    line's step for TEXT and JSON; empty: one of STEP_KEYS."""

    format: MetricsFormat = MetricsFormat.TEXT
    pattern: str = ""
    step: str = ""
    source: MetricsSource = MetricsSource.OUTPUT
    path: str = ""
    reader: MetricsReader = MetricsReader.MANAGER

    @property
    def file_of_manager(self) -> bool:
        """Whether the manager has a file to read."""
        return self.source is not MetricsSource.OUTPUT and self.reader is MetricsReader.MANAGER

    @property
    def file_of_sdk(self) -> bool:
        """Whether the SDK has a file to read, in the trial."""
        return self.source is not MetricsSource.OUTPUT and self.reader is MetricsReader.SDK

    @property
    def step_keys(self) -> tuple[str, ...]:
        return (self.step,) if self.step else STEP_KEYS


DEFAULT_COLLECTOR: Final = MetricsCollector()


def check_collector(collector: MetricsCollector, path: str) -> list[FieldViolation]:
    """Everything but what a pattern means: that is for the manager's engine to say."""
    found = _check_source(collector, path)
    if collector.step:
        found += check_name(f"{path}.step", collector.step)
    if collector.format is MetricsFormat.PATTERN:
        found += _check_pattern(f"{path}.pattern", collector.pattern)
        if collector.step:
            found.append(violation(f"{path}.step", collector.step, "expected none: a pattern has a group for it"))
    elif collector.pattern:
        found.append(violation(f"{path}.pattern", collector.pattern, "expected none, or the format pattern"))
    return found


def _check_source(collector: MetricsCollector, path: str) -> list[FieldViolation]:
    at = f"{path}.path"
    found = check_text(at, collector.path, MAX_TEXT)
    if collector.source is MetricsSource.OUTPUT:
        if collector.path:
            found.append(violation(at, collector.path, "expected none, or source: file or tensorboard"))
        if collector.reader is not MetricsReader.MANAGER:
            found.append(
                violation(f"{path}.reader", collector.reader.value, "expected none: the manager reads the output")
            )
        return found
    if collector.source is MetricsSource.TENSORBOARD and collector.format is not MetricsFormat.TEXT:
        found.append(violation(f"{path}.format", collector.format.value, "expected none: event files have their own"))
    if collector.reader is MetricsReader.SDK:
        return found + check_text(at, collector.path, MAX_TEXT, required="the file or folder, as the program sees it")
    # As the program may come by it: below its own folder.
    parts = collector.path.split("/")
    if collector.path.startswith("/") or ".." in parts:
        found.append(
            violation(
                at,
                collector.path,
                "expected a path below the run's own folder, or none: $KATIB_METRICS_PATH has one then",
            )
        )
    return found


def _check_pattern(field: str, pattern: str) -> list[FieldViolation]:
    if not pattern:
        return [violation(field, pattern, f"expected a regular expression {PATTERN_GROUPS}")]
    if len(pattern) > MAX_PATTERN:
        return [violation(field, pattern, f"expected at most {MAX_PATTERN} characters, got {len(pattern)}")]
    return []
