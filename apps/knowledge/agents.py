"""Agents that read the knowledge base."""

from __future__ import annotations

import uuid
from typing import Any

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from agentplatform.llm.caching.policy import Caching
from apps.knowledge.recalling import recall
from apps.knowledge.retrieval import both, retrieve
from apps.knowledge.selectors import knowledge_version

MAX_EARLIER_CHARACTERS = 1_000
"""How much of the question before is searched with."""


@registry.version("knowledge")
def knowledge(tenant_id: uuid.UUID) -> str:
    """Grows with every change of the tenant's documents."""
    return str(knowledge_version(tenant_id))


@registry.agent("retrieve_passages")
class RetrievePassages:
    """Output: `{"passages": [{"document_id", "title", "heading", "text", "rank"}], "knowledge_version"}`.

    In a session also `memory`, of what was said before; then half of the passages are for the latest question and this
    one together: a question that follows on another one seldom says what it is about. Option `limit`, default 8.
    """

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        question, limit = step.input["question"], int(step.options.get("limit", 8))
        memory = recall(step, question)
        found = retrieve(tenant_id=step.tenant_id, question=question, limit=limit)
        if memory.recent:
            together = f"{memory.recent[-1]['said'][:MAX_EARLIER_CHARACTERS]} {question}"
            found = both(found, retrieve(tenant_id=step.tenant_id, question=together, limit=limit), limit)
        step.degradations.extend(found.degradations)
        remembered = {} if memory.is_empty else {"memory": memory.to_json()}
        return remembered | {
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
