"""Makes the vectors of passages in the background: in turns, tenant after tenant."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from pgvector import HalfVector

from agentplatform.embedding.client import EmbedderUnavailable
from agentplatform.embedding.vectors import MODEL_NAME, Vector
from apps.database import release_connection
from apps.embedder import embedder
from apps.knowledge.models import Chunk, Document

RUN_SECONDS = 20.0
"""How long one run goes on, so that other maintenance gets its turn."""
BATCH_PASSAGES = 16
TURN_BATCHES = 4
"""After so many batches another tenant's document has its turn."""
LEASE_SECONDS = 60

# Documents without vectors come first, then those whose vectors are another model's; within each, the tenants in turn.
_CLAIM = """
    UPDATE knowledge_document SET embedding_lease_until = now() + make_interval(secs => %(lease)s)
    WHERE id = (
        SELECT id FROM knowledge_document
        WHERE embedding_model = %(model)s AND (tenant_id, id) > (%(tenant)s, %(document)s)
            AND (embedding_lease_until IS NULL OR embedding_lease_until < now())
        ORDER BY tenant_id, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING tenant_id, id, updated_at
"""
_STORE = """
    INSERT INTO knowledge_embedding (chunk_id, tenant_id, model, vector)
    SELECT c.id, c.tenant_id, %(model)s, given.vector::halfvec
    FROM unnest(%(chunks)s::bigint[], %(vectors)s::text[]) AS given (id, vector)
    JOIN knowledge_chunk c ON c.id = given.id
    ON CONFLICT (chunk_id) DO UPDATE SET model = EXCLUDED.model, vector = EXCLUDED.vector
"""
_FIRST = uuid.UUID(int=0)
_LAST = uuid.UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class _Claimed:
    tenant_id: uuid.UUID
    document_id: uuid.UUID
    updated_at: datetime


def embed_pending(seconds: float = RUN_SECONDS) -> bool:
    """Embeds for at most about `seconds`; whether something is left that can be done now.

    False as well when the embedder does not answer: the timer tries again.
    """
    until = time.monotonic() + seconds
    try:
        for model in ("", *_outdated_models()):
            after = uuid.uuid4()  # where to begin in the circle of tenants
            while claimed := _claim(model, after):
                _take_turn(claimed)
                after = claimed.tenant_id
                if time.monotonic() > until:
                    return True
    except EmbedderUnavailable:
        return False
    finally:
        release_connection()
    return False


def _outdated_models() -> list[str]:
    models = Document.objects.exclude(embedding_model__in=("", MODEL_NAME))
    return list(models.order_by("embedding_model").values_list("embedding_model", flat=True).distinct())


def _claim(model: str, after_tenant: uuid.UUID) -> _Claimed | None:
    """The first document of the next tenant in the circle, or of the first one."""
    for tenant_id, document_id in ((after_tenant, _LAST), (_FIRST, _FIRST)):
        place: dict[str, Any] = {
            "model": model,
            "tenant": tenant_id,
            "document": document_id,
            "lease": LEASE_SECONDS,
        }
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, place)
            if row := cursor.fetchone():
                return _Claimed(*row)
    return None


def _take_turn(claimed: _Claimed) -> None:
    """Embeds some batches of a document, and marks it when nothing of it is left. Raises EmbedderUnavailable."""
    try:
        for _ in range(TURN_BATCHES):
            chunks = list(_passages_to_embed(claimed.document_id)[:BATCH_PASSAGES])
            if not chunks:
                _mark_done(claimed)
                return
            release_connection()
            vectors = embedder().embed_passages([text_of(*chunk[1:]) for chunk in chunks])
            _store([chunk[0] for chunk in chunks], vectors)
    finally:
        _release(claimed)


def text_of(title: str, heading: str, text: str) -> str:
    """What is embedded of a passage: it is found by where it stands, too."""
    return f"{title} › {heading}\n{text}" if heading else f"{title}\n{text}"


def _passages_to_embed(document_id: uuid.UUID) -> QuerySet[Chunk, tuple[int, str, str, str]]:
    chunks = Chunk.objects.filter(document_id=document_id).exclude(embedding__model=MODEL_NAME)
    return chunks.order_by("ordinal").values_list("pk", "title", "heading", "text")


def _store(chunk_ids: list[int], vectors: list[Vector]) -> None:
    texts = [HalfVector(vector).to_text() for vector in vectors]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_STORE, {"model": MODEL_NAME, "chunks": chunk_ids, "vectors": texts})
    except IntegrityError:
        pass  # the passages were replaced meanwhile; the next look finds the new ones


def _mark_done(claimed: _Claimed) -> None:
    # A change since the claim has made new passages, which this run may not have seen.
    Document.objects.filter(pk=claimed.document_id, updated_at=claimed.updated_at).update(
        embedding_model=MODEL_NAME
    )


def _release(claimed: _Claimed) -> None:
    Document.objects.filter(pk=claimed.document_id, embedding_lease_until__gt=Now()).update(
        embedding_lease_until=None
    )
