"""Circuits that all processes share, in Redis; per process while Redis is away."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
import redis
from django.conf import settings

from agentplatform.execution.circuit import Circuit, LocalCircuits

T = TypeVar("T")

PREFIX = "agentplatform.circuit."
KEPT_SECONDS = 24 * 3600
_CONFLICTS = 20

logger = logging.getLogger(__name__)


class SharedCircuits:
    """A CircuitStore. Reads take one round trip; changes watch the key, so that each is made on the latest state.

    Without `falls_back`, Redis being away raises redis.RedisError: for who wants to know or change what all
    processes share.
    """

    def __init__(self, client: redis.Redis, *, falls_back: bool = True) -> None:
        self._client = client
        self._falls_back = falls_back
        self._local = LocalCircuits()

    def read_all(self, keys: Sequence[str]) -> tuple[list[Circuit], float]:
        """The circuits of `keys`, in their order, and the store's time. Raises redis.RedisError."""
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(PREFIX + key)
            pipeline.time()
            *stored, (seconds, micros) = pipeline.execute()
        return [_circuit(one) for one in stored], seconds + micros / 1e6

    def read(self, key: str) -> tuple[Circuit, float]:
        try:
            (circuit,), now = self.read_all([key])
            return circuit, now
        except redis.RedisError as error:
            if not self._falls_back:
                raise
            _warn(error)
            return self._local.read(key)

    def change(self, key: str, decide: Callable[[Circuit, float], tuple[Circuit, T]]) -> T:
        try:
            for _ in range(_CONFLICTS):
                try:
                    return self._change_once(PREFIX + key, decide)
                except redis.WatchError:
                    continue
        except redis.RedisError as error:
            if not self._falls_back:
                raise
            _warn(error)
        return self._local.change(key, decide)

    def _change_once(self, name: str, decide: Callable[[Circuit, float], tuple[Circuit, T]]) -> T:
        with self._client.pipeline() as pipeline:
            pipeline.watch(name)
            stored = pipeline.get(name)
            seconds, micros = pipeline.time()
            circuit, result = decide(_circuit(stored), seconds + micros / 1e6)
            pipeline.multi()
            kept = KEPT_SECONDS + max(0.0, circuit.open_until - seconds)
            pipeline.set(name, orjson.dumps(circuit.to_json()), ex=math.ceil(kept))
            pipeline.execute()
            return result


def _circuit(stored: object) -> Circuit:
    return Circuit.from_json(orjson.loads(stored)) if isinstance(stored, bytes) else Circuit()


def _warn(error: redis.RedisError) -> None:
    logger.warning("redis does not answer (%s): circuits are this process's own", type(error).__name__)


@functools.cache
def shared_circuits() -> SharedCircuits:
    """The circuits of this installation, to look at and to change by hand."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
    return SharedCircuits(client, falls_back=False)
