"""Reads of a tenant's knowledge base."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from pgvector import HalfVector

from agentplatform.embedding.vectors import MIN_SIMILARITY, MODEL_NAME, Vector
from apps.knowledge.models import Chunk, Document, Embedding, KnowledgeBase
from apps.tenants.models import Tenant

CANDIDATES = 50
"""How many passages each way of searching hands to the fusion."""
RANK_CONSTANT = 20
TEXT_WEIGHT = 0.5
"""Of reciprocal rank fusion: set by `make bench-retrieval`, as is the size of passages. Full text finds names and exact
words; where a question has other words than the passage, its first places are noise, so they count half."""
EXACT_SCAN_PASSAGES = 5_000
"""A knowledge base up to this size is compared vector by vector: an index over all tenants filters after its scan, so
that of a small tenant it would find too few."""
HNSW_EF_SEARCH = 100

# Any word of the question may match: asking for all of them would leave most questions without a passage.
# ts_rank_cd with normalisation 32 maps a rank into [0, 1); a match in the title or a heading weighs most.
_BY_TEXT = """
    SELECT id, row_number() OVER (ORDER BY rank DESC, id) AS place, {weight}::float AS weight FROM (
        SELECT c.id, ts_rank_cd(c.search, question.query, 32) AS rank
        FROM knowledge_chunk c,
            (SELECT replace(plainto_tsquery('english', %(question)s)::text, '&', '|')::tsquery AS query) question
        WHERE c.tenant_id = %(tenant)s AND c.search @@ question.query
        ORDER BY rank DESC, c.id LIMIT %(candidates)s) found
"""
# <#> is the negative inner product: of unit vectors, the negative cosine. Adding 0 keeps the planner from the index.
_BY_VECTOR = """
    SELECT chunk_id AS id, row_number() OVER (ORDER BY distance, chunk_id) AS place, 1.0::float AS weight FROM (
        SELECT chunk_id, vector <#> %(vector)s::halfvec AS distance FROM knowledge_embedding
        WHERE tenant_id = %(tenant)s AND model = %(model)s
        ORDER BY (vector <#> %(vector)s::halfvec) {exactly} LIMIT %(candidates)s) near
    WHERE distance <= -%(min_similarity)s
"""
# Reciprocal rank fusion: G. Cormack, C. Clarke, S. Büttcher, SIGIR 2009. Divided by the best possible score.
_FUSE = """
    WITH places AS ({places}),
    best AS (
        SELECT id, sum(weight / (%(constant)s + place)) * (%(constant)s + 1) / %(weights)s AS score
        FROM places GROUP BY id ORDER BY score DESC, id LIMIT %(limit)s)
    SELECT d.id, d.title, c.heading, c.text, best.score
    FROM best JOIN knowledge_chunk c ON c.id = best.id JOIN knowledge_document d ON d.id = c.document_id
    ORDER BY best.score DESC, c.id
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that matches a question. `rank` is in (0, 1]; 1 is first in every way that was searched."""

    document_id: uuid.UUID
    title: str
    heading: str
    text: str
    rank: float


def search_passages(
    *, tenant_id: uuid.UUID, question: str, limit: int, vector: Vector | None = None, by_text: bool = True
) -> list[Passage]:
    """The tenant's passages for a question, best first: by full text, by `vector` where given, or both, fused.

    One round trip for full text, two with a vector; a transaction for more than EXACT_SCAN_PASSAGES.
    """
    is_large = vector is not None and _passages_about(tenant_id) > EXACT_SCAN_PASSAGES
    text_weight = 1.0 if vector is None else TEXT_WEIGHT
    ways = [_BY_TEXT.format(weight=text_weight)] if by_text else []
    if vector is not None:
        ways.append(_BY_VECTOR.format(exactly="" if is_large else "+ 0"))
    statement = _FUSE.format(places=" UNION ALL ".join(f"({way})" for way in ways))
    parameters = {
        "tenant": tenant_id,
        "question": question,
        "vector": None if vector is None else HalfVector(vector).to_text(),
        "model": MODEL_NAME,
        "min_similarity": MIN_SIMILARITY,
        "candidates": max(CANDIDATES, limit),
        "constant": RANK_CONSTANT,
        "weights": (text_weight if by_text else 0.0) + (0.0 if vector is None else 1.0),
        "limit": limit,
    }
    return [Passage(*row) for row in _rows(statement, parameters, walks_index=is_large)]


def _rows(statement: str, parameters: dict[str, Any], *, walks_index: bool) -> list[tuple[Any, ...]]:
    if not walks_index:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()
    with transaction.atomic(), connection.cursor() as cursor:
        # The scan goes on until enough of this tenant's are found, in the order of their distance.
        cursor.execute(
            f"SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = {HNSW_EF_SEARCH}"
        )
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _passages_about(tenant_id: uuid.UUID) -> int:
    counted = KnowledgeBase.objects.filter(pk=tenant_id).values_list("passages", flat=True).first()
    return counted or 0


def knowledge_version(tenant_id: uuid.UUID) -> int:
    """A number that grows with every change of the tenant's titles and contents; 0 before the first."""
    version = KnowledgeBase.objects.filter(pk=tenant_id).values_list("version", flat=True).first()
    return version or 0


def has_passages_without_vectors(tenant_id: uuid.UUID) -> bool:
    """Whether some document of the tenant is not embedded yet by the present model."""
    return Document.objects.filter(tenant=tenant_id).exclude(embedding_model=MODEL_NAME).exists()


@dataclass(frozen=True, slots=True)
class KnowledgeState:
    """How much a tenant's knowledge base holds, and how much of it has vectors of the present model."""

    version: int
    changed_at: datetime | None
    documents: int
    passages: int
    embedded_passages: int
    embedding_model: str = MODEL_NAME


def knowledge_state(tenant: Tenant) -> KnowledgeState:
    """Counted anew, by indexes."""
    base = KnowledgeBase.objects.filter(pk=tenant.pk).first()
    return KnowledgeState(
        version=base.version if base else 0,
        changed_at=base.changed_at if base else None,
        documents=Document.objects.of(tenant).count(),
        passages=Chunk.objects.filter(tenant=tenant).count(),
        embedded_passages=Embedding.objects.filter(tenant=tenant, model=MODEL_NAME).count(),
    )


def passage_counts(document: Document) -> tuple[int, int]:
    """How many passages a document has, and how many of them have vectors of the present model."""
    embedded = Embedding.objects.filter(chunk__document=document, model=MODEL_NAME)
    return document.chunks.count(), embedded.count()
