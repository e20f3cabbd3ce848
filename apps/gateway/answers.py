"""Kept answers: in Redis for those who ask the same, in PostgreSQL for what outlives it and for what means the same.

Nothing here raises, or takes longer than some tens of milliseconds: a store that does not answer has no answers.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from agentplatform.embedding.vectors import Vector
from agentplatform.execution.circuit import CircuitPolicy
from agentplatform.llm.caching.answers import Candidate, KeptAnswer, Trust, Turn
from agentplatform.llm.caching.keys import CacheKey
from apps.context_cache import PassedBy, quick_client
from apps.database import call_function, release_connection, to_jsonb
from apps.embedder import question_vector
from apps.gateway.cache_selectors import entry_by_key, nearest_entries, trust_of

PREFIX = "agentplatform.answer."
LEASE_PREFIX = "agentplatform.flight."
BYPASS = CircuitPolicy(failures=3, open_seconds=2.0, probe_seconds=1.0)
"""Once Redis was silent three times in a row it is not asked for a while. Once alone may be a worker that is busy."""
LEASE_SECONDS = 6.0
"""A buyer that was not heard of for so long is gone, and one of those who wait buys in its place."""
REDIS_SECONDS = 3_600.0
"""An answer that is kept for longer is found in PostgreSQL afterwards, and put back."""
SCAN_KEYS = 500
"""How many values are read at a time, where all are looked through."""
_CHECKSUM_BYTES = 8
_LUA = Path(__file__).parent / "lua"

logger = logging.getLogger(__name__)

T = TypeVar("T")


class SharedAnswers:
    """An AnswerStore for the threads of one process. `layers` are those that are in use: exact, semantic."""

    def __init__(self, client: redis.Redis, layers: frozenset[str]) -> None:
        self._client = client
        self._layers = layers
        self._quick = PassedBy(BYPASS, "answers are not shared")
        self._look_up, self._put, self._give_up, self._renew = (
            client.register_script((_LUA / f"{name}.lua").read_text())
            for name in ("look_up", "put_answer", "give_up_lease", "renew_leases")
        )
        self._held: dict[str, str] = {}
        self._keeper: threading.Thread | None = None
        self._lock = threading.Lock()

    def look(self, key: CacheKey, token: str) -> KeptAnswer | Turn:
        if "exact" not in self._layers:
            return Turn.UNKNOWN
        name, lease = _names(key)
        told = self._quick.ask(lambda: self._look_up([name, lease], [token, int(LEASE_SECONDS * 1000)]))
        if told is None:
            return Turn.UNKNOWN
        match told[0]:
            case b"answer":
                answer = decoded(told[1])
                if answer is not None:
                    return answer
                logger.warning("a cached answer was corrupt, and is dropped")
                self._quick.ask(lambda: self._client.delete(name))
                return Turn.UNKNOWN
            case b"ours":
                self._hold(lease, token)
                return Turn.OURS
        holder = told[1].decode()
        if not holder.startswith("batch:"):
            return Turn.OTHERS
        is_own = holder.removeprefix("batch:") == token.partition(":")[0]
        return Turn.UNKNOWN if is_own else Turn.IN_BATCH

    def recall(self, key: CacheKey, *, stale: bool = False) -> KeptAnswer | None:
        if "exact" not in self._layers:
            return None
        return _read(lambda: entry_by_key(key, stale=stale))

    def near(self, key: CacheKey, vector: Vector, *, stale: bool = False) -> Sequence[Candidate]:
        return _read(lambda: nearest_entries(key, vector, stale=stale)) or ()

    def vector_of(self, subject: str, tenant_id: uuid.UUID) -> Vector | None:
        if "semantic" not in self._layers:
            return None
        return question_vector(tenant_id, subject, timeout_seconds=settings.CACHE_PATIENCE_SECONDS)

    def put(self, key: CacheKey, token: str, answer: KeptAnswer, seconds: float) -> None:
        if "exact" not in self._layers:
            return
        name, lease = _names(key)
        self._let_go(lease)
        milliseconds = max(1, int(min(seconds, REDIS_SECONDS) * 1000))
        self._quick.ask(lambda: self._put([name, lease], [encoded(answer), milliseconds, token]))

    def keep(
        self, key: CacheKey, answer: KeptAnswer, call_id: uuid.UUID, document: Mapping[str, Any]
    ) -> None:
        response = to_jsonb(answer.response.to_json())
        arguments = [key.tenant_id, answer.source_workflow_id, call_id, response, to_jsonb(document)]
        _read(
            lambda: call_function(
                "gateway_keep_answer", arguments, ["uuid", "uuid", "uuid", "jsonb", "jsonb"]
            )
        )

    def give_up(self, key: CacheKey, token: str, *, batch_seconds: float | None = None) -> None:
        _, lease = _names(key)
        if not self._let_go(lease):
            return
        left = f"batch:{token.partition(':')[0]}" if batch_seconds is not None else ""
        milliseconds = max(1, int((batch_seconds or 0) * 1000))
        self._quick.ask(lambda: self._give_up([lease], [token, left, milliseconds]))

    def trust(self, key: CacheKey) -> Trust:
        if "semantic" not in self._layers:
            return Trust(1.0, is_enabled=False)
        trust = _read(lambda: trust_of(key.tenant_id, key.use_case))
        return Trust(1.0, is_enabled=False) if trust is None else trust

    def _hold(self, lease: str, token: str) -> None:
        with self._lock:
            self._held[lease] = token
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._keep_leases, name="flights", daemon=True)
                self._keeper.start()

    def _let_go(self, lease: str) -> bool:
        with self._lock:
            return self._held.pop(lease, None) is not None

    def _keep_leases(self) -> None:
        """Renews what this process holds, until it holds nothing for a while."""
        idle = 0
        while idle < 10:
            time.sleep(LEASE_SECONDS / 3)
            with self._lock:
                held = dict(self._held)
            idle = 0 if held else idle + 1
            if held:
                arguments: list[int | str] = [int(LEASE_SECONDS * 1000), *held.values()]
                self._quick.ask(functools.partial(self._renew, list(held), arguments))


@functools.cache
def shared_answers() -> SharedAnswers:
    """The answers that this process shares with the others."""
    return SharedAnswers(quick_client(settings.REDIS_URL), frozenset(settings.CACHE_LAYERS))


def encoded(answer: KeptAnswer) -> bytes:
    """The answer as it stands in Redis: a checksum, then JSON."""
    body = orjson.dumps(answer.to_json(), option=orjson.OPT_NON_STR_KEYS)
    return _checksum(body) + body


def decoded(value: bytes) -> KeptAnswer | None:
    """The answer that `encoded` wrote; None where it is not whole."""
    checksum, body = value[:_CHECKSUM_BYTES], value[_CHECKSUM_BYTES:]
    if checksum != _checksum(body):
        return None
    try:
        return KeptAnswer.from_json(orjson.loads(body))
    except (KeyError, TypeError, ValueError):
        return None


def forget(tenant_id: uuid.UUID, key_hashes: Sequence[str]) -> None:
    """Drops answers from Redis. Raises redis.RedisError: who purges has to know."""
    if key_hashes:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
            client.delete(*(f"{PREFIX}{tenant_id}.{key_hash}" for key_hash in key_hashes))


def forget_matching(tenant_id: uuid.UUID | None, is_meant: Callable[[KeptAnswer], bool]) -> int:
    """Drops the answers of a tenant, or of all, that `is_meant` says yes to; returns how many. Reads them all.

    Raises redis.RedisError.
    """
    pattern = f"{PREFIX}{tenant_id or ''}*"
    count, cursor, is_begun = 0, 0, False
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
        while cursor or not is_begun:
            is_begun = True
            cursor, names = client.scan(cursor, pattern, count=SCAN_KEYS)
            values = zip(names, client.mget(names) if names else [], strict=True)
            dropped = [name for name, value in values if value is not None and _is_meant(value, is_meant)]
            count += client.delete(*dropped) if dropped else 0
    return count


def _is_meant(value: bytes, is_meant: Callable[[KeptAnswer], bool]) -> bool:
    answer = decoded(value)
    return answer is None or is_meant(answer)


def _names(key: CacheKey) -> tuple[str, str]:
    place = f"{key.tenant_id}.{key.key_hash}"
    return PREFIX + place, LEASE_PREFIX + place


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _read(read: Callable[[], T]) -> T | None:
    """What the database answers soon; None where it does not."""
    try:
        return read()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the database has no answer to give (%s): passed by", type(error).__name__)
        return None
    finally:
        release_connection()
