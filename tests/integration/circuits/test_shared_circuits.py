"""Circuits that processes share through a real Redis."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings

from agentplatform.execution.circuit import CircuitBreaker, CircuitOpen, CircuitPolicy, Phase
from apps.circuits import SharedCircuits
from tests.integration.stack.launching import free_ports

POLICY = CircuitPolicy(failures=3, window_seconds=60, open_seconds=0.3, probe_seconds=5)


def breaker(url: str = settings.REDIS_URL) -> CircuitBreaker:
    """A breaker as one more process has it."""
    return CircuitBreaker(SharedCircuits(redis.Redis.from_url(url)), POLICY)


def fail(one: CircuitBreaker, key: str) -> None:
    with pytest.raises(ConnectionError), one.guard(key, trips=lambda _: True):
        raise ConnectionError


def passes(one: CircuitBreaker, key: str) -> bool:
    try:
        with one.guard(key, trips=lambda _: True):
            return True
    except CircuitOpen:
        return False


def test_failures_of_all_processes_count_together() -> None:
    """Who has seen none is refused as well."""
    key = str(uuid.uuid4())
    processes = [breaker() for _ in range(3)]
    for one in processes:
        assert passes(one, key)
        fail(one, key)
    assert breaker().phase(key) is Phase.OPEN
    assert not passes(breaker(), key)


def test_failures_at_the_same_moment_are_all_counted() -> None:
    """None is lost to another that is written over it."""
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda one: fail(one, key), [breaker() for _ in range(3)]))
    assert breaker().phase(key) is Phase.OPEN


def test_of_all_processes_one_probes() -> None:
    """And its success opens the way for all."""
    key = str(uuid.uuid4())
    first, second = breaker(), breaker()
    first.open(key, 0.1)
    while first.phase(key) is Phase.OPEN:
        pass
    with first.guard(key, trips=lambda _: True):
        assert not passes(second, key)
    assert passes(second, key)


def test_without_redis_each_process_has_its_own() -> None:
    """It is worse than sharing, and better than nothing."""
    (nowhere,) = free_ports(1)
    one, other = (breaker(f"redis://127.0.0.1:{nowhere}/0") for _ in range(2))
    for _ in range(3):
        fail(one, "there")
    assert not passes(one, "there")
    assert passes(other, "there")
