"""Forgetting sessions: what was said, and what runs have made of it. What it has cost stays."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import redis
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from agentplatform.agents.agent import Degradation
from apps.database import release_connection, to_jsonb
from apps.gateway.cache_selectors import runs_served_by
from apps.gateway.cache_services import answers_purge
from apps.gateway.services import responses_erase
from apps.knowledge.models import Session
from apps.knowledge.session_services import session_empty, sessions_delete, sessions_expired, turns_expire
from apps.tools.services import tool_results_erase
from apps.workflows.cached_results import results_purge
from apps.workflows.models import DeadLetter, Feedback, Signal, Step, Workflow
from apps.workflows.operations import Actor, action_record
from apps.workflows.services import AlreadyFinished, workflow_cancel

FORGET = "session.forget"
"""The name of forgetting among operators' and tenants' actions."""
FORGOTTEN = Degradation(
    "session_forgotten", "Its session was forgotten, and with it what was said and answered here."
)
_EMPTY = """
    UPDATE workflows_workflow
    SET input = '{}', result = NULL, degradations = CASE
        WHEN degradations @> '[{"code": "session_forgotten"}]' THEN degradations
        ELSE degradations || %(said)s::jsonb END
    WHERE id = ANY(%(runs)s)
"""
DISCARDED_BECAUSE = "Its session was forgotten: there is nothing to go on from."
BATCH_RUNS = 500
MAX_EXPIRED = 500
"""How many sessions one run of the upkeep forgets; the rest goes the next times."""
LAST_LOOK = timedelta(minutes=5)
"""How long after it was forgotten a session's runs are emptied once more: calls that were in flight have settled."""

logger = logging.getLogger(__name__)


def session_forget(session: Session, *, actor: Actor | None = None) -> bool:
    """Forgets a session: turns, summary and vectors at once; its runs are cancelled and emptied, kept answers purged.

    Returns whether it was not forgotten before. What could not be done the upkeep does. Records who did it.
    """
    with transaction.atomic():
        is_new = session_empty(session.pk)
        if is_new and actor is not None:
            action_record(
                actor, FORGET, {"tenant": str(session.tenant_id), "session": str(session.pk)}, affected=1
            )
    for run in Workflow.objects.filter(session=session.pk, finished_at=None).values_list("pk", flat=True):
        with suppress(AlreadyFinished):
            workflow_cancel(run)
    try:
        _erase_runs(session)
    except redis.RedisError as error:
        logger.warning(
            "answers of session %s are purged by the upkeep (%s)", session.pk, type(error).__name__
        )
    return is_new


def sessions_upkeep() -> dict[str, int]:
    """Forgets sessions and turns that their tenants keep no longer, and deletes the rows of those forgotten before.

    Returns how many of each.
    """
    try:
        expired = Session.objects.filter(pk__in=sessions_expired(MAX_EXPIRED))
        forgotten = sum(session_forget(session) for session in expired)
        return {"sessions_forgotten": forgotten, "turns": turns_expire(), "sessions": _delete_forgotten()}
    finally:
        release_connection()


def _delete_forgotten() -> int:
    """Once all runs of a session have ended for a while, they are emptied for the last time, and its row goes."""
    unfinished = Workflow.objects.filter(session=OuterRef("pk"), finished_at=None)
    gone = Session.objects.filter(forgotten_at__lt=Now() - LAST_LOOK).exclude(Exists(unfinished))
    count = 0
    for session in gone.order_by("forgotten_at")[:MAX_EXPIRED]:
        session_empty(session.pk)
        try:
            _erase_runs(session)
        except redis.RedisError as error:
            logger.warning(
                "session %s waits for the cache to be purged (%s)", session.pk, type(error).__name__
            )
            continue
        count += sessions_delete([session.pk])
    return count


def _erase_runs(session: Session) -> None:
    """Empties the runs of a session, and purges what was kept of them. Raises redis.RedisError: ask again then."""
    runs: list[uuid.UUID] = list(
        Workflow.objects.filter(session=session.pk).order_by("pk").values_list("pk", flat=True)
    )
    for start in range(0, len(runs), BATCH_RUNS):
        batch = runs[start : start + BATCH_RUNS]
        served = runs_served_by(batch)
        _empty(batch)
        results_purge(tenant=session.tenant, workflow_ids=served)
        answers_purge(tenant=session.tenant, workflow_ids=batch)


def _empty(runs: Sequence[uuid.UUID]) -> None:
    """Takes out of runs what was said, what was answered, and what was made on the way."""
    with transaction.atomic():
        locked = (
            Workflow.objects.filter(pk__in=runs).order_by("pk").select_for_update(no_key=True, of=("self",))
        )
        ids = list(locked.values_list("pk", flat=True))
        with connection.cursor() as cursor:
            cursor.execute(_EMPTY, {"runs": ids, "said": to_jsonb([FORGOTTEN.to_json()])})
        Signal.objects.filter(workflow__in=ids).update(payload={})
        Step.objects.filter(workflow__in=ids).exclude(output=None).update(output=None)
        Feedback.objects.filter(workflow__in=ids).exclude(comment="").update(comment="")
        letters = DeadLetter.objects.filter(workflow__in=ids, status=DeadLetter.Status.OPEN)
        letters.update(status=DeadLetter.Status.DISCARDED, resolved_at=Now(), resolution=DISCARDED_BECAUSE)
        responses_erase(ids)
        tool_results_erase(ids)
