"""The rate-limit headers of a response, as of a token bucket that was full before this request."""

from datetime import UTC, datetime, timedelta

LIMITS_PER_MINUTE = {
    "requests": 4_000,
    "tokens": 2_400_000,
    "input-tokens": 2_000_000,
    "output-tokens": 400_000,
}


def rate_limit_headers(now: datetime, input_tokens: int, output_tokens: int) -> dict[str, str]:
    """Return the `anthropic-ratelimit-*` headers: limit per minute, what is left of it, and when it is full.

    The limits are those of a large organisation. Nothing is refused for exceeding them.
    """
    used = {
        "requests": 1,
        "tokens": input_tokens + output_tokens,
        "input-tokens": input_tokens,
        "output-tokens": output_tokens,
    }
    headers: dict[str, str] = {}
    for name, limit in LIMITS_PER_MINUTE.items():
        reset_at = now.astimezone(UTC) + timedelta(seconds=60 * used[name] / limit)
        headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, limit - used[name]))
        headers[f"anthropic-ratelimit-{name}-reset"] = reset_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers
