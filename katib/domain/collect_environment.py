"""What the SDK beside a program must know to read its metrics file: one variable of the trial."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource

VARIABLE: Final = "KATIB_COLLECT"


@dataclass(frozen=True, slots=True)
class CollectTask:
    """`names`: the metrics of the study, the objective first."""

    collector: MetricsCollector
    names: tuple[str, ...]


def collect_environment(collector: MetricsCollector, names: tuple[str, ...]) -> Mapping[str, str]:
    """Empty for a study that has nothing for the SDK to read."""
    if not collector.file_of_sdk:
        return {}
    task = {
        "source": collector.source.value,
        "path": collector.path,
        "format": collector.format.value,
        "pattern": collector.pattern,
        "step": collector.step,
        "names": names,
    }
    return {VARIABLE: json.dumps(task, separators=(",", ":"))}


def collect_task(text: str) -> CollectTask:
    """Raises ValueError for what no manager has written."""
    try:
        data: dict[str, Any] = json.loads(text)
        return CollectTask(
            MetricsCollector(
                MetricsFormat(data["format"]),
                data["pattern"],
                data["step"],
                MetricsSource(data["source"]),
                data["path"],
                MetricsReader.SDK,
            ),
            tuple(data["names"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{VARIABLE} has no {error}") from None
