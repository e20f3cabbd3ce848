"""When a prefix is worth writing to a provider's prompt cache. A pure rule.

A write costs a quarter more than plain input for five minutes, and twice as much for an hour; a read costs a tenth
of it or less. So a prefix is written when it is long enough for the model to cache it and somebody has asked for it
within the hour, or the agent has said that more will (`shared_context`).
"""

from __future__ import annotations

import hashlib

import orjson

from agentplatform.llm.messages import BYTES_PER_TOKEN, ModelRequest

SHORT_TTL_SECONDS = 300.0
LONG_TTL_SECONDS = 3600.0
SHORT_TTL_IS_SAFE_SECONDS = 240.0
"""A prefix that came back sooner than this is expected to come back within five minutes again."""


def prefix_hash(request: ModelRequest, min_tokens: int) -> str:
    """SHA-256 of what may be cached of the request: tools, system, shared context; '' if it is too short for that."""
    prefix = orjson.dumps([request.tools, request.system, request.shared_context])
    if len(prefix) < min_tokens * BYTES_PER_TOKEN:
        return ""
    return hashlib.sha256(prefix).hexdigest()


def cache_ttl(request: ModelRequest, *, prefix: str, seen_seconds_ago: float | None, queue: str) -> str:
    """ "5m", "1h", or "" for a prefix that is not written: it is too short, or likely to be read by nobody."""
    if not prefix or (seen_seconds_ago is None and not request.shared_context):
        return ""
    if seen_seconds_ago is not None and seen_seconds_ago > LONG_TTL_SECONDS:
        return ""
    comes_late = seen_seconds_ago is not None and seen_seconds_ago > SHORT_TTL_IS_SAFE_SECONDS
    return "1h" if comes_late or queue == "batch" else "5m"
