"""Reads of what finished runs have cost."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, Count, Max, Sum

from apps.console.filters import CLOCK_SLACK, first_id
from apps.workflows.models import Workflow


@dataclass(frozen=True, slots=True)
class TaskCost:
    """What the finished runs of one type have cost, each and together, in micro-dollars."""

    task_type: str
    finished: int
    mean_usd_micros: int
    max_usd_micros: int
    total_usd_micros: int


def task_costs(since: datetime, tenant_id: uuid.UUID | None = None) -> list[TaskCost]:
    """By type, those that were submitted since then and have finished, the dearest first."""
    # The ids carry the time, so that the primary key's index narrows it down.
    runs = Workflow.objects.filter(pk__gte=first_id(since - CLOCK_SLACK), created_at__gte=since)
    runs = runs.exclude(finished_at=None).order_by()
    if tenant_id is not None:
        runs = runs.filter(tenant=tenant_id)
    rows = runs.values_list("definition__type").annotate(
        Count("pk"), Avg("cost_usd_micros"), Max("cost_usd_micros"), Sum("cost_usd_micros")
    )
    costs = [
        TaskCost(type_, count, round(mean), most, int(total)) for type_, count, mean, most, total in rows
    ]
    return sorted(costs, key=lambda cost: -cost.total_usd_micros)
