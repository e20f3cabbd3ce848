"""Agents that read the knowledge base."""

from __future__ import annotations

import uuid
from typing import Any

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from agentplatform.llm.caching.policy import Caching
from apps.knowledge.retrieval import retrieve
from apps.knowledge.selectors import knowledge_version


@registry.version("knowledge")
def knowledge(tenant_id: uuid.UUID) -> str:
    """Grows with every change of the tenant's documents."""
    return str(knowledge_version(tenant_id))


@registry.agent("retrieve_passages")
class RetrievePassages:
    """Output: `{"passages": [{"document_id", "title", "heading", "text", "rank"}], "knowledge_version"}`.

    Option `limit`, default 8.
    """

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        found = retrieve(
            tenant_id=step.tenant_id,
            question=step.input["question"],
            limit=int(step.options.get("limit", 8)),
        )
        step.degradations.extend(found.degradations)
        return {
            "passages": [
                {
                    "document_id": str(passage.document_id),
                    "title": passage.title,
                    "heading": passage.heading,
                    "text": passage.text,
                    "rank": round(passage.rank, 4),
                }
                for passage in found.passages
            ],
            # An answer from less than there is must not serve others.
            "knowledge_version": None if found.degradations else found.knowledge_version,
        }
