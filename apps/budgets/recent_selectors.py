"""What was spent in the last minutes and hours: what burn alerts look at."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

MINUTES = (5, 30, 60, 360)

# The last hour from the ledger, the five before it from their sums: of hours that lie across a bound, their share.
_RECENT = """
    SELECT tenant_id, tenant_tier, api_key_id, task_type,
           sum(usd) FILTER (WHERE age <= 5), sum(tokens) FILTER (WHERE age <= 5),
           sum(usd) FILTER (WHERE age <= 30), sum(tokens) FILTER (WHERE age <= 30),
           sum(usd) FILTER (WHERE age <= 60), sum(tokens) FILTER (WHERE age <= 60), sum(usd), sum(tokens)
    FROM (
        SELECT tenant_id, tenant_tier, api_key_id, task_type, cost_usd_micros::float AS usd,
               input_tokens + output_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens
               AS tokens, extract(epoch FROM now() - created_at) / 60 AS age
        FROM budgets_ledgerentry WHERE created_at > now() - interval '1 hour'
        UNION ALL
        SELECT tenant_id, tenant_tier, api_key_id, task_type, cost_usd_micros * part, (input_tokens + output_tokens)
               * part, 360
        FROM budgets_hourlyspend CROSS JOIN LATERAL (SELECT extract(epoch FROM
            least(hour, now() - interval '2 hours') - greatest(hour, now() - interval '6 hours')
            + interval '1 hour')::float / 3600 AS part) AS parts
        WHERE hour > now() - interval '7 hours' AND hour < now() - interval '1 hour' AND part > 0
    ) AS spent
    GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class RecentSpend:
    """What one kind of spending came to in each of the last MINUTES: micro-dollars, and tokens."""

    tenant_id: uuid.UUID
    tenant_tier: str
    api_key_id: uuid.UUID | None
    task_type: str
    usd_micros: dict[int, int]
    tokens: dict[int, int]

    def is_of(self, filters: dict[str, Any]) -> bool:
        """Whether it belongs to what these filters of `spend_by` pick."""
        own = {
            "tenant": self.tenant_id,
            "tenant_tier": self.tenant_tier,
            "api_key": self.api_key_id,
            "task_type": self.task_type,
        }
        return all(own[name] == value for name, value in filters.items())


def recent_spend() -> list[RecentSpend]:
    """What was spent lately, by whatever budgets can be of, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_RECENT)
        rows = cursor.fetchall()
    return [
        RecentSpend(
            tenant_id=tenant_id,
            tenant_tier=tenant_tier,
            api_key_id=api_key_id,
            task_type=task_type,
            usd_micros=_by_minutes(sums[::2]),
            tokens=_by_minutes(sums[1::2]),
        )
        for tenant_id, tenant_tier, api_key_id, task_type, *sums in rows
    ]


def _by_minutes(sums: Sequence[Any]) -> dict[int, int]:
    return {minutes: round(value or 0) for minutes, value in zip(MINUTES, sums, strict=True)}
