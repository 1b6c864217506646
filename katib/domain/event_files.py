"""The scalars in TensorBoard's event files. Pure: bytes in, values out.

An event file is a sequence of TFRecords, each an `Event` message of TensorFlow's protocol (tensorflow/core/util/event.proto,
framework/summary.proto and tensor.proto). Of these only what a scalar is made of is read here: step and wall time of the event,
tag and number of each summary value, be it a `simple_value` or a tensor with one element.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER: Final = 12
FOOTER: Final = 4
# A scalar's record has some hundred bytes; those of images, graphs and checkpoints are passed over.
MAX_RECORD: Final = 1024 * 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# tensorflow/core/framework/types.proto
_FLOAT, _DOUBLE, _INT32, _INT64, _BFLOAT16, _HALF = 1, 2, 3, 9, 14, 19
_CONTENT: Final = {_FLOAT: "<f", _DOUBLE: "<d", _INT32: "<i", _INT64: "<q", _HALF: "<e"}


class DamagedError(ValueError):
    """What stands there is no record: the file is damaged from here on, or none."""


@dataclass(frozen=True, slots=True)
class Scalar:
    tag: str
    value: float


@dataclass(frozen=True, slots=True)
class Event:
    wall_time: float
    step: int
    scalars: tuple[Scalar, ...]


def record_length(header: bytes) -> int:
    """Of the data, from a record's first HEADER bytes. Raises DamagedError."""
    length, crc = struct.unpack("<QI", header)
    if crc != masked_crc(header[:8]):
        raise DamagedError("the checksum of a record's length is wrong")
    return int(length)


def check_data(data: bytes, footer: bytes) -> None:
    """Raises DamagedError unless the data is what was written."""
    if struct.unpack("<I", footer)[0] != masked_crc(data):
        raise DamagedError("the checksum of a record is wrong")


def parse_event(data: bytes) -> Event:
    """Raises DamagedError for what is no message at all; what has no scalars has none."""
    wall_time, step = 0.0, 0
    scalars: list[Scalar] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes) and len(value) == 8:
            wall_time = struct.unpack("<d", value)[0]
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 5 and isinstance(value, bytes):
            scalars += _summary(value)
    return Event(wall_time if math.isfinite(wall_time) else 0.0, step, tuple(scalars))


def masked_crc(data: bytes) -> int:
    """CRC-32C (Castagnoli) as TFRecords have it: rotated and moved, since a checksum of checksums would be weak."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE: Final = _table()


def _summary(data: bytes) -> Iterator[Scalar]:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            scalar = _scalar(value)
            if scalar is not None:
                yield scalar


def _scalar(data: bytes) -> Scalar | None:
    tag: str | None = None
    value: float | None = None
    for number, field in _fields(data):
        if not isinstance(field, bytes):
            continue
        if number == 1:
            tag = field.decode(errors="replace")
        elif number == 2 and len(field) == 4:
            value = struct.unpack("<f", field)[0]
        elif number == 8:
            value = _tensor(field)
    return None if tag is None or value is None else Scalar(tag, value)


def _tensor(data: bytes) -> float | None:
    """The number, if it is one."""
    kind = 0
    content = b""
    numbers: list[float] = []
    for number, field in _fields(data):
        if number == 1 and isinstance(field, int):
            kind = field
        elif number == 4 and isinstance(field, bytes):
            content = field
        elif number == 5 and isinstance(field, bytes) and len(field) % 4 == 0:
            numbers += struct.unpack(f"<{len(field) // 4}f", field)
        elif number == 6 and isinstance(field, bytes) and len(field) % 8 == 0:
            numbers += struct.unpack(f"<{len(field) // 8}d", field)
        elif number in (7, 10, 13):
            numbers += _whole(field, kind)
    if content and not numbers:
        form = _CONTENT.get(kind)
        if form is not None and struct.calcsize(form) == len(content):
            return float(struct.unpack(form, content)[0])
        if kind == _BFLOAT16 and len(content) == 2:
            return float(struct.unpack("<f", b"\0\0" + content)[0])
        return None
    return float(numbers[0]) if len(numbers) == 1 else None


def _whole(field: int | bytes, kind: int) -> list[float]:
    """The numbers of `int_val`, `int64_val` and `half_val`, packed or not."""
    found: list[float] = []
    at = 0
    raws = [field] if isinstance(field, int) else []
    while isinstance(field, bytes) and at < len(field):
        raw, at = _varint(field, at)
        raws.append(raw)
    for raw in raws:
        if kind == _HALF:
            found.append(struct.unpack("<e", struct.pack("<H", raw & 0xFFFF))[0])
        elif kind == _BFLOAT16:
            found.append(struct.unpack("<f", struct.pack("<I", (raw & 0xFFFF) << 16))[0])
        elif kind in (_INT32, _INT64):
            found.append(float(raw - (1 << 64) if raw >= 1 << 63 else raw))
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """A protobuf message's fields: a varint as a number, everything else as its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind == _FIXED64:
            size = 8
        elif kind == _FIXED32:
            size = 4
        else:
            raise DamagedError(f"a record has a field of the unknown kind {kind}")
        if at + size > len(data):
            raise DamagedError("a record ends within a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise DamagedError("a record ends within a number")
