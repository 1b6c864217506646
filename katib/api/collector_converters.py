"""Between the wire's MetricsCollector and the domain's."""

from typing import Final

from katib.api import api_pb2 as pb
from katib.domain.collector import DEFAULT_COLLECTOR, MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.errors import InvalidArgumentError

FORMATS: Final = {
    pb.METRICS_FORMAT_TEXT: MetricsFormat.TEXT,
    pb.METRICS_FORMAT_JSON: MetricsFormat.JSON,
    pb.METRICS_FORMAT_PATTERN: MetricsFormat.PATTERN,
}
SOURCES: Final = {
    pb.METRICS_SOURCE_OUTPUT: MetricsSource.OUTPUT,
    pb.METRICS_SOURCE_FILE: MetricsSource.FILE,
    pb.METRICS_SOURCE_TENSORBOARD: MetricsSource.TENSORBOARD,
}
READERS: Final = {
    pb.METRICS_READER_MANAGER: MetricsReader.MANAGER,
    pb.METRICS_READER_SDK: MetricsReader.SDK,
}
_FORMAT_OF: Final = {v: k for k, v in FORMATS.items()}
_SOURCE_OF: Final = {v: k for k, v in SOURCES.items()}
_READER_OF: Final = {v: k for k, v in READERS.items()}


def collector_to_proto(collector: MetricsCollector) -> pb.MetricsCollector | None:
    """None where it says nothing: such a study looks as it did before there was one."""
    if collector == DEFAULT_COLLECTOR:
        return None
    return pb.MetricsCollector(
        format=_FORMAT_OF[collector.format],
        pattern=collector.pattern,
        step=collector.step,
        source=_SOURCE_OF[collector.source],
        path=collector.path,
        reader=_READER_OF[collector.reader],
    )


def collector_from_proto(message: pb.MetricsCollector, path: str) -> MetricsCollector:
    format_ = FORMATS.get(message.format)
    if format_ is None:
        raise InvalidArgumentError.of(f"{path}.format", message.format, "expected 0 (text), 1 (json) or 2 (pattern)")
    source = SOURCES.get(message.source)
    if source is None:
        raise InvalidArgumentError.of(
            f"{path}.source", message.source, "expected 0 (output), 1 (file) or 2 (tensorboard)"
        )
    reader = READERS.get(message.reader)
    if reader is None:
        raise InvalidArgumentError.of(f"{path}.reader", message.reader, "expected 0 (manager) or 1 (sdk)")
    return MetricsCollector(format_, message.pattern, message.step, source, message.path, reader)
