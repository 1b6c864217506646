"""Event files written byte by byte, for what no library writes on purpose."""

import struct

from katib.domain.event_files import masked_crc


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(number_: int, value: int) -> bytes:
    return varint(number_ << 3) + varint(value)


def simple(tag: str, value: float) -> bytes:
    """A Summary.Value with a simple_value."""
    return message(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value)


def with_tensor(tag: str, tensor: bytes) -> bytes:
    return message(1, tag.encode()) + message(8, tensor)


def event(step: int, *values: bytes, wall_time: float = 1.5) -> bytes:
    summary = b"".join(message(1, value) for value in values)
    return varint(1 << 3 | 1) + struct.pack("<d", wall_time) + number(2, step) + message(5, summary)


def record(data: bytes) -> bytes:
    header = struct.pack("<Q", len(data))
    return header + struct.pack("<I", masked_crc(header)) + data + struct.pack("<I", masked_crc(data))
