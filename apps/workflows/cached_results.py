"""Results of whole runs that are given again, and how they and kept answers are purged."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from apps.gateway.cache_selectors import runs_served_by
from apps.gateway.cache_services import answers_purge
from apps.gateway.models import CacheEntry
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor, action_end, action_record

BATCH_RUNS = 1_000
PURGE = "cache.purge"
"""The name of a purge among operators' actions."""


@dataclass(frozen=True, slots=True)
class CachePurged:
    """How many answers were deleted, and how many runs' results are not given again."""

    answers: int
    results: int


def results_purge(
    *,
    tenant: Tenant | None = None,
    task_type: str = "",
    workflow_ids: Iterable[uuid.UUID] | None = None,
) -> int:
    """The results of the runs that all of this holds for are not given again; returns of how many.

    Runs that have not ended are among them: what they are made of is meant, too. Those that were answered from another
    run have no key, and serve nobody. Raises ValueError where nothing is given.
    """
    if tenant is None and not task_type and workflow_ids is None:
        raise ValueError("say whose results to purge")
    chosen = Workflow.objects.filter(cache_key__isnull=False).order_by("pk")
    if tenant is not None:
        chosen = chosen.filter(tenant=tenant)
    if task_type:
        chosen = chosen.filter(definition__type=task_type)
    if workflow_ids is not None:
        chosen = chosen.filter(pk__in=list(workflow_ids))
    count = 0
    while True:
        with transaction.atomic():
            # In the order of their ids, as all lock who lock several.
            locked = chosen.select_for_update(no_key=True, of=("self",))[:BATCH_RUNS]
            ids = list(locked.values_list("pk", flat=True))
            count += Workflow.objects.filter(pk__in=ids).update(cache_key=None)
        if len(ids) < BATCH_RUNS:
            return count


def cache_purge(
    *,
    actor: Actor,
    tenant: Tenant | None = None,
    use_case: str = "",
    task_type: str = "",
    entry_ids: Iterable[uuid.UUID] | None = None,
    workflow_id: uuid.UUID | None = None,
    reason: str = "",
) -> CachePurged:
    """Purges the results and the answers that all of what is given holds for, and records who did it.

    With `entry_ids` or `workflow_id`, also the results of the runs that were served by what is purged. Raises as
    `answers_purge`: then nothing of it is served by the database any more, but perhaps still by Redis.
    """
    entries = None if entry_ids is None else list(entry_ids)
    details = {
        "tenant": None if tenant is None else str(tenant.pk),
        "use_case": use_case,
        "task_type": task_type,
        "entries": None if entries is None else [str(entry_id) for entry_id in entries],
        "workflow": None if workflow_id is None else str(workflow_id),
    }
    asked = {name: value for name, value in details.items() if value}
    action = action_record(actor, PURGE, {"asked": asked, "reason": reason})
    results = results_purge(
        tenant=tenant,
        task_type=task_type or use_case.partition(".")[0],
        workflow_ids=_tainted(tenant, entries, workflow_id),
    )
    answers = answers_purge(
        tenant=tenant, use_case=use_case, task_type=task_type, entry_ids=entries, workflow_id=workflow_id
    )
    outcome = {"answers": answers, "results": results}
    action_end(action, affected=answers + results, outcome=outcome)
    return CachePurged(answers, results)


def _tainted(
    tenant: Tenant | None, entry_ids: list[uuid.UUID] | None, workflow_id: uuid.UUID | None
) -> set[uuid.UUID] | None:
    """The runs whose results hold something of what is purged; None where that is not said by runs."""
    if workflow_id is not None:
        return runs_served_by([workflow_id])
    if entry_ids is None:
        return None
    entries = CacheEntry.objects.filter(pk__in=entry_ids)
    if tenant is not None:
        entries = entries.filter(tenant=tenant)
    return runs_served_by(entries.values_list("source_workflow_id", flat=True))
