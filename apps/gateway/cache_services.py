"""Writes of kept answers: purging them by hand, and deleting those that are long past their time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.gateway.answers import forget, forget_matching
from apps.gateway.cache_selectors import runs_served_by
from apps.gateway.models import CacheCheck, CacheEntry
from apps.tenants.models import Tenant

BATCH_ENTRIES = 2_000
"""So many are deleted in one statement."""
MAX_EXPIRED = 50_000
"""How many of a kind one run of the upkeep deletes; the rest goes the next times."""
CHECKS_KEPT = timedelta(days=30)


def answers_purge(
    *,
    tenant: Tenant | None = None,
    use_case: str = "",
    task_type: str = "",
    entry_ids: Iterable[uuid.UUID] | None = None,
    workflow_id: uuid.UUID | None = None,
    workflow_ids: Iterable[uuid.UUID] | None = None,
) -> int:
    """Deletes the kept answers that all of what is given holds for, here and in Redis; returns how many rows.

    `task_type` is of the definition whose steps they were made for. With `workflow_id` those of the run (with
    `workflow_ids`, of several), and of every run that was served an answer of one of them: what they went on to ask was made of it. What a process has read from
    the database just before may stand in Redis for half a minute longer. Raises ValueError where nothing is given, and
    redis.RedisError where Redis does not answer: then the same purge has to be asked for again.
    """
    purged = list(workflow_ids) if workflow_ids is not None else [] if workflow_id is None else [workflow_id]
    if tenant is None and not use_case and not task_type and entry_ids is None and not purged:
        raise ValueError("say which answers to purge: a tenant's, a use case's, a run's, or single ones")
    chosen = CacheEntry.objects.order_by("pk")
    if tenant is not None:
        chosen = chosen.filter(tenant=tenant)
    if use_case:
        chosen = chosen.filter(use_case=use_case)
    if task_type:
        chosen = chosen.filter(use_case__startswith=f"{task_type}.")
    runs = None if workflow_id is None and workflow_ids is None else runs_served_by(purged)
    if runs is not None:
        chosen = chosen.filter(source_workflow_id__in=runs)
    if entry_ids is not None:
        return _purge_single(chosen.filter(pk__in=list(entry_ids)))
    count = _delete(chosen)
    # Redis may have what the database has not: answers of runs that have not settled, or that were flawed. It does not
    # know their use case; what is dropped there in vain is read from the database again.
    forget_matching(
        None if tenant is None else tenant.pk,
        lambda answer: runs is None or answer.source_workflow_id in runs,
    )
    return count


def _purge_single(chosen: QuerySet[CacheEntry]) -> int:
    """Before and after, so that a Redis which is away is told of while they can still be chosen."""
    places = list(chosen.values_list("tenant_id", "key_hash"))
    for tenant_id, key_hash in places:
        forget(tenant_id, [key_hash])
    count = _delete(chosen)
    for tenant_id, key_hash in places:
        forget(tenant_id, [key_hash])
    return count


def answers_expire() -> dict[str, int]:
    """Deletes entries that have been stale for settings.CACHE_STALE_SECONDS, and checks that are old."""
    stale_since = Now() - timedelta(seconds=settings.CACHE_STALE_SECONDS)
    entries = _delete(CacheEntry.objects.filter(expires_at__lt=stale_since), at_most=MAX_EXPIRED)
    old = CacheCheck.objects.filter(decided_at__lt=Now() - CHECKS_KEPT).order_by("pk")
    checks, _ = CacheCheck.objects.filter(
        pk__in=list(old.values_list("pk", flat=True)[:MAX_EXPIRED])
    ).delete()
    return {"cache_entries": entries, "cache_checks": checks}


def _delete(chosen: QuerySet[CacheEntry], *, at_most: int | None = None) -> int:
    """Deletes entries with their vectors, and with the checks of them that nobody has begun."""
    count = 0
    while at_most is None or count < at_most:
        ids = list(chosen.values_list("pk", flat=True)[:BATCH_ENTRIES])
        if not ids:
            break
        _forget_pending(ids)
        _, counts = CacheEntry.objects.filter(pk__in=ids).delete()
        count += counts.get(CacheEntry._meta.label, 0)
    return count


def _forget_pending(entry_ids: Sequence[uuid.UUID]) -> None:
    CacheCheck.objects.filter(entry_id__in=entry_ids, status=CacheCheck.Status.PENDING).delete()
