"""Kombu's Redis transport, with one client per channel instead of one per command.

Making a redis-py client takes some 0.2 ms, which kombu pays for every message and event it sends; kept, that is
a ninth of an execution worker's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import transport
from kombu.transport import redis

NAME = "redis"
"""The URL scheme stays `redis://`, so that BROKER_URL and Flower need to know nothing."""


class Channel(redis.Channel):
    """Keeps its client for as long as its connection pool is the same."""

    _kept_client: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None:
            if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
                self._kept_client = self._create_client()
            client = self._kept_client
        yield client


class Transport(redis.Transport):
    """The transport that Celery uses for redis:// URLs."""

    Channel = Channel


def install() -> None:
    """Makes redis:// URLs use this transport in this process."""
    transport.TRANSPORT_ALIASES[NAME] = f"{__name__}:Transport"
