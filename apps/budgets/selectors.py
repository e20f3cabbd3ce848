"""Reads of the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

# One scan of the month per tenant, on the index (tenant, created_at). Days and months are UTC's.
_SPEND = """
    SELECT tenant_id,
           coalesce(sum(cost_usd_micros) FILTER (
               WHERE created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'), 0),
           sum(cost_usd_micros)
    FROM budgets_ledgerentry
    WHERE tenant_id = ANY (%s)
      AND created_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
    GROUP BY tenant_id
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """What a tenant has spent since the start of the day and of the month, UTC, in micro-dollars."""

    today_usd_micros: int = 0
    month_usd_micros: int = 0


def spend_of_tenants(tenant_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Spend]:
    """The spend of each tenant that has spent anything this month, from the ledger, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_SPEND, [list(tenant_ids)])
        return {tenant_id: Spend(int(today), int(month)) for tenant_id, today, month in cursor.fetchall()}
