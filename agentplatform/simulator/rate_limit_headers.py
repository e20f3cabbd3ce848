"""The rate-limit headers of a response."""

import math
from datetime import UTC, datetime
from functools import lru_cache

from agentplatform.simulator.rate_buckets import MINUTE_SECONDS, FamilyBuckets

LIMITS_PER_MINUTE = {
    "requests": 4_000,
    "tokens": 2_400_000,
    "input-tokens": 2_000_000,
    "output-tokens": 400_000,
}
_NAMES = {
    kind: tuple(f"anthropic-ratelimit-{kind}-{field}" for field in ("limit", "remaining", "reset"))
    for kind in LIMITS_PER_MINUTE
}


def unlimited_headers(now: float, input_tokens: int, output_tokens: int) -> dict[str, str]:
    """Return the `anthropic-ratelimit-*` headers of a provider without limits, at this Unix time.

    They are those of a large organisation whose buckets were full before this request. Nothing is refused.
    """
    used = {
        "requests": 1,
        "tokens": input_tokens + output_tokens,
        "input-tokens": input_tokens,
        "output-tokens": output_tokens,
    }
    headers: dict[str, str] = {}
    for kind, limit in LIMITS_PER_MINUTE.items():
        _add(headers, kind, limit, limit - used[kind], now + MINUTE_SECONDS * used[kind] / limit)
    return headers


def bucket_headers(now: float, buckets: FamilyBuckets, monotonic_seconds: float) -> dict[str, str]:
    """Return the `anthropic-ratelimit-*` headers of a key's buckets for a family of models.

    For each kind that is limited: the limit a minute, what is left of it, and when the bucket is full again
    (RFC 3339, rounded up to the second). `tokens` sums input and output where both are limited.
    """
    headers: dict[str, str] = {}
    left: dict[str, float] = {}
    full_at: dict[str, float] = {}
    for kind, bucket in buckets.buckets.items():
        left[kind] = bucket.level(monotonic_seconds)
        full_at[kind] = now + bucket.seconds_until_full(monotonic_seconds)
        _add(headers, kind.replace("_", "-"), bucket.limit, left[kind], full_at[kind])
    tokens = [kind for kind in ("input_tokens", "output_tokens") if kind in left]
    if len(tokens) == 2:
        limit = sum(bucket.limit for kind, bucket in buckets.buckets.items() if kind in tokens)
        remaining = sum(max(0.0, left[kind]) for kind in tokens)
        _add(headers, "tokens", limit, remaining, max(full_at[kind] for kind in tokens))
    return headers


def _add(headers: dict[str, str], kind: str, limit: int, remaining: float, reset_at: float) -> None:
    limit_name, remaining_name, reset_name = _NAMES[kind]
    headers[limit_name] = str(limit)
    headers[remaining_name] = str(max(0, int(remaining)))
    headers[reset_name] = _rfc3339(math.ceil(reset_at))


@lru_cache(maxsize=256)
def _rfc3339(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
