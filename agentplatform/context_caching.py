"""Expensive intermediates that are kept for a while: their keys, their encoding, and when one is made anew.

Nothing here knows where they are kept.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

TTL_SECONDS = 3600
"""For how long a value is kept when nobody says otherwise."""
WAIT_SECONDS = 2.0
"""For how long at most one waits for another who is making the same value, before making it too."""
EARLY_SHARE = 0.01
"""What is asked for about once in this share of its TTL, or more often, is hot, however soon it is made."""
MAX_VALUE_BYTES = 2 * 1024 * 1024
"""Larger values are made each time: the store is small, and must answer within milliseconds."""
_CHECKSUM_BYTES = 16


class ContextCache(Protocol):
    """Keeps what is expensive to make. It may forget anything at any time, and never fails."""

    def get_or_make(
        self,
        kind: str,
        tenant_id: uuid.UUID,
        parts: Any,
        make: Callable[[], Any],
        *,
        ttl_seconds: float = TTL_SECONDS,
        is_worth: Callable[[Any], bool] = ...,
        wait_seconds: float = WAIT_SECONDS,
    ) -> Any:
        """The tenant's value of this kind that depends on `parts` alone; made when there is none.

        `parts` and the value are JSON. A value that is not `is_worth` it, or comes back from JSON as another, is
        returned and not kept. Raises what `make` raises.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that is kept, and how long it took to make."""

    value: Any
    making_seconds: float


def cache_key(kind: str, tenant_id: uuid.UUID, parts: Any) -> str:
    """SHA-256 of tenant, kind and canonical JSON of the parts. Raises TypeError when the parts are no JSON."""
    told = orjson.dumps([str(tenant_id), kind, parts], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()


def encode(key: str, entry: Entry) -> bytes | None:
    """The entry as it is stored under `key`; None when it is too large, or would not come back as it is."""
    try:
        body = orjson.dumps([entry.making_seconds, entry.value])
    except TypeError:
        return None
    if len(body) > MAX_VALUE_BYTES or not _is_same(orjson.loads(body)[1], entry.value):
        return None
    return _checksum(key, body) + body


def decode(key: str, stored: bytes) -> Entry | None:
    """The entry that was stored under this very key; None when a byte of it is another."""
    checksum, body = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    if checksum != _checksum(key, body):
        return None
    making_seconds, value = orjson.loads(body)
    return Entry(value, making_seconds)


def is_due(entry: Entry, *, remaining_seconds: float, ttl_seconds: float, draw: float) -> bool:
    """Whether who reads the entry makes it anew already, `remaining_seconds` before it expires.

    Probabilistic early recomputation: A. Vattani, F. Chierichetti, K. Lowenstein, Optimal Probabilistic Cache
    Stampede Prevention, VLDB 2015. `draw` is uniform in (0, 1]. The more often it is read, and the longer it takes to
    make, the earlier one of the draws says yes; what nobody reads expires.
    """
    scale_seconds = max(entry.making_seconds, EARLY_SHARE * ttl_seconds)
    return remaining_seconds <= -scale_seconds * math.log(draw)


def _checksum(key: str, body: bytes) -> bytes:
    # The key is part of it: a value that stands under another's key, or another tenant's, is nobody's.
    return hashlib.sha256(key.encode() + body).digest()[:_CHECKSUM_BYTES]


def _is_same(decoded: Any, value: Any) -> bool:
    """Whether a hit would be what the miss was: 1 == 1.0 == True would pass a mere comparison."""
    if type(decoded) is not type(value):
        return False
    if isinstance(value, dict):
        return decoded.keys() == value.keys() and all(_is_same(decoded[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(decoded) == len(value) and all(map(_is_same, decoded, value))
    return bool(decoded == value)


@dataclass(slots=True)
class LocalContextCache:
    """The values of one process, which it keeps until they expire: for few of them."""

    clock: Callable[[], float] = time.monotonic
    _stored: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get_or_make(
        self,
        kind: str,
        tenant_id: uuid.UUID,
        parts: Any,
        make: Callable[[], Any],
        *,
        ttl_seconds: float = TTL_SECONDS,
        is_worth: Callable[[Any], bool] = lambda value: True,
        wait_seconds: float = WAIT_SECONDS,
    ) -> Any:
        key = cache_key(kind, tenant_id, parts)
        with self._lock:
            stored, expires_at = self._stored.get(key, (b"", 0.0))
        if stored and self.clock() < expires_at:
            entry = decode(key, stored)
            assert entry is not None
            return entry.value
        value = make()
        encoded = encode(key, Entry(value, 0.0)) if is_worth(value) else None
        if encoded is not None:
            with self._lock:
                self._stored[key] = encoded, self.clock() + ttl_seconds
        return value
