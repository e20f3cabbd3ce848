"""Token buckets for requests, input tokens and output tokens a minute, as the API limits a family of models.

A bucket holds at most its limit (or what `burst_seconds` of it allows) and fills continuously:
https://en.wikipedia.org/wiki/Token_bucket.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal

Kind = Literal["requests", "input_tokens", "output_tokens"]
KINDS: tuple[Kind, ...] = ("requests", "input_tokens", "output_tokens")
MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a family of models may use a minute; None is unlimited.

    `burst_seconds` sets how much a rested bucket holds: 60 a full minute's worth, as the API does, so that up
    to twice the limit may pass in the first minute; a small one holds every minute near the limit.
    """

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    burst_seconds: float = MINUTE_SECONDS

    def as_json(self) -> dict[str, float | None]:
        """Return the limit as the control endpoints take and show it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def of(self, kind: Kind) -> int | None:
        """Return the limit a minute of one kind."""
        limit: int | None = getattr(self, kind)
        return limit


class TokenBucket:
    """One bucket, full at first. `now` is monotonic seconds throughout."""

    __slots__ = ("_at", "_level", "capacity", "limit")

    def __init__(self, limit: int, burst_seconds: float, now: float) -> None:
        self.limit = limit
        self.capacity = max(1.0, limit * burst_seconds / MINUTE_SECONDS)
        self._level = self.capacity
        self._at = now

    def level(self, now: float) -> float:
        """Return what is in the bucket; less than nothing where output overdrew it."""
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.limit / MINUTE_SECONDS)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Take an amount, whether or not it is there."""
        self._level = self.level(now) - amount

    def seconds_until(self, amount: float, now: float) -> float:
        """Return how long until this much is there; infinite for more than the bucket holds."""
        if amount > self.capacity:
            return math.inf
        # A millionth is forgiven: who waits as long as told must then be served, whatever rounding did.
        missing = amount - self.level(now) - 1e-6
        return max(0.0, missing) * MINUTE_SECONDS / self.limit

    def seconds_until_full(self, now: float) -> float:
        """Return how long until the bucket holds all it can."""
        return (self.capacity - self.level(now)) * MINUTE_SECONDS / self.limit


class FamilyBuckets:
    """The buckets of one key for one family of models."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.buckets: dict[Kind, TokenBucket] = {}
        for kind in KINDS:
            per_minute = limit.of(kind)
            if per_minute is not None:
                self.buckets[kind] = TokenBucket(per_minute, limit.burst_seconds, now)

    def exceeded(self, input_tokens: int, now: float) -> tuple[Kind, float] | None:
        """Return what a request would exceed and the seconds until it would not; None where it may pass.

        Output is not known beforehand: it is asked for one token, and charged as it was produced.
        """
        wanted = {"requests": 1, "input_tokens": input_tokens, "output_tokens": 1}
        waits = [(bucket.seconds_until(wanted[kind], now), kind) for kind, bucket in self.buckets.items()]
        seconds, kind = max(waits)
        return (kind, seconds) if seconds > 0 else None

    def take(self, kind: Kind, amount: float, now: float) -> None:
        """Charge what was used."""
        if kind in self.buckets:
            self.buckets[kind].take(amount, now)
