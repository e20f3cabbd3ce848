"""Reads of kept answers: by their key, by what they mean, and how far that is trusted."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db import connection
from pgvector import HalfVector

from agentplatform.embedding.vectors import MODEL_NAME, Vector
from agentplatform.llm.caching.answers import Candidate, KeptAnswer, Trust
from agentplatform.llm.caching.keys import CacheKey
from agentplatform.llm.caching.verifying import CANDIDATE_SIMILARITY, DEFAULT_THRESHOLD
from agentplatform.llm.messages import ModelResponse
from apps.database import from_jsonb, read_within
from apps.gateway.models import CacheScope

CANDIDATES = 5
EXACT_SCAN_ENTRIES = 2_000
"""A scope up to this size is compared vector by vector: an index over all tenants filters after its scan, so that of a
small scope it would find too few."""
_WALK = {"hnsw__iterative_scan": "strict_order", "hnsw__ef_search": "160"}
"""The scan of the index goes on until enough of a scope's are found, in the order of their distance."""

_FIELDS = """
    e.id, e.response, e.worth_usd_micros, e.source_workflow_id, extract(epoch FROM e.created_at)::float,
    e.expires_at < now()
"""
_BY_KEY = f"""
    SELECT {_FIELDS} FROM gateway_cacheentry e
    WHERE e.tenant_id = %(tenant)s AND e.key_hash = %(key)s AND (%(stale)s OR e.expires_at > now())
"""
_SIZE = """
    SELECT count(*) FROM (
        SELECT 1 FROM gateway_cachevector
        WHERE tenant_id = %(tenant)s AND scope_hash = %(scope)s AND model = %(model)s LIMIT %(most)s) AS counted
"""
# <#> is the negative inner product: of unit vectors, the negative cosine. Adding 0 keeps the planner from the index.
_NEAREST = f"""
    SELECT {_FIELDS}, e.subject, -near.distance FROM (
        SELECT entry_id, vector <#> %(vector)s::halfvec AS distance FROM gateway_cachevector
        WHERE tenant_id = %(tenant)s AND scope_hash = %(scope)s AND model = %(model)s
        ORDER BY (vector <#> %(vector)s::halfvec) {{exactly}} LIMIT %(candidates)s) near
    JOIN gateway_cacheentry e ON e.id = near.entry_id
    WHERE near.distance <= -%(least)s AND (%(stale)s OR e.expires_at > now())
    ORDER BY near.distance
"""


def entry_by_key(key: CacheKey, *, stale: bool) -> KeptAnswer | None:
    """The answer to the same request. Raises OperationalError when it takes too long."""
    parameters: dict[str, Any] = {"tenant": key.tenant_id, "key": key.key_hash, "stale": stale}
    with read_within(settings.CACHE_PATIENCE_SECONDS), connection.cursor() as cursor:
        cursor.execute(_BY_KEY, parameters)
        row = cursor.fetchone()
    return None if row is None else _answer(row)


def nearest_entries(key: CacheKey, vector: Vector, *, stale: bool) -> Sequence[Candidate]:
    """The answers to the nearest questions of the scope. Raises OperationalError when it takes too long."""
    parameters: dict[str, Any] = {
        "tenant": key.tenant_id,
        "scope": key.scope_hash,
        "model": MODEL_NAME,
        "vector": HalfVector(vector).to_text(),
        "candidates": CANDIDATES,
        "least": CANDIDATE_SIMILARITY,
        "stale": stale,
    }
    with read_within(settings.CACHE_PATIENCE_SECONDS, **_WALK), connection.cursor() as cursor:
        exactly = "" if _is_large(key.tenant_id, key.scope_hash) else "+ 0"
        cursor.execute(_NEAREST.format(exactly=exactly), parameters)
        rows = cursor.fetchall()
    return [Candidate(_answer(row[:6]), row[6], float(row[7])) for row in rows]


def trust_of(tenant_id: uuid.UUID, use_case: str) -> Trust:
    """How far answers by meaning are trusted, at most settings.CONFIG_SECONDS old."""
    return _trust_of(tenant_id, use_case, int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=4096)
def _trust_of(tenant_id: uuid.UUID, use_case: str, _period: int) -> Trust:
    with read_within(settings.CACHE_PATIENCE_SECONDS):
        scope = CacheScope.objects.filter(tenant=tenant_id, use_case=use_case).first()
    return trust_in(scope or CacheScope())


def trust_in(scope: CacheScope) -> Trust:
    """What holds for a scope: an operator's threshold before the one that is learned, and that before the default."""
    learned = DEFAULT_THRESHOLD if scope.threshold is None else scope.threshold
    return Trust(
        threshold=learned if scope.pinned_threshold is None else scope.pinned_threshold,
        checked_share=scope.checked_share,
        is_enabled=scope.is_enabled and scope.switched_off_at is None,
    )


_SERVED_BY = """
    WITH RECURSIVE tainted AS (
        SELECT unnest(%(runs)s::uuid[]) AS id
        UNION
        SELECT c.workflow_id FROM tainted JOIN gateway_call c
            ON c.cache IS NOT NULL AND c.cache ->> 'source_workflow_id' = tainted.id::text)
    SELECT id FROM tainted
"""


def runs_served_by(workflow_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """These runs, those that were served an answer of theirs from the cache, those served by these, and so on."""
    with connection.cursor() as cursor:
        cursor.execute(_SERVED_BY, {"runs": list(workflow_ids)})
        return {row[0] for row in cursor.fetchall()}


def _is_large(tenant_id: uuid.UUID, scope_hash: str) -> bool:
    return (
        _size_of(tenant_id, scope_hash, int(time.monotonic() / settings.CONFIG_SECONDS)) > EXACT_SCAN_ENTRIES
    )


@functools.lru_cache(maxsize=4096)
def _size_of(tenant_id: uuid.UUID, scope_hash: str, _period: int) -> int:
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "scope": scope_hash,
        "model": MODEL_NAME,
        "most": EXACT_SCAN_ENTRIES + 1,
    }
    with connection.cursor() as cursor:  # of the search's own transaction, within its time
        cursor.execute(_SIZE, parameters)
        return int(cursor.fetchone()[0])


def _answer(row: Sequence[Any]) -> KeptAnswer:
    entry_id, response, worth, workflow_id, created_at, is_stale = row
    return KeptAnswer(
        response=ModelResponse.from_json(from_jsonb(response)),
        worth_usd_micros=worth,
        source_workflow_id=workflow_id,
        created_at=created_at,
        entry_id=entry_id,
        is_stale=is_stale,
    )
