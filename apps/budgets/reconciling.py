"""Reads that hold counters against the ledger, and the ledger by day and model. Each check is one statement, so that
what is settled meanwhile is on both sides or on neither."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from agentplatform.budgets.reconciliation import Amounts, Check, DayOfModel, Mismatch
from apps.database import from_jsonb, release_connection

MAX_MISMATCHES = 50
"""How many are named of each check, the largest first."""

# A query names what it compares: subject, unit, expected, found, ids.
_COMPARED = """
    WITH compared AS ({query})
    SELECT count(*), count(*) FILTER (WHERE found <> expected),
           to_jsonb((array_agg(to_jsonb(compared) ORDER BY abs(found - expected) DESC, subject)
                     FILTER (WHERE found <> expected))[:%(most)s])
    FROM compared
"""

_TOKENS = (
    """(input_tokens + output_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens)"""
)

# The windows of these days. A set, and with it the entries that count in it, may be a little older than its windows.
_WINDOWS = """
    SELECT w.*, format('%%s window %%s of budget ''%%s'' from %%s', w.period, w.id, b.name,
                       to_char(w.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) AS subject
    FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id
    WHERE w.starts_at < %(until)s AND w.ends_at > %(since)s
"""

_USED = f"""
    WITH windows AS ({_WINDOWS}), by_set AS (
        SELECT window_set_id AS id, sum(cost_usd_micros) AS usd, sum{_TOKENS} AS tokens
        FROM budgets_ledgerentry
        WHERE created_at >= (SELECT min(starts_at) - interval '1 hour' FROM windows) GROUP BY 1
    ), entered AS (
        SELECT unnest(s.windows) AS window_id, sum(usd) AS usd, sum(tokens) AS tokens,
               array_agg(s.id::text ORDER BY s.id) AS sets
        FROM by_set JOIN budgets_windowset s USING (id) GROUP BY 1
    )
    SELECT w.subject || ': used' AS subject, one.unit, one.expected, one.found, e.sets AS ids
    FROM windows w JOIN budgets_window_usage u ON u.id = w.id LEFT JOIN entered e ON e.window_id = w.id
    CROSS JOIN LATERAL (VALUES
        ('usd_micros', w.opening_usd_micros + coalesce(e.usd, 0), u.used_usd_micros::numeric),
        ('tokens', w.opening_tokens + coalesce(e.tokens, 0), u.used_tokens::numeric)) AS one(unit, expected, found)
"""

_HELD = f"""
    WITH windows AS ({_WINDOWS}), leased AS (
        SELECT unnest(s.windows) AS window_id, sum(granted_usd_micros) AS usd, sum(granted_tokens) AS tokens,
               array_agg(l.id::text ORDER BY l.id) AS ids
        FROM budgets_slice l JOIN budgets_windowset s ON s.id = l.window_set_id GROUP BY 1
    ), reserved AS (
        SELECT unnest(s.windows) AS window_id, sum(usd_micros) AS usd, sum(input_tokens + output_tokens) AS tokens,
               array_agg(r.call_id::text ORDER BY r.call_id) AS ids
        FROM budgets_reservation r JOIN budgets_windowset s ON s.id = r.window_set_id
        WHERE r.slice_id IS NULL GROUP BY 1
    )
    SELECT w.subject || one.what AS subject, one.unit, coalesce(one.expected, 0) AS expected, one.found, one.ids
    FROM windows w LEFT JOIN leased l ON l.window_id = w.id LEFT JOIN reserved r ON r.window_id = w.id
    CROSS JOIN LATERAL (VALUES
        (': leased to slices', 'usd_micros', l.usd, w.leased_usd_micros, l.ids),
        (': leased to slices', 'tokens', l.tokens, w.leased_tokens, l.ids),
        (': reserved', 'usd_micros', r.usd, w.reserved_usd_micros, r.ids),
        (': reserved', 'tokens', r.tokens, w.reserved_tokens, r.ids)) AS one(what, unit, expected, found, ids)
    UNION ALL
    SELECT 'slice ' || l.id || ': reserved', one.unit, coalesce(one.expected, 0), one.found, s.ids
    FROM budgets_slice l LEFT JOIN (
        SELECT slice_id, sum(usd_micros) AS usd, sum(input_tokens + output_tokens) AS tokens,
               array_agg(call_id::text ORDER BY call_id) AS ids
        FROM budgets_reservation GROUP BY 1) AS s ON s.slice_id = l.id
    CROSS JOIN LATERAL (VALUES
        ('usd_micros', s.usd, l.reserved_usd_micros), ('tokens', s.tokens, l.reserved_tokens)
    ) AS one(unit, expected, found)
"""

# Hours are closed once a later one was added up, and the one after them is over.
_HOURS = f"""
    WITH closed AS (
        SELECT least((SELECT max(hour) FROM budgets_hourlyspend), date_trunc('hour', now(), 'UTC') - interval '1 hour',
                     %(until)s) AS until
    ), entered AS (
        SELECT date_trunc('hour', created_at, 'UTC') AS hour, tenant_id, provider, model, count(*) AS entries,
               sum(cost_usd_micros) AS usd, sum{_TOKENS} AS tokens
        FROM budgets_ledgerentry WHERE created_at >= %(since)s AND created_at < (SELECT until FROM closed)
        GROUP BY 1, 2, 3, 4
    ), summed AS (
        SELECT hour, tenant_id, provider, model, sum(calls) AS entries, sum(cost_usd_micros) AS usd,
               sum(input_tokens + output_tokens) AS tokens
        FROM budgets_hourlyspend WHERE hour >= %(since)s AND hour < (SELECT until FROM closed)
        GROUP BY 1, 2, 3, 4
    )
    SELECT format('hour %%s, %%s of %%s', to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), model, provider)
               AS subject, one.unit, coalesce(one.expected, 0) AS expected, coalesce(one.found, 0) AS found,
           ARRAY[tenant_id::text] AS ids
    FROM entered e FULL JOIN summed s USING (hour, tenant_id, provider, model)
    CROSS JOIN LATERAL (VALUES ('usd_micros', e.usd, s.usd), ('tokens', e.tokens, s.tokens),
                               ('entries', e.entries, s.entries)) AS one(unit, expected, found)
"""

CHECKS: Mapping[str, str] = {
    "windows have used what the ledger says": _USED,
    "windows hold what slices and calls in flight have of them": _HELD,
    "hours add up to the ledger": _HOURS,
}

# A call that was given up is no longer unknown once somebody has told.
_BY_DAY_AND_MODEL = """
    SELECT (created_at AT TIME ZONE 'UTC')::date, model, sum(cost_usd_micros), sum(input_tokens), sum(output_tokens),
           sum(cache_write_5m_tokens + cache_write_1h_tokens), sum(cache_read_tokens),
           count(*) FILTER (WHERE kind <> 'correction'),
           coalesce(sum(cost_usd_micros) FILTER (WHERE outcome = 'unknown' AND NOT EXISTS (
               SELECT 1 FROM budgets_ledgerentry later
               WHERE later.workflow_id = e.workflow_id AND later.call_id = e.call_id AND later.kind = 'correction'
           )), 0),
           coalesce(sum(cost_usd_micros) FILTER (WHERE estimated AND outcome <> 'unknown'), 0)
    FROM budgets_ledgerentry e
    WHERE created_at >= %(since)s AND created_at < %(until)s AND (%(provider)s = '' OR provider = %(provider)s)
      AND kind NOT IN ('cache_hit', 'embedding', 'tool')
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def counters_against_ledger(since: datetime, until: datetime) -> list[Check]:
    """Holds windows, slices and hours of this time against the ledger."""
    return checked(CHECKS, {"since": since, "until": until})


def checked(queries: Mapping[str, str], parameters: Mapping[str, Any]) -> list[Check]:
    """Runs queries of (subject, unit, expected, found, ids), each by the name of what it proves."""
    try:
        with connection.cursor() as cursor:
            checks = []
            for name, query in queries.items():
                cursor.execute(_COMPARED.format(query=query), {**parameters, "most": MAX_MISMATCHES})
                compared, mismatched, found = cursor.fetchone()
                mismatches = tuple(_mismatch(one) for one in from_jsonb(found) or ())
                checks.append(Check(name, compared, mismatched, mismatches))
            return checks
    finally:
        release_connection()


def _mismatch(row: Mapping[str, Any]) -> Mismatch:
    return Mismatch(
        row["subject"], row["unit"], int(row["expected"]), int(row["found"]), tuple(row["ids"] or ())
    )


def ledger_by_day_and_model(since: datetime, until: datetime, provider: str = "") -> list[DayOfModel]:
    """What was bought from a provider, or from all of them, in [since, until)."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_BY_DAY_AND_MODEL, {"since": since, "until": until, "provider": provider})
            return [
                DayOfModel(day, model, Amounts(*(int(number) for number in numbers)))
                for day, model, *numbers in cursor.fetchall()
            ]
    finally:
        release_connection()
