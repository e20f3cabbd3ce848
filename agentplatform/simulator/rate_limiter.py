"""Who may call how often: buckets by key and family, and counts of what was received, accepted and refused."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.rate_buckets import FamilyBuckets, Kind, RateLimit
from agentplatform.simulator.rate_limit_headers import bucket_headers, unlimited_headers
from agentplatform.simulator.sliding_window import SlidingWindow

ANY_FAMILY = "*"
_MOST_KEYS = 10_000
_LONGEST_RETRY_SECONDS = 86_400


class _FamilyRecord:
    """What happened to the calls for one family of models."""

    def __init__(self) -> None:
        self.accepted = self.refused = 0
        self.received_window, self.accepted_window, self.input_window = (SlidingWindow() for _ in range(3))

    def as_json(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "most_received_in_60_seconds": self.received_window.largest,
            "most_accepted_in_60_seconds": self.accepted_window.largest,
            "most_input_tokens_accepted_in_60_seconds": self.input_window.largest,
        }


class RateLimiter:
    """The limits of one provider by family of models. Without limits it refuses nothing, and counts."""

    def __init__(self, clock: SimulatedClock, limits: Mapping[str, RateLimit]) -> None:
        self._clock = clock
        self._records: dict[str, _FamilyRecord] = {}
        self.set_limits(limits)

    def set_limits(self, limits: Mapping[str, RateLimit]) -> None:
        """Put new limits in force by family, `*` for those not named; all buckets are full."""
        self.limits = dict(limits)
        self._buckets: OrderedDict[tuple[str, str], FamilyBuckets] = OrderedDict()

    def limit_of(self, family: str) -> RateLimit | None:
        """Return the limit in force for a family; None where it has none."""
        return self.limits.get(family) or self.limits.get(ANY_FAMILY)

    def admit(self, key: str, family: str, input_tokens: int) -> None:
        """Charge one request and its uncached input; raises a 429 with `retry-after` where either exceeds."""
        now = self._clock.monotonic()
        record = self._records.get(family)
        if record is None:
            record = self._records[family] = _FamilyRecord()
        record.received_window.add(1, now)
        buckets = self._buckets_of(key, family, now)
        exceeded = None if buckets is None else buckets.exceeded(input_tokens, now)
        if exceeded is not None and buckets is not None:
            record.refused += 1
            raise self._refusal(family, buckets, *exceeded)
        record.accepted += 1
        record.accepted_window.add(1, now)
        record.input_window.add(input_tokens, now)
        if buckets is not None:
            buckets.take("requests", 1, now)
            buckets.take("input_tokens", input_tokens, now)

    def charge_output(self, key: str, family: str, output_tokens: int) -> None:
        """Charge what an accepted request produced."""
        if self.limits:
            now = self._clock.monotonic()
            buckets = self._buckets_of(key, family, now)
            if buckets is not None:
                buckets.take("output_tokens", output_tokens, now)

    def headers(self, key: str, family: str, input_tokens: int, output_tokens: int) -> dict[str, str]:
        """Return the `anthropic-ratelimit-*` headers of a response."""
        if not self.limits:
            return unlimited_headers(self._clock.unix_seconds(), input_tokens, output_tokens)
        now = self._clock.monotonic()
        buckets = self._buckets_of(key, family, now)
        if buckets is None:
            return unlimited_headers(self._clock.unix_seconds(), input_tokens, output_tokens)
        return bucket_headers(self._clock.unix_seconds(), buckets, now)

    def as_json(self) -> dict[str, Any]:
        """Return what happened by family."""
        return {family: record.as_json() for family, record in sorted(self._records.items())}

    def reset_counts(self) -> None:
        """Forget what happened; limits and buckets stay."""
        self._records = {}

    def _buckets_of(self, key: str, family: str, now: float) -> FamilyBuckets | None:
        if not self.limits:
            return None
        limit = self.limit_of(family)
        if limit is None:
            return None
        buckets = self._buckets.get((key, family))
        if buckets is None:
            buckets = self._buckets[key, family] = FamilyBuckets(limit, now)
            if len(self._buckets) > _MOST_KEYS:
                self._buckets.popitem(last=False)
        return buckets

    def _refusal(self, family: str, buckets: FamilyBuckets, kind: Kind, seconds: float) -> ApiError:
        named = kind.replace("_", " ")
        limit = buckets.buckets[kind].limit
        advice = "Wait as long as the retry-after header says."
        if math.isinf(seconds):
            advice = "It is larger than the whole limit, so it will never be accepted: make it smaller."
        return ApiError(
            429,
            f"This request would exceed the limit of {limit} {named} per minute for {family} models. {advice}",
            retry_after=min(_LONGEST_RETRY_SECONDS, max(1, math.ceil(min(seconds, _LONGEST_RETRY_SECONDS)))),
            headers=bucket_headers(self._clock.unix_seconds(), buckets, self._clock.monotonic()),
        )
