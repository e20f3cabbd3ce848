"""Reads of what was spent: closed hours from their sums, the latest from the ledger itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from apps.tenants.models import ApiKey, Tenant

COLUMNS = {
    "hour": "hour",
    "day": "date_trunc('day', hour, 'UTC')",
    "tenant": "tenant_id",
    "tenant_tier": "tenant_tier",
    "api_key": "api_key_id",
    "task_type": "task_type",
    "agent": "agent",
    "tier": "tier",
    "provider": "provider",
    "model": "model",
    "kind": "kind",
}
"""By what spend may be grouped. Days and hours are UTC's."""

# The last hour that was added up may lack entries, so from there on the ledger is read: nothing is missing, however
# long ago that was.
_SPEND = """
    SELECT {groups} coalesce(sum(calls) FILTER (WHERE kind <> 'correction'), 0)::bigint, sum(input_tokens)::bigint, sum(output_tokens)::bigint,
           sum(cache_read_tokens)::bigint, sum(served_tokens)::bigint, sum(cost_usd_micros)::bigint,
           sum(avoided_usd_micros)::bigint, sum(unknown_usd_micros)::bigint
    FROM (
        SELECT hour, tenant_id, tenant_tier, api_key_id, task_type, agent, tier, provider, model, kind, calls,
               input_tokens, output_tokens, cache_read_tokens, served_tokens, cost_usd_micros, avoided_usd_micros,
               unknown_usd_micros
        FROM budgets_hourlyspend
        WHERE hour >= %(since)s AND hour < %(until)s
          AND hour < coalesce((SELECT max(hour) FROM budgets_hourlyspend), '-infinity') {filters}
        UNION ALL
        SELECT date_trunc('hour', created_at, 'UTC'), tenant_id, tenant_tier, api_key_id, task_type, agent, tier,
               provider, model, kind, 1, input_tokens + cache_write_5m_tokens + cache_write_1h_tokens
               + cache_read_tokens, output_tokens, cache_read_tokens, served_tokens, cost_usd_micros,
               avoided_usd_micros, CASE WHEN outcome = 'unknown' THEN cost_usd_micros ELSE 0 END
        FROM budgets_ledgerentry
        WHERE created_at < %(until)s AND created_at >= greatest(
            %(since)s, coalesce((SELECT max(hour) FROM budgets_hourlyspend), '-infinity')) {filters}
    ) AS spent
    {grouped} {limit}
"""


@dataclass(frozen=True, slots=True)
class SpendLine:
    """What one group came to. `key` has a value for each dimension that was grouped by.

    `input_tokens` are all, from whichever bucket. `unknown_usd_micros` is the part of the cost that is a worst case.
    """

    key: tuple[Any, ...]
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    served_tokens: int = 0
    cost_usd_micros: int = 0
    avoided_usd_micros: int = 0
    unknown_usd_micros: int = 0


def spend_by(
    dimensions: Sequence[str],
    since: datetime,
    until: datetime,
    *,
    limit: int | None = None,
    **filters: Any,
) -> list[SpendLine]:
    """What was spent in [since, until), grouped by dimensions of COLUMNS and in their order, in one query.

    `since` and `until` are full hours, or `until` is not over yet. Filters are by a dimension's name, such as
    `tenant=tenant_id`, or `tenant=[…]` for any of them. With a `limit` there are no more lines than that. Raises KeyError for another dimension.
    """
    columns = [COLUMNS[name] for name in dimensions]
    places = ", ".join(str(number + 1) for number in range(len(columns)))
    parameters = {"since": since, "until": until, **{f"by_{name}": value for name, value in filters.items()}}
    sql = _SPEND.format(
        groups="".join(f"{column}, " for column in columns),
        filters="".join(
            # Not IS NOT DISTINCT FROM, which no index is used for.
            f" AND {COLUMNS[name]} {_matching(name, value)}"
            for name, value in filters.items()
        ),
        grouped=f"GROUP BY {places} ORDER BY {places}" if columns else "HAVING count(*) > 0",
        limit="" if limit is None else f"LIMIT {int(limit)}",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [SpendLine(row[: len(columns)], *row[len(columns) :]) for row in cursor.fetchall()]


def _matching(name: str, value: Any) -> str:
    if value is None:
        return "IS NULL"
    return f"= ANY (%(by_{name})s)" if isinstance(value, list) else f"= %(by_{name})s"


def total_of(lines: Sequence[SpendLine]) -> SpendLine:
    """All of them together."""
    names = [name for name in SpendLine.__slots__ if name != "key"]
    return SpendLine((), **{name: sum(getattr(line, name) for line in lines) for name in names})


def names_of(dimension: str, keys: Sequence[Any]) -> Mapping[Any, str]:
    """How tenants and API keys are called; everything else is its own name."""
    ids = {key for key in keys if isinstance(key, uuid.UUID)}
    match dimension:
        case "tenant":
            return dict(Tenant.objects.filter(pk__in=ids).values_list("pk", "name"))
        case "api_key":
            return dict(ApiKey.objects.filter(pk__in=ids).values_list("pk", "name"))
    return {}


def hourly(lines: Sequence[SpendLine]) -> Iterator[tuple[datetime, int]]:
    """(hour, micro-dollars) of lines that were grouped by hour alone, as a projection takes them."""
    for line in lines:
        yield line.key[0], max(line.cost_usd_micros, 0)
