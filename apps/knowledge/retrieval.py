"""Retrieval for agents: full text and vectors together, and what was missing when it was so."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from agentplatform.agents.agent import Degradation
from agentplatform.embedding.vectors import MODEL_NAME
from apps.context_cache import context_cache
from apps.database import release_connection
from apps.embedder import question_vector
from apps.knowledge.selectors import (
    Passage,
    has_passages_without_vectors,
    knowledge_version,
    search_passages,
)

VECTORS_UNAVAILABLE = Degradation(
    "vectors_unavailable", "The embedder did not answer: the passages were searched by full text alone."
)
VECTORS_INCOMPLETE = Degradation(
    "vectors_incomplete",
    "Some documents have no vectors yet: those were searched by full text alone.",
)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The best passages first, of the knowledge base as it was at this version or later, and how the search fell short
    of what it should be."""

    passages: Sequence[Passage]
    degradations: Sequence[Degradation]
    knowledge_version: int


def retrieve(*, tenant_id: uuid.UUID, question: str, limit: int) -> Retrieval:
    """The tenant's best passages for a question. Without the embedder, by full text alone, and says so.

    What has been found before is found again without a search, until the knowledge base changes. White space makes
    no difference. No connection is held while the embedder or the cache is asked.
    """
    asked = " ".join(question.split())
    try:
        # Read before the search: what is found while the version counts on stands under the one nobody asks for again.
        version = knowledge_version(tenant_id)
    finally:
        release_connection()
    found = context_cache().get_or_make(
        "retrieval",
        tenant_id,
        {"question": asked, "limit": limit, "knowledge_version": version, "model": MODEL_NAME},
        lambda: _search(tenant_id, asked, limit),
        is_worth=lambda found: not found["degradations"],
    )
    return Retrieval(
        [
            Passage(**{**passage, "document_id": uuid.UUID(passage["document_id"])})
            for passage in found["passages"]
        ],
        [Degradation(**degradation) for degradation in found["degradations"]],
        version,
    )


def both(one: Retrieval, other: Retrieval, limit: int) -> Retrieval:
    """The best of two searches by turns, each passage once, as of the earlier of their versions."""
    found: dict[tuple[uuid.UUID, str, str], Passage] = {}
    for pair in zip_longest(one.passages, other.passages):
        for passage in pair:
            if passage is not None and len(found) < limit:
                found.setdefault((passage.document_id, passage.heading, passage.text), passage)
    degradations = list(dict.fromkeys([*one.degradations, *other.degradations]))
    version = min(one.knowledge_version, other.knowledge_version)
    return Retrieval(list(found.values()), degradations, version)


def _search(tenant_id: uuid.UUID, question: str, limit: int) -> dict[str, Any]:
    """What a search finds, as JSON."""
    vector = question_vector(tenant_id, question)
    try:
        # Asked before and after: vectors that come, or go, in between are none that the search is sure to have seen.
        was_incomplete = vector is not None and has_passages_without_vectors(tenant_id)
        passages = search_passages(tenant_id=tenant_id, question=question, limit=limit, vector=vector)
        degradations = []
        if vector is None:
            degradations.append(VECTORS_UNAVAILABLE)
        elif was_incomplete or has_passages_without_vectors(tenant_id):
            degradations.append(VECTORS_INCOMPLETE)
    finally:
        release_connection()
    return {
        "passages": [{**asdict(passage), "document_id": str(passage.document_id)} for passage in passages],
        "degradations": [degradation.to_json() for degradation in degradations],
    }
