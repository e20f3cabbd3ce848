"""Writes to sessions. What is said and answered is written by functions of the database, with the run itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import connection, transaction
from django.db.models.functions import Now

from apps.knowledge.models import Session, Turn

BATCH_TURNS = 2_000
"""So many are deleted in one statement."""

_EXPIRED = """
    SELECT s.id FROM knowledge_session s
    JOIN tenants_tenant n ON n.id = s.tenant_id JOIN tenants_tenanttier r ON r.name = n.tier_id
    WHERE s.forgotten_at IS NULL
        AND s.last_used_at < now() - make_interval(days => coalesce(n.session_retention_days, r.session_retention_days))
    ORDER BY s.last_used_at LIMIT %(most)s
"""
_DELETE_OLD = """
    DELETE FROM knowledge_turn WHERE id IN (
        SELECT t.id FROM knowledge_turn t
        JOIN tenants_tenant n ON n.id = t.tenant_id JOIN tenants_tenanttier r ON r.name = n.tier_id
        WHERE t.created_at < now() - make_interval(days => coalesce(n.session_retention_days, r.session_retention_days))
        ORDER BY t.created_at LIMIT %(most)s)
"""


def summary_is_due(session_id: uuid.UUID, context_tokens: int) -> bool:
    """Notes that the older turns should be summarised, since they have outgrown a room of so many tokens; whether that
    is news."""
    sessions = Session.objects.filter(pk=session_id, forgotten_at=None, summary_due_at=None)
    return bool(sessions.update(summary_due_at=Now(), summary_due_tokens=context_tokens))


def summary_is_begun(session_id: uuid.UUID) -> None:
    """Whatever makes the summary has been started: the session is not due any more."""
    Session.objects.filter(pk=session_id).update(summary_due_at=None, summary_due_tokens=None)


def summary_store(session_id: uuid.UUID, *, summary: str, until: int, after: int) -> bool:
    """Stores a summary of all turns up to `until`, made of the one up to `after`; False when there is another one
    meanwhile, or the session has been forgotten."""
    sessions = Session.objects.filter(pk=session_id, forgotten_at=None, summary_until=after)
    return bool(sessions.update(summary=summary, summary_until=until))


def session_empty(session_id: uuid.UUID) -> bool:
    """Forgets what was said: turns, vectors and summary; whether it was not forgotten before.

    Its row stays, under no name that a submission could use, until `sessions_delete`.
    """
    with transaction.atomic():
        sessions = Session.objects.filter(pk=session_id, forgotten_at=None)
        is_new = bool(sessions.update(forgotten_at=Now(), summary="", summary_until=0, summary_due_at=None))
        Turn.objects.filter(session=session_id).delete()
    return is_new


def sessions_delete(session_ids: Iterable[uuid.UUID]) -> int:
    """Deletes the rows of sessions that have been forgotten; returns how many."""
    _, counts = Session.objects.filter(pk__in=list(session_ids)).exclude(forgotten_at=None).delete()
    return counts.get(Session._meta.label, 0)


def sessions_expired(limit: int) -> list[uuid.UUID]:
    """Sessions that have not been used for as long as their tenant keeps them."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, {"most": limit})
        return [row[0] for row in cursor.fetchall()]


def turns_expire(limit: int = 10 * BATCH_TURNS) -> int:
    """Deletes turns that are older than their tenant keeps them, of sessions that are still used; returns how many."""
    count = 0
    with connection.cursor() as cursor:
        while count < limit:
            cursor.execute(_DELETE_OLD, {"most": BATCH_TURNS})
            count += cursor.rowcount
            if cursor.rowcount < BATCH_TURNS:
                break
    return count
