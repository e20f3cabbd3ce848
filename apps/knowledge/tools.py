"""The tool `knowledge_search`: passages of the tenant's own documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.tool import ToolContext, ToolOutput, ToolSpec
from apps.knowledge.retrieval import retrieve

MAX_PASSAGES = 10


@registry.tool
class KnowledgeSearch:
    """Output: `{"passages": [{"title", "heading", "text", "document_id"}]}`, the best first."""

    spec = ToolSpec(
        name="knowledge_search",
        description="Searches the knowledge base of documents and returns the passages that fit a question best.",
        input_schema={
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "description": "What to search for, as a question or in a few words.",
                    "minLength": 1,
                    "maxLength": 1_000,
                },
                "limit": {
                    "type": "integer",
                    "description": "How many passages.",
                    "minimum": 1,
                    "maximum": MAX_PASSAGES,
                    "default": 5,
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        timeout_seconds=10.0,
    )

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        found = retrieve(
            tenant_id=context.tenant_id, question=arguments["query"], limit=int(arguments.get("limit", 5))
        )
        passages = [
            {
                "title": passage.title,
                "heading": passage.heading,
                "text": passage.text,
                "document_id": str(passage.document_id),
            }
            for passage in found.passages
        ]
        return ToolOutput({"passages": passages}, tuple(one.message for one in found.degradations))
