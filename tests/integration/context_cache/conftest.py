"""Caches as several processes have them, on a real Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings

from apps.context_cache import PREFIX, RedisContextCache, quick_client


def cache_of_a_process(url: str = "", patience_seconds: float | None = None) -> RedisContextCache:
    """A cache as one more process has it."""
    return RedisContextCache(quick_client(url or settings.REDIS_URL, patience_seconds))


@pytest.fixture
def caches() -> list[RedisContextCache]:
    """Those of three processes."""
    return [cache_of_a_process() for _ in range(3)]


@pytest.fixture
def tenant_id() -> uuid.UUID:
    """A tenant that has nothing stored."""
    return uuid.uuid4()


@pytest.fixture
def server() -> redis.Redis:
    """Redis itself."""
    return redis.Redis.from_url(settings.REDIS_URL)


class Maker:
    """Makes numbered values, and counts them."""

    def __init__(self, then: Callable[[], Any] = lambda: None) -> None:
        self.count = 0
        self._then = then

    def __call__(self) -> str:
        self.count += 1
        value = f"value {self.count}"
        self._then()
        return value


def stored_under(key: str) -> str:
    return PREFIX + key
