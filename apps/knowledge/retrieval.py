"""Retrieval for agents: full text and vectors together, and what was missing when it was so."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from agentplatform.agents.agent import Degradation
from agentplatform.embedding.client import EmbedderUnavailable
from agentplatform.embedding.vectors import Vector
from apps.database import release_connection
from apps.knowledge.embedder import embedder
from apps.knowledge.selectors import Passage, has_passages_without_vectors, search_passages

VECTORS_UNAVAILABLE = Degradation(
    "vectors_unavailable", "The embedder did not answer: the passages were searched by full text alone."
)
VECTORS_INCOMPLETE = Degradation(
    "vectors_incomplete",
    "Some documents have no vectors yet: those were searched by full text alone.",
)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The best passages first, and how the search fell short of what it should be."""

    passages: Sequence[Passage]
    degradations: Sequence[Degradation]


def retrieve(*, tenant_id: uuid.UUID, question: str, limit: int) -> Retrieval:
    """The tenant's best passages for a question. Without the embedder, by full text alone, and says so.

    No connection is held while the embedder is asked.
    """
    vector = _vector_of(question)
    try:
        passages = search_passages(tenant_id=tenant_id, question=question, limit=limit, vector=vector)
        degradations = []
        if vector is None:
            degradations.append(VECTORS_UNAVAILABLE)
        elif has_passages_without_vectors(tenant_id):
            degradations.append(VECTORS_INCOMPLETE)
        return Retrieval(passages, degradations)
    finally:
        release_connection()


def _vector_of(question: str) -> Vector | None:
    try:
        return embedder().embed_question(question)
    except EmbedderUnavailable:
        return None
