"""Times and periods as whole microseconds, times since 1970: what is stored, and what lists are sorted by.

A number means the same to every database, needs no time zone, and costs a tenth of parsing a time stamp.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(time: datetime) -> int:
    """Exact. Raises TypeError for a time without a time zone."""
    return (time - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def to_micros_or_none(time: datetime | None) -> int | None:
    return None if time is None else to_micros(time)


def from_micros_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def period_to_micros_or_none(period: timedelta | None) -> int | None:
    return None if period is None else period // _MICROSECOND


def period_from_micros_or_none(micros: int | None) -> timedelta | None:
    return None if micros is None else timedelta(microseconds=micros)
