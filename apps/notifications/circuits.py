"""Circuits of where deliveries go: a host that fails again and again is left alone for a while.

Those of webhooks are a tenant's own: what one tenant's endpoints do at a host keeps no other's from it.
"""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

import redis
from django.conf import settings

from agentplatform.execution.circuit import CircuitBreaker, CircuitPolicy
from apps.circuits import SharedCircuits
from apps.notifications.models import Delivery

POLICY = CircuitPolicy(failures=5, window_seconds=60.0, open_seconds=30.0, probe_seconds=60.0)


@functools.cache
def breaker() -> CircuitBreaker:
    """One for the process; each process has circuits of its own while the cache server is away."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
    return CircuitBreaker(SharedCircuits(client), POLICY)


def circuit_key(delivery: Delivery) -> str:
    """The circuit of a delivery's host, and tenant."""
    if delivery.endpoint is None:
        return f"smtp/{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    return f"webhook/{delivery.tenant_id or 'operators'}/{urlsplit(delivery.endpoint.url).netloc.lower()}"
