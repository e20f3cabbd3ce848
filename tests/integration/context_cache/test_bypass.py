"""A Redis that hangs or is away costs next to nothing, and never an error."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator

import pytest
import redis
from pytest_django import Settings

from agentplatform.context_caching import cache_key
from apps.context_cache import BYPASS, RedisContextCache, context_cache_counts
from tests.integration.context_cache.conftest import Maker, cache_of_a_process, stored_under
from tests.integration.stack.launching import free_ports


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def seconds_of(cache: RedisContextCache, tenant_id: uuid.UUID) -> float:
    """How long it takes to be given a value that is made at once."""
    started = time.monotonic()
    assert cache.get_or_make("kind", tenant_id, 1, Maker()) == "value 1"
    return time.monotonic() - started


def test_a_redis_that_hangs_is_passed_by_within_50_ms_and_then_at_once(
    silent: str, tenant_id: uuid.UUID
) -> None:
    """The quickest of a few, since this machine may have more to do."""
    firsts, nexts = [], []
    for _ in range(3):
        cache = cache_of_a_process(silent, 0.05)
        firsts.append(seconds_of(cache, tenant_id))
        nexts.append(min(seconds_of(cache, tenant_id) for _ in range(3)))
    assert 0.02 < min(firsts) < 0.05
    assert min(nexts) < 0.002


def test_a_redis_that_is_away_is_passed_by(tenant_id: uuid.UUID) -> None:
    """At once, for nobody has to wait for a refusal."""
    (nowhere,) = free_ports(1)
    cache = cache_of_a_process(f"redis://127.0.0.1:{nowhere}/0")
    assert min(seconds_of(cache, tenant_id) for _ in range(5)) < 0.01


def test_who_wants_the_figures_is_told_that_there_are_none(settings: Settings) -> None:
    """Soon, and not by figures that are nought."""
    (nowhere,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{nowhere}/0"
    started = time.monotonic()
    with pytest.raises(redis.RedisError):
        context_cache_counts()
    assert time.monotonic() - started < 0.5


def test_what_is_stored_in_a_way_nobody_foresaw_is_passed_by(tenant_id: uuid.UUID) -> None:
    """An error that Redis answers with is no error of ours."""
    cache = cache_of_a_process()
    cache._client.hset(stored_under(cache_key("kind", tenant_id, 1)), "a", "b")
    assert cache.get_or_make("kind", tenant_id, 1, Maker()) == "value 1"


def test_a_redis_that_is_back_is_asked_again(tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one first; when it is answered, by all."""
    (nowhere,) = free_ports(1)
    now = [0.0]
    cache, away = cache_of_a_process(), cache_of_a_process(f"redis://127.0.0.1:{nowhere}/0")
    away._quick._circuit._store.clock = lambda: now[0]  # type: ignore[attr-defined]
    make = Maker()
    away.get_or_make("kind", tenant_id, 1, make)
    away._client.connection_pool = cache._client.connection_pool
    away.get_or_make("kind", tenant_id, 1, make)
    assert cache._client.get(stored_under(cache_key("kind", tenant_id, 1))) is None
    now[0] = BYPASS.open_seconds + 0.001
    assert away.get_or_make("kind", tenant_id, 1, make) == "value 3"
    assert cache.get_or_make("kind", tenant_id, 1, make) == "value 3"
