"""Summaries of what is older in sessions: each made by a run of its tenant's, in the background, within its budgets.

Such a run is told the session's id alone. Nobody waits for it: until it has ended, what was said last is told as before.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction

from agentplatform.agents.agent import StepContext
from agentplatform.agents.asking import ask_for_text
from agentplatform.agents.registry import registry
from agentplatform.llm.tiers import Tier
from agentplatform.memory.assembling import Exchange, kept_tokens, older_part
from agentplatform.memory.wording import (
    MAX_SUMMARY_TOKENS,
    SUMMARY_SYSTEM,
    summary_max_tokens,
    summary_prompt,
)
from agentplatform.workflows.definition import Definition, StepSpec
from apps.database import release_connection
from apps.knowledge.models import Session
from apps.knowledge.session_selectors import exchanges_of, sessions_due
from apps.knowledge.session_services import summary_is_begun, summary_store
from apps.workflows.models import Workflow
from apps.workflows.selectors import internal_definition
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, Submission, session_join, workflow_start

SUMMARISE_TYPE = "summarise_session"
QUEUE = "standard"
MAX_STARTED = 100
"""How many summaries one look starts; the rest is started by the next."""

registry.define(
    Definition(
        type=SUMMARISE_TYPE,
        title="Summarise a session",
        description="Sums up the older turns of a session that has grown past its share of a context window.",
        input_schema={
            "type": "object",
            "properties": {
                "session_id": {"type": "string", "format": "uuid"},
                "before": {"type": "integer", "description": "Of the turns before this ordinal."},
                "context_tokens": {
                    "type": "integer",
                    "description": "The room that the conversation has outgrown; without it, what it has here.",
                },
            },
            "required": ["session_id", "before"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(
                key="summarise",
                agent=SUMMARISE_TYPE,
                tier=Tier.FAST,
                estimated_tokens=10_000,
                # A summary and what is added to it, of characters that are escaped; an empty answer is asked for again.
                max_input_tokens=2 * 625_000,
                max_output_tokens=2 * MAX_SUMMARY_TOKENS,
            ),
        ),
        result="summarise",
        is_internal=True,
    )
)


@registry.agent(SUMMARISE_TYPE)
class SummariseSession:
    """Output: `{"until"}`, the ordinal of the last turn that the summary stands for; null when there was nothing to do.

    The summary itself stands in the session alone. An attempt that follows another one finds the same turns, so that
    what that one has bought is replayed; where the session has a newer summary meanwhile, this one is dropped.
    """

    def run(self, step: StepContext) -> Any:
        session_id = uuid.UUID(step.input["session_id"])
        context_tokens = step.input.get("context_tokens", step.session_tokens)
        session, older = _older_part(step, session_id, context_tokens)
        if session is None or not older:
            return {"until": None}
        summary = ask_for_text(
            step,
            summary_prompt(session.summary, older, context_tokens),
            system=SUMMARY_SYSTEM,
            max_tokens=summary_max_tokens(context_tokens),
            cut_code="summary_cut",
        )
        until = older[-1].ordinal + 1
        try:
            is_stored = summary_store(session_id, summary=summary, until=until, after=session.summary_until)
        finally:
            release_connection()
        return {"until": until if is_stored else None}


def _older_part(
    step: StepContext, session_id: uuid.UUID, context_tokens: int
) -> tuple[Session | None, list[Exchange]]:
    # This step's own model may have a smaller window than those that the conversation is told in.
    most_tokens = min(context_tokens, step.session_tokens)
    try:
        session = Session.objects.filter(pk=session_id, tenant=step.tenant_id, forgotten_at=None).first()
        if session is None:
            return None, []
        since = exchanges_of(
            session_id,
            after=session.summary_until,
            before=step.input["before"],
            newest_first=False,
            tokens=most_tokens + kept_tokens(context_tokens),
        )
        return session, older_part(since, context_tokens, most_tokens)
    finally:
        release_connection()


def summaries_advance() -> int:
    """Starts a run for each session that is due to be summarised; returns how many."""
    try:
        due = sessions_due(MAX_STARTED)
        for session in due:
            _start(session)
        return len(due)
    finally:
        release_connection()


def _start(session: Session) -> None:
    """Starts the run, unless one is under way; started again for the same turns, it is the same run."""
    runs = Workflow.objects.filter(session=session, definition__type=SUMMARISE_TYPE, finished_at=None)
    if not runs.exists():
        _start_anew(session)
    summary_is_begun(session.pk)


def _start_anew(session: Session) -> None:
    before, told = session.last_ordinal + 1, session.summary_due_tokens
    room = {} if told is None else {"context_tokens": told}
    submission = Submission(
        definition=internal_definition(SUMMARISE_TYPE),
        input={"session_id": str(session.pk), "before": before, **room},
        queue=QUEUE,
        deadline_seconds=DEFAULT_DEADLINE_SECONDS[QUEUE],
    )
    key = f"{SUMMARISE_TYPE} {session.pk} {session.summary_until} {before} {told}"
    # Both or none: what its call is kept with must be found when the session is forgotten.
    with transaction.atomic():
        started = workflow_start(tenant=session.tenant, submission=submission, idempotency_key=key)
        session_join(started.id, session.pk)
