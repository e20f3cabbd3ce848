"""Agents that read the knowledge base."""

from __future__ import annotations

from typing import Any

from django.db import connection

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from apps.knowledge.selectors import search_passages


@registry.agent("retrieve_passages")
class RetrievePassages:
    """Output: `{"passages": [{"document_id", "title", "heading", "text", "rank"}]}`. Option `limit`, default 6."""

    def run(self, step: StepContext) -> Any:
        try:
            passages = search_passages(
                tenant_id=step.tenant_id,
                question=step.input["question"],
                limit=int(step.options.get("limit", 6)),
            )
        finally:
            connection.close()  # back to the pool
        return {
            "passages": [
                {
                    "document_id": str(passage.document_id),
                    "title": passage.title,
                    "heading": passage.heading,
                    "text": passage.text,
                    "rank": round(passage.rank, 4),
                }
                for passage in passages
            ]
        }
