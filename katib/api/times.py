"""Between the wire's times and periods and the standard library's."""

from datetime import datetime, timedelta

from google.protobuf import duration_pb2, timestamp_pb2

from katib.domain.errors import InvalidArgumentError
from katib.domain.times import EPOCH


def time_to_proto(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    if time is None:
        return None
    since = time - EPOCH
    return timestamp_pb2.Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def time_from_proto(message: timestamp_pb2.Timestamp, field: str = "time") -> datetime:
    try:
        return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError:
        raise InvalidArgumentError.of(field, str(message.seconds), "expected a time before the year 10000") from None


def period_to_proto(period: timedelta) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=period.days * 86400 + period.seconds, nanos=period.microseconds * 1000)


def period_from_proto(message: duration_pb2.Duration, field: str) -> timedelta:
    try:
        return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError:
        raise InvalidArgumentError.of(field, f"{message.seconds}s", "expected fewer than 10^13 seconds") from None
