"""Agents that read the knowledge base."""

from __future__ import annotations

from typing import Any

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from apps.knowledge.retrieval import retrieve


@registry.agent("retrieve_passages")
class RetrievePassages:
    """Output: `{"passages": [{"document_id", "title", "heading", "text", "rank"}], "knowledge_version"}`.

    Option `limit`, default 8.
    """

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
            "knowledge_version": found.knowledge_version,
        }
