"""AWS event-stream framing: a prelude with lengths, headers, a payload, and two CRC-32 sums, all big-endian.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache

_STRING = 7
_SUM_BYTES = 4
_PRELUDE_BYTES = 12


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message; header values are strings of at most 64 KiB."""
    return _encode(_encode_headers(tuple(headers.items())), payload)


def event_headers(event_type: str) -> dict[str, str]:
    """Return the headers of an event with a JSON payload."""
    return {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}


def exception_headers(exception_type: str) -> dict[str, str]:
    """Return the headers of an exception with a JSON payload."""
    return {
        ":exception-type": exception_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }


def _encode(headers: bytes, payload: bytes) -> bytes:
    total = _PRELUDE_BYTES + len(headers) + len(payload) + _SUM_BYTES
    prelude = struct.pack(">II", total, len(headers))
    message = b"".join((prelude, struct.pack(">I", zlib.crc32(prelude)), headers, payload))
    return message + struct.pack(">I", zlib.crc32(message))


@lru_cache(maxsize=64)
def _encode_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    encoded = bytearray()
    for name, value in headers:
        raw_name, raw_value = name.encode(), value.encode()
        encoded += struct.pack(">B", len(raw_name)) + raw_name
        encoded += struct.pack(">BH", _STRING, len(raw_value)) + raw_value
    return bytes(encoded)
