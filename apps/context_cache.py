"""Expensive intermediates that all processes share, in Redis; without Redis each is made where it is needed.

A hit takes one round trip. A Redis that does not answer is passed by within 50 ms, and left alone for two seconds.
"""

from __future__ import annotations

import functools
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import redis
from django.conf import settings

from agentplatform.context_caching import (
    TTL_SECONDS,
    WAIT_SECONDS,
    Entry,
    cache_key,
    decode,
    encode,
    is_due,
)
from agentplatform.execution.circuit import CircuitBreaker, CircuitOpen, CircuitPolicy, LocalCircuits
from agentplatform.execution.deadlines import Deadline

LAYER = "context"
"""Its name in the setting CACHE_LAYERS."""
PREFIX = "agentplatform.context."
COUNTS_PREFIX = "agentplatform.context_counts."
CONNECT_SHARE, ANSWER_SHARE = 0.3, 0.6
"""Of settings.CACHE_PATIENCE_SECONDS: together less than what a Redis that is slow or away may cost."""
BYPASS = CircuitPolicy(failures=1, open_seconds=2.0, probe_seconds=1.0)
LEASE_SECONDS = 5.0
"""After so long whoever makes a value counts as gone, and another may make it."""
FIRST_POLL_SECONDS = 0.005
LONGEST_POLL_SECONDS = 0.05
SETTLED_SECONDS = 1.0
"""For so long after a value was made nobody makes it anew before its end; and when it was not kept, nobody waits for
another who makes it: there may be nothing to wait for."""
HOUR_SECONDS = 3600
COUNTS_KEPT_SECONDS = 48 * HOUR_SECONDS

# Both scripts count in the round trip that is made anyway, by the hour of the store's clock.
_COUNT = """
local function count(what)
    local hour = math.floor(tonumber(redis.call('TIME')[1]) / 3600) * 3600
    local key = ARGV[1] .. string.format('%d', hour)
    redis.call('HINCRBY', key, ARGV[2] .. what, 1)
    redis.call('EXPIRE', key, ARGV[3])
end
"""
# KEYS: value, lease. ARGV: counts, field, their seconds, token, lease ms. Answers {hit, value, ms left}, or whether
# the caller "leads" (makes it), may "wait" for who does, or makes it "alone".
_READ = """
local value = redis.call('GET', KEYS[1])
if value then
    count('hits')
    return {'hit', value, redis.call('PTTL', KEYS[1])}
end
if redis.call('SET', KEYS[2], ARGV[4], 'NX', 'PX', ARGV[5]) then return {'leads'} end
return {redis.call('GET', KEYS[2]) == 'settled' and 'alone' or 'wait'}
"""
# KEYS: value, lease. ARGV: counts, field, their seconds, token, value or '' to keep none, ms to keep it, ms settled.
_SETTLE = """
count('made')
if ARGV[5] ~= '' then redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6]) end
if redis.call('GET', KEYS[2]) == ARGV[4] then redis.call('SET', KEYS[2], 'settled', 'PX', ARGV[7]) end
return 1
"""
# Drops exactly what was read: another may have put it right meanwhile.
_DROP = """
if redis.call('GET', KEYS[1]) == ARGV[4] then redis.call('DEL', KEYS[1]) end
count('corrupt')
return 1
"""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PassedBy:
    """Asks a Redis that may be silent: then it is passed by, for a while at once. `otherwise` is what is done instead."""

    def __init__(self, policy: CircuitPolicy, otherwise: str) -> None:
        self._circuit = CircuitBreaker(LocalCircuits(), policy)
        self._otherwise = otherwise

    def ask(self, call: Callable[[], T]) -> T | None:
        """What Redis answers; None while it is passed by."""
        try:
            with self._circuit.guard("redis", trips=lambda error: isinstance(error, redis.RedisError)):
                return call()
        except CircuitOpen:
            return None
        except redis.RedisError as error:
            logger.warning("redis does not answer (%s): %s", type(error).__name__, self._otherwise)
            return None


@dataclass(frozen=True, slots=True)
class _Item:
    """One value that is asked for: where it stands, whose it is to count, and the token of who asks."""

    key: str
    field: str
    ttl_seconds: float
    token: str

    @property
    def keys(self) -> list[str]:
        return [PREFIX + self.key, f"{PREFIX}{self.key}.lease"]


class RedisContextCache:
    """A ContextCache. Of all who miss the same value at the same time one makes it, and the others wait for a while."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._quick = PassedBy(BYPASS, "what is kept there is made anew")
        self._read = client.register_script(_COUNT + _READ)
        self._settle = client.register_script(_COUNT + _SETTLE)
        self._drop = client.register_script(_COUNT + _DROP)

    def get_or_make(
        self,
        kind: str,
        tenant_id: uuid.UUID,
        parts: Any,
        make: Callable[[], Any],
        *,
        ttl_seconds: float = TTL_SECONDS,
        is_worth: Callable[[Any], bool] = lambda value: True,
        wait_seconds: float = WAIT_SECONDS,
    ) -> Any:
        """See ContextCache. Without the layer in CACHE_LAYERS, and of parts that are no JSON, it is made each time."""
        if LAYER not in settings.CACHE_LAYERS:
            return make()
        try:
            key = cache_key(kind, tenant_id, parts)
        except TypeError:
            logger.warning("what a value of kind '%s' depends on is no JSON: it is not kept", kind)
            return make()
        item = _Item(key, f"{tenant_id}:{kind}:", ttl_seconds, uuid.uuid4().hex)
        entry, remaining_seconds = self._look(item, Deadline.after(wait_seconds))
        if entry is None:
            return self._make(item, make, is_worth).value
        if self._renews(item, entry, remaining_seconds):
            return self._make_anew(item, entry, make, is_worth)
        return entry.value

    def _look(self, item: _Item, waits_until: Deadline) -> tuple[Entry | None, float]:
        """The entry and the seconds that it has left, waited for while another makes it; None for who is to make it."""
        pause_seconds = FIRST_POLL_SECONDS
        while True:
            answer = self._ask(self._read, item, item.token, int(LEASE_SECONDS * 1000))
            if answer is None or answer[0] in (b"leads", b"alone"):
                return None, 0.0
            if answer[0] == b"hit":
                entry = decode(item.key, answer[1])
                if entry is not None:
                    return entry, answer[2] / 1000
                logger.warning("a corrupt value was dropped")
                self._ask(self._drop, item, answer[1])
            elif waits_until.has_passed:
                return None, 0.0
            else:
                time.sleep(pause_seconds)
                pause_seconds = min(LONGEST_POLL_SECONDS, pause_seconds * 1.5)

    def _renews(self, item: _Item, entry: Entry, remaining_seconds: float) -> bool:
        """Whether this caller is the one who makes the entry anew before it expires."""
        draw = 1.0 - random.random()
        if not is_due(entry, remaining_seconds=remaining_seconds, ttl_seconds=item.ttl_seconds, draw=draw):
            return False
        lease_ms = int(LEASE_SECONDS * 1000)
        return bool(self._quick.ask(lambda: self._client.set(item.keys[1], item.token, nx=True, px=lease_ms)))

    def _make_anew(
        self, item: _Item, entry: Entry, make: Callable[[], Any], is_worth: Callable[[Any], bool]
    ) -> Any:
        """A new value; the old one, which holds still, where none can be had that is worth keeping."""
        try:
            made = self._make(item, make, is_worth)
        except Exception as error:  # noqa: BLE001 - whatever it is, who reads it next after the end is told
            logger.warning("a value was not made anew before its end (%s)", type(error).__name__)
            return entry.value
        return made.value if is_worth(made.value) else entry.value

    def _make(self, item: _Item, make: Callable[[], Any], is_worth: Callable[[Any], bool]) -> Entry:
        kept: bytes | None = None
        started = time.monotonic()
        try:
            made = Entry(make(), time.monotonic() - started)
            kept = encode(item.key, made) if is_worth(made.value) else None
            return made
        finally:
            ttl_ms = max(1, int(item.ttl_seconds * 1000))
            self._ask(self._settle, item, item.token, kept or b"", ttl_ms, int(SETTLED_SECONDS * 1000))

    def _ask(self, script: Any, item: _Item, *arguments: Any) -> Any:
        told = [COUNTS_PREFIX, item.field, COUNTS_KEPT_SECONDS, *arguments]
        return self._quick.ask(lambda: script(keys=item.keys, args=told))


@dataclass(frozen=True, slots=True)
class ContextCacheCount:
    """How often values of a kind were found, and how often made, for a tenant in the hour from `hour_at` on."""

    hour_at: datetime
    tenant_id: uuid.UUID
    kind: str
    hits: int
    made: int


def context_cache_counts(*, hours: int = 24) -> list[ContextCacheCount]:
    """Of the last hours (at most 48), the latest first. What was made past a Redis that was away is not counted.

    Raises redis.RedisError.
    """
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
    with client, client.pipeline(transaction=False) as pipeline:
        latest = int(client.time()[0]) // HOUR_SECONDS * HOUR_SECONDS
        wanted = [latest - HOUR_SECONDS * number for number in range(hours)]
        for hour in wanted:
            pipeline.hgetall(f"{COUNTS_PREFIX}{hour}")
        stored = pipeline.execute()
    return [count for hour, fields in zip(wanted, stored, strict=True) for count in _counts_of(hour, fields)]


def _counts_of(hour: int, fields: dict[bytes, bytes]) -> list[ContextCacheCount]:
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for name, number in fields.items():
        tenant, _, rest = name.decode().partition(":")
        kind, _, what = rest.rpartition(":")
        counted.setdefault((tenant, kind), {})[what] = int(number)
    at = datetime.fromtimestamp(hour, UTC)
    return [
        # A corrupt value was counted as a hit before it was seen to be none.
        ContextCacheCount(
            at, uuid.UUID(tenant), kind, told.get("hits", 0) - told.get("corrupt", 0), told.get("made", 0)
        )
        for (tenant, kind), told in sorted(counted.items())
    ]


@functools.cache
def context_cache() -> RedisContextCache:
    """The cache of this installation, as this process sees it."""
    return RedisContextCache(quick_client(settings.REDIS_URL))


def quick_client(url: str, patience_seconds: float | None = None) -> redis.Redis:
    """A client that gives up in time (settings.CACHE_PATIENCE_SECONDS)."""
    patience = settings.CACHE_PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SHARE * patience,
        socket_timeout=ANSWER_SHARE * patience,
        # RESP2 and no name: the fewer round trips a new connection begins with, the sooner it is seen to hang.
        protocol=2,
        driver_info=None,
    )
