"""Scalars are found in event files whoever wrote them, and no bytes do harm."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.event_files import (
    HEADER,
    DamagedError,
    Scalar,
    check_data,
    masked_crc,
    parse_event,
    record_length,
)
from tests.worker.event_writer import event, message, number, record, simple, varint, with_tensor

FLOAT, DOUBLE, INT32, STRING, INT64, BFLOAT16, HALF = 1, 2, 3, 7, 9, 14, 19


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        # RFC 3720, B.4; and the check value of CRC-32C.
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_the_checksum_is_crc_32c_masked(data: bytes, crc: int) -> None:
    assert masked_crc(data) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_an_event_has_a_step_a_time_and_scalars() -> None:
    found = parse_event(event(7, simple("loss", 0.5), simple("acc", math.inf), wall_time=12.25))
    assert (found.step, found.wall_time) == (7, 12.25)
    assert found.scalars == (Scalar("loss", 0.5), Scalar("acc", math.inf))
    assert parse_event(event(-1)).step == -1


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        (number(1, FLOAT) + message(5, struct.pack("<f", 0.25)), 0.25),
        (number(1, DOUBLE) + message(6, struct.pack("<d", 0.1)), 0.1),
        (number(1, FLOAT) + message(4, struct.pack("<f", -2.5)), -2.5),
        (number(1, DOUBLE) + message(4, struct.pack("<d", 1e300)), 1e300),
        (number(1, INT32) + message(7, varint(-3)), -3.0),
        (number(1, INT64) + number(10, -4), -4.0),
        (number(1, INT64) + message(4, struct.pack("<q", 2**40)), 2.0**40),
        (number(1, HALF) + message(13, varint(0x3C00)), 1.0),
        (number(1, HALF) + message(4, b"\x00\x3c"), 1.0),
        (number(1, BFLOAT16) + message(13, varint(0x3F80)), 1.0),
        (number(1, BFLOAT16) + message(4, b"\x80\x3f"), 1.0),
    ],
)
def test_a_tensor_with_one_number_is_a_scalar(tensor: bytes, value: float) -> None:
    assert parse_event(event(1, with_tensor("x", tensor))).scalars == (Scalar("x", value),)


@pytest.mark.parametrize(
    "tensor",
    [
        number(1, FLOAT) + message(5, struct.pack("<2f", 1, 2)),
        number(1, FLOAT) + message(4, bytes(12)),
        number(1, STRING) + message(8, b"text"),
        number(1, STRING) + message(4, bytes(4)),
        b"",
    ],
)
def test_any_other_tensor_is_none(tensor: bytes) -> None:
    assert parse_event(event(1, with_tensor("x", tensor))).scalars == ()


def check_record(whole: bytes) -> None:
    record_length(whole[:HEADER])
    check_data(whole[HEADER:-4], whole[-4:])


def test_a_record_is_what_was_written() -> None:
    data = event(1, simple("a", 1.0))
    whole = record(data)
    assert record_length(whole[:HEADER]) == len(data)
    check_record(whole)
    for at in range(len(whole)):
        bad = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(DamagedError):
            check_record(bad)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_damaged(data: bytes) -> None:
    try:
        found = parse_event(data)
    except DamagedError:
        return
    assert -(2**63) <= found.step < 2**63
    assert math.isfinite(found.wall_time)


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(width=32)), max_size=4), st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_is_read(values: list[tuple[str, float]], step: int) -> None:
    found = parse_event(event(step, *(simple(tag, value) for tag, value in values)))
    assert found.step == step
    assert repr([(s.tag, s.value) for s in found.scalars]) == repr(values)
