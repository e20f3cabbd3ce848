"""Makes the vectors of turns in the background, tenant after tenant."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from pgvector import HalfVector

from agentplatform.embedding.client import EmbedderUnavailable
from agentplatform.embedding.vectors import MODEL_NAME
from apps.database import release_connection
from apps.embedder import embedder

RUN_SECONDS = 10.0
BATCH_TURNS = 16
LEASE_SECONDS = 60
EMBEDDED_CHARACTERS = 2_000
"""A turn's vector is of its beginning; the model reads no more of it in any case."""

# Some turns of the next tenant in the circle. Another model needs a migration that takes the vectors away: until then
# they are not compared.
_CLAIM = """
    UPDATE knowledge_turn SET embedding_lease_until = now() + make_interval(secs => %(lease)s)
    WHERE id IN (
        SELECT id FROM knowledge_turn
        WHERE embedding_model = '' AND (embedding_lease_until IS NULL OR embedding_lease_until < now())
            AND tenant_id = (
                SELECT tenant_id FROM knowledge_turn
                WHERE embedding_model = '' AND tenant_id > %(tenant)s
                    AND (embedding_lease_until IS NULL OR embedding_lease_until < now())
                ORDER BY tenant_id LIMIT 1)
        ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING tenant_id, id, left(text, %(characters)s)
"""
# Only of the text that was read: an answer may have been replaced meanwhile.
_STORE = """
    UPDATE knowledge_turn t
    SET embedding_model = %(model)s, vector = given.vector::halfvec, embedding_lease_until = NULL
    FROM unnest(%(turns)s::bigint[], %(texts)s::text[], %(vectors)s::text[]) AS given (id, text, vector)
    WHERE t.id = given.id AND left(t.text, %(characters)s) = given.text
"""
_FIRST = uuid.UUID(int=0)


def embed_pending_turns(seconds: float = RUN_SECONDS) -> int:
    """Embeds for at most about `seconds`; returns how many turns. An embedder that does not answer is asked again by the
    timer."""
    until = time.monotonic() + seconds
    count = 0
    after = _FIRST
    try:
        while time.monotonic() < until:
            claimed = _claim(after)
            if not claimed and after == _FIRST:
                break
            after = claimed[0][0] if claimed else _FIRST
            if claimed:
                _embed([(turn, text) for _, turn, text in claimed])
                count += len(claimed)
    except EmbedderUnavailable:
        pass
    finally:
        release_connection()
    return count


def _claim(after: uuid.UUID) -> Sequence[tuple[uuid.UUID, int, str]]:
    parameters: dict[str, Any] = {
        "lease": LEASE_SECONDS,
        "tenant": after,
        "most": BATCH_TURNS,
        "characters": EMBEDDED_CHARACTERS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        return cursor.fetchall()


def _embed(turns: Sequence[tuple[int, str]]) -> None:
    """Raises EmbedderUnavailable; the turns are there for the next look."""
    release_connection()
    try:
        vectors = embedder().embed_passages([text for _, text in turns])
    except EmbedderUnavailable:
        _release([turn for turn, _ in turns])
        raise
    parameters: dict[str, Any] = {
        "model": MODEL_NAME,
        "turns": [turn for turn, _ in turns],
        "texts": [text for _, text in turns],
        "vectors": [HalfVector(vector).to_text() for vector in vectors],
        "characters": EMBEDDED_CHARACTERS,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_STORE, parameters)


def _release(turns: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE knowledge_turn SET embedding_lease_until = NULL WHERE id = ANY(%s)", [list(turns)]
        )
