"""The rate-limit headers of a response."""

from datetime import UTC, datetime, timedelta

from agentplatform.simulator.rate_buckets import MINUTE_SECONDS, FamilyBuckets

LIMITS_PER_MINUTE = {
    "requests": 4_000,
    "tokens": 2_400_000,
    "input-tokens": 2_000_000,
    "output-tokens": 400_000,
}


def unlimited_headers(now: datetime, input_tokens: int, output_tokens: int) -> dict[str, str]:
    """Return the `anthropic-ratelimit-*` headers of a provider without limits.

    They are those of a large organisation whose buckets were full before this request. Nothing is refused.
    """
    used = {
        "requests": 1,
        "tokens": input_tokens + output_tokens,
        "input-tokens": input_tokens,
        "output-tokens": output_tokens,
    }
    headers: dict[str, str] = {}
    for name, limit in LIMITS_PER_MINUTE.items():
        reset_at = now.astimezone(UTC) + timedelta(seconds=MINUTE_SECONDS * used[name] / limit)
        _add(headers, name, limit, limit - used[name], reset_at)
    return headers


def bucket_headers(now: datetime, buckets: FamilyBuckets, monotonic_seconds: float) -> dict[str, str]:
    """Return the `anthropic-ratelimit-*` headers of a key's buckets for a family of models.

    For each kind that is limited: the limit a minute, what is left of it, and when the bucket is full again
    (RFC 3339, rounded up to the second). `tokens` sums input and output where both are limited.
    """
    headers: dict[str, str] = {}
    left: dict[str, float] = {}
    full_at: dict[str, datetime] = {}
    for kind, bucket in buckets.buckets.items():
        left[kind] = bucket.level(monotonic_seconds)
        seconds = bucket.seconds_until_full(monotonic_seconds)
        full_at[kind] = (now + timedelta(seconds=seconds, microseconds=999_999)).replace(microsecond=0)
        _add(headers, kind.replace("_", "-"), bucket.limit, left[kind], full_at[kind])
    tokens = [kind for kind in ("input_tokens", "output_tokens") if kind in left]
    if len(tokens) == 2:
        limit = sum(bucket.limit for kind, bucket in buckets.buckets.items() if kind in tokens)
        remaining = sum(max(0.0, left[kind]) for kind in tokens)
        _add(headers, "tokens", limit, remaining, max(full_at[kind] for kind in tokens))
    return headers


def _add(headers: dict[str, str], name: str, limit: int, remaining: float, reset_at: datetime) -> None:
    headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
    headers[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, int(remaining)))
    headers[f"anthropic-ratelimit-{name}-reset"] = reset_at.strftime("%Y-%m-%dT%H:%M:%SZ")
