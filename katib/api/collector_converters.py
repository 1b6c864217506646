"""Between the wire's MetricsCollector and the domain's."""

from typing import Final

from katib.api import api_pb2 as pb
from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector, MetricsFormat
from katib.domain.errors import InvalidArgumentError

FORMATS: Final = {
    pb.METRICS_FORMAT_TEXT: MetricsFormat.TEXT,
    pb.METRICS_FORMAT_JSON: MetricsFormat.JSON,
    pb.METRICS_FORMAT_PATTERN: MetricsFormat.PATTERN,
}
_FORMAT_OF: Final = {v: k for k, v in FORMATS.items()}


def collector_to_proto(collector: MetricsCollector) -> pb.MetricsCollector | None:
    """None where it says nothing: such a study looks as it did before there was one."""
    if collector == DEFAULT_COLLECTOR:
        return None
    return pb.MetricsCollector(format=_FORMAT_OF[collector.format], pattern=collector.pattern, step=collector.step)


def collector_from_proto(message: pb.MetricsCollector, path: str) -> MetricsCollector:
    format_ = FORMATS.get(message.format)
    if format_ is None:
        raise InvalidArgumentError.of(f"{path}.format", message.format, "expected 0 (text), 1 (json) or 2 (pattern)")
    return MetricsCollector(format_, message.pattern, message.step)
