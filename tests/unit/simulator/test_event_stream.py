"""AWS event-stream framing, read back by botocore and byte by byte."""

import struct
import zlib

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from agentplatform.simulator.dialects.event_stream import encode_message, event_headers, exception_headers


def read(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message, as botocore reads them."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


def test_a_message_is_read_back_by_botocore() -> None:
    """Headers, payload, and several messages in a row, an empty payload among them."""
    data = encode_message(event_headers("chunk"), b'{"bytes":"e30="}') + encode_message(
        exception_headers("throttlingException"), b""
    )
    assert read(data) == [
        (event_headers("chunk"), b'{"bytes":"e30="}'),
        (exception_headers("throttlingException"), b""),
    ]


def test_the_prelude_carries_both_lengths_and_sums() -> None:
    """Total length, length of the headers, their CRC-32, and that of the whole message."""
    data = encode_message({"a": "bc"}, b"xyz")
    total, headers, prelude_sum = struct.unpack(">III", data[:12])
    assert total == len(data)
    assert data[12 : 12 + headers] == b"\x01a\x07\x00\x02bc"
    assert prelude_sum == zlib.crc32(data[:8])
    assert struct.unpack(">I", data[-4:])[0] == zlib.crc32(data[:-4])


def test_a_changed_byte_is_noticed() -> None:
    """The sums are not for show."""
    data = bytearray(encode_message({"a": "bc"}, b"xyz"))
    data[-6] ^= 1
    with pytest.raises(ChecksumMismatch):
        read(bytes(data))
