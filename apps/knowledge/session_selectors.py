"""Reads of sessions and their turns."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from pgvector import HalfVector

from agentplatform.embedding.vectors import MODEL_NAME, Vector
from agentplatform.memory.assembling import Exchange
from apps.knowledge.models import Session, Turn
from apps.tenants.models import Tenant

MIN_SIMILARITY = 0.25
"""Cosine of a question and a turn below which it is not recalled. Of this model: a threshold belongs to its model."""

MAX_PAGE_TURNS = 500
MAX_PAGE_TOKENS = 65_536
"""A page ends after the turn that reaches it: some hundred kilobytes of text, and one turn."""

_PAGE = """
    SELECT id, ordinal, role, text, workflow_id, created_at FROM (
        SELECT id, ordinal, role, text, workflow_id, created_at,
            sum(tokens) OVER (ORDER BY ordinal) - tokens AS tokens_before
        FROM knowledge_turn WHERE session_id = %(session)s AND ordinal > %(after)s AND ordinal <= %(until)s
        ORDER BY ordinal LIMIT %(most)s) page
    WHERE tokens_before < %(tokens)s ORDER BY ordinal
"""
_ANSWERED = """
    FROM knowledge_turn said JOIN knowledge_turn answer
        ON answer.session_id = said.session_id AND answer.ordinal = said.ordinal + 1
    WHERE said.session_id = %(session)s AND said.role = 'user' AND answer.role = 'assistant'
"""
_EXCHANGES = f"""
    SELECT ordinal, said, answered FROM (
        SELECT said.ordinal, said.text AS said, answer.text AS answered,
            sum(said.tokens + answer.tokens) OVER (ORDER BY said.ordinal {{order}})
                - said.tokens - answer.tokens AS tokens_before
        {_ANSWERED} AND said.ordinal > %(after)s AND said.ordinal < %(before)s
        ORDER BY said.ordinal {{order}} LIMIT %(most)s) one_by_one
    WHERE tokens_before <= %(tokens)s ORDER BY ordinal {{order}}
"""
# An exchange is as near as the nearer of its two turns. One by one: a session is small.
_RECALL = f"""
    SELECT ordinal, said, answered FROM (
        SELECT said.ordinal, said.text AS said, answer.text AS answered,
            least(said.vector <#> %(vector)s::halfvec, answer.vector <#> %(vector)s::halfvec) AS distance
        {_ANSWERED} AND said.ordinal < %(before)s
            AND (said.embedding_model = %(model)s OR answer.embedding_model = %(model)s)) near
    WHERE distance <= -%(min_similarity)s
    ORDER BY distance, ordinal LIMIT %(most)s
"""
_SHOWN = """
    SELECT s.id, count(t.id) FILTER (WHERE t.id IS NOT NULL),
        count(t.id) FILTER (WHERE t.ordinal <= s.summary_until), coalesce(sum(t.tokens), 0),
        s.last_used_at + make_interval(days => coalesce(n.session_retention_days, r.session_retention_days))
    FROM knowledge_session s JOIN tenants_tenant n ON n.id = s.tenant_id JOIN tenants_tenanttier r ON r.name = n.tier_id
        LEFT JOIN knowledge_turn t ON t.session_id = s.id
    WHERE s.id = ANY(%(sessions)s) GROUP BY s.id, n.id, r.name
"""


def session_of(tenant: Tenant, external_id: str) -> Session | None:
    """The tenant's session of this name; None when there is none, or it has been forgotten."""
    if "\x00" in external_id:  # which no column can hold
        return None
    return Session.objects.of(tenant).filter(external_id=external_id).first()


@dataclass(frozen=True, slots=True)
class SessionSize:
    """How much a session holds, and when it is forgotten if it is not used again."""

    turns: int
    summarised_turns: int
    tokens: int
    expires_at: datetime


def session_sizes(session_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, SessionSize]:
    """The sizes of these sessions, by id."""
    with connection.cursor() as cursor:
        cursor.execute(_SHOWN, {"sessions": list(session_ids)})
        return {row[0]: SessionSize(*row[1:]) for row in cursor.fetchall()}


def is_there(session_id: uuid.UUID) -> bool:
    """Whether there is such a session that has not been forgotten."""
    return Session.objects.filter(pk=session_id, forgotten_at=None).exists()


def turns_page(session_id: uuid.UUID, *, after: int, until: int) -> list[Turn]:
    """The turns that follow the ordinal `after`, up to `until`, in their order: as many as are a page."""
    parameters = {
        "session": session_id,
        "after": after,
        "until": until,
        "most": MAX_PAGE_TURNS,
        "tokens": MAX_PAGE_TOKENS,
    }
    return list(Turn.objects.raw(_PAGE, parameters))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands in its session: its own ordinal, and what is summarised of what was before."""

    ordinal: int
    summary: str
    summary_until: int


def standing_of(session_id: uuid.UUID, workflow_id: uuid.UUID) -> Standing | None:
    """None when the session has been forgotten. A run that said nothing itself, as a replay, stands at its end."""
    turns = Turn.objects.filter(workflow_id=workflow_id, role=Turn.Role.USER, session=session_id)
    row = turns.values_list("ordinal", "session__summary", "session__summary_until").first()
    if row is None:
        sessions = Session.objects.filter(pk=session_id, forgotten_at=None)
        row = sessions.values_list("last_ordinal", "summary", "summary_until").first()
        return None if row is None else Standing(row[0] + 1, *row[1:])
    return Standing(*row)


def exchanges_of(
    session_id: uuid.UUID, *, after: int, before: int, newest_first: bool, tokens: int
) -> list[Exchange]:
    """What was said and has been answered, with an ordinal between both, until it is more than so many tokens."""
    parameters = {
        "session": session_id,
        "after": after,
        "before": before,
        "tokens": tokens,
        "most": tokens // 2 + 1,  # of two tokens at least each
    }
    return _exchanges(_EXCHANGES.format(order="DESC" if newest_first else "ASC"), parameters)


def exchanges_like(session_id: uuid.UUID, vector: Vector, *, before: int, most: int) -> list[Exchange]:
    """The exchanges that resemble a question by its vector, the nearest first."""
    parameters = {
        "session": session_id,
        "before": before,
        "vector": HalfVector(vector).to_text(),
        "model": MODEL_NAME,
        "min_similarity": MIN_SIMILARITY,
        "most": most,
    }
    return _exchanges(_RECALL, parameters)


def sessions_due(limit: int) -> Sequence[Session]:
    """Sessions whose older turns should be summarised, the longest due first."""
    due = Session.objects.filter(forgotten_at=None, summary_due_at__isnull=False)
    return list(due.select_related("tenant").order_by("summary_due_at")[:limit])


def _exchanges(statement: str, parameters: dict[str, Any]) -> list[Exchange]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [Exchange(*row) for row in cursor.fetchall()]
