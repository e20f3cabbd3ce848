"""How many requests a tenant may send: one allowance for all web processes, in Redis; each its own without Redis."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
import uuid
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentplatform.rates import MINUTE_SECONDS, RateDecision
from apps.api.errors import Problem
from apps.tenants.models import Tenant

KEY_PREFIX = "agentplatform.requests."
ANSWER_SECONDS = 0.25
AWAY_SECONDS = 1.0
"""For so long Redis is not asked again after it did not answer."""
MOST_TENANTS = 10_000

logger = logging.getLogger(__name__)

# RateDecision.decide for one request, at the time of the server (whose clock may be set back: hence the minute at
# most). KEYS: the tenant's; ARGV: requests per minute.
_TAKE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local due = tonumber(redis.call('GET', KEYS[1]) or '0')
local used = math.min(math.max(0, due - now), 60)
local cost = 60 / tonumber(ARGV[1])
local wait = used - math.max(0, 60 - cost)
if wait > 0.000001 then
    return {0, tostring(used), tostring(wait)}
end
used = used + cost
redis.call('SET', KEYS[1], string.format('%.6f', now + used), 'PX', math.ceil(used * 1000))
return {1, tostring(used), '0'}
"""


class RequestLimiter:
    """Counts requests of tenants, in one round trip to Redis each."""

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = client.register_script(_TAKE)
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._due: dict[uuid.UUID, float] = {}

    def take(self, tenant_id: uuid.UUID, per_minute: int) -> RateDecision:
        """Counts a request, unless the tenant has sent as many as it may."""
        if time.monotonic() >= self._away_until:
            try:
                allowed, used, wait = self._take(keys=[f"{KEY_PREFIX}{tenant_id}"], args=[per_minute])
                return RateDecision(per_minute, bool(allowed), float(used), float(wait))
            except redis.RedisError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                logger.warning("requests are counted by each process alone (%s)", type(error).__name__)
        return self._take_here(tenant_id, per_minute)

    def _take_here(self, tenant_id: uuid.UUID, per_minute: int) -> RateDecision:
        with self._lock:
            now = time.monotonic()
            decision = RateDecision.decide(
                used_seconds=self._due.get(tenant_id, now) - now, per_minute=per_minute
            )
            self._due[tenant_id] = now + decision.used_seconds
            if len(self._due) > MOST_TENANTS:
                self._due = {tenant: due for tenant, due in self._due.items() if due > now}
        return decision


@functools.cache
def limiter() -> RequestLimiter:
    """The limiter of this process."""
    return RequestLimiter(settings.REDIS_URL)


def count_request(request: HttpRequest, tenant: Tenant) -> None:
    """Counts a request of the tenant, once. Raises a 429 Problem when it has sent as many as it may."""
    decision = limiter().take(tenant.pk, tenant.limit("requests_per_minute"))
    request.rate_limit = decision  # type: ignore[attr-defined]
    if not decision.allowed:
        seconds = math.ceil(decision.wait_seconds)
        raise Problem(
            429,
            "too_many_requests",
            f"This tenant may send {decision.per_minute:,} requests a minute; try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def add_headers(request: HttpRequest, response: HttpResponseBase) -> None:
    """Adds to the answer of a counted request how much of the tenant's allowance is left."""
    decision: Any = getattr(request, "rate_limit", None)
    if decision is not None:
        response["RateLimit-Limit"] = str(decision.per_minute)
        response["RateLimit-Remaining"] = str(decision.remaining)
        response["RateLimit-Reset"] = str(math.ceil(decision.used_seconds))
        response["RateLimit-Policy"] = f"{decision.per_minute};w={MINUTE_SECONDS:.0f}"
