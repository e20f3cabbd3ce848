"""What a run is told of its session, and the agent that looks it up."""

from __future__ import annotations

import uuid
from typing import Any

from agentplatform.agents.agent import Degradation, StepContext
from agentplatform.agents.registry import registry
from agentplatform.memory.assembling import (
    RECENT_SHARE,
    Memory,
    assembled,
    best_within,
    is_summary_due,
    latest_within,
)
from agentplatform.memory.wording import summary_within
from apps.database import release_connection
from apps.embedder import question_vector
from apps.knowledge.hints import send_summary_hint
from apps.knowledge.session_selectors import exchanges_like, exchanges_of, standing_of
from apps.knowledge.session_services import summary_is_due

MAX_RECALLED = 8
RECALL_SKIPPED = Degradation(
    "recall_skipped",
    "The embedder did not answer: of the earlier conversation, its latest turns and its summary were used alone.",
)


def recall(step: StepContext, question: str) -> Memory:
    """What is remembered for a question of the step's run; nothing outside of a session. No connection is held meanwhile.

    Once what no summary stands for has grown large, it is noted that one is due: it is made in the background.
    """
    if step.session_id is None:
        return Memory()
    context_tokens = step.session_tokens
    try:
        standing = standing_of(step.session_id, step.workflow_id)
        if standing is None:
            return Memory()
        since = exchanges_of(
            step.session_id,
            after=standing.summary_until,
            before=standing.ordinal,
            newest_first=True,
            tokens=int(context_tokens * RECENT_SHARE),
        )
        recent = latest_within(since, context_tokens)
        if is_summary_due(sum(exchange.tokens for exchange in since), context_tokens):
            _note_due(step.session_id, context_tokens)
    finally:
        release_connection()
    first = recent[0].ordinal if recent else standing.ordinal
    has_older = standing.summary_until > 0 or len(recent) < len(since)
    recalled = _recalled(step, question, before=first) if has_older else []
    summary = summary_within(standing.summary, context_tokens)
    return assembled(summary, recent, best_within(recalled, context_tokens))


def _recalled(step: StepContext, question: str, *, before: int) -> Any:
    vector = question_vector(step.tenant_id, question)
    if vector is None:
        step.degradations.append(RECALL_SKIPPED)
        return []
    assert step.session_id is not None
    try:
        return exchanges_like(step.session_id, vector, before=before, most=MAX_RECALLED)
    finally:
        release_connection()


def _note_due(session_id: uuid.UUID, context_tokens: int) -> None:
    if summary_is_due(session_id, context_tokens):
        send_summary_hint()


@registry.agent("recall_session")
class RecallSession:
    """Output: `{"memory"}`, of what was said before in the session of the run; null outside of one.

    Option `field`: the field of the input that is said, default "message".
    """

    def run(self, step: StepContext) -> Any:
        memory = recall(step, step.input[str(step.options.get("field", "message"))])
        return {"memory": None if memory.is_empty else memory.to_json()}
