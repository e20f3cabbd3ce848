"""Writes of the hourly sums of the ledger."""

from __future__ import annotations

from django.db import connection, transaction

from apps.database import release_connection

# From the hour before this one on, or from the one before the last that is there, whichever is earlier: nothing is left
# out when nobody has added up for a while, however late it committed, and the first time adds up all there is. Entries are never changed or deleted, so a
# row never has to go.
_ROLL_UP = """
    INSERT INTO budgets_hourlyspend AS h (
        hour, tenant_id, tenant_tier, api_key_id, task_type, agent, tier, provider, model, kind, calls, input_tokens,
        output_tokens, cache_read_tokens, served_tokens, cost_usd_micros, avoided_usd_micros, unknown_usd_micros)
    SELECT date_trunc('hour', e.created_at, 'UTC'), e.tenant_id, e.tenant_tier, e.api_key_id, e.task_type, e.agent, e.tier,
           e.provider, e.model, e.kind, count(*), sum(e.input_tokens + e.cache_write_5m_tokens + e.cache_write_1h_tokens
           + e.cache_read_tokens), sum(e.output_tokens), sum(e.cache_read_tokens), sum(e.served_tokens),
           sum(e.cost_usd_micros), sum(e.avoided_usd_micros),
           coalesce(sum(e.cost_usd_micros) FILTER (WHERE e.outcome = 'unknown'), 0)
    FROM budgets_ledgerentry e
    WHERE e.created_at >= least(date_trunc('hour', now(), 'UTC') - interval '1 hour',
        coalesce((SELECT max(hour) - interval '1 hour' FROM budgets_hourlyspend), '-infinity'))
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    ON CONFLICT (hour, tenant_id, tenant_tier, api_key_id, task_type, agent, tier, provider, model, kind) DO UPDATE
    SET calls = excluded.calls, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cache_read_tokens = excluded.cache_read_tokens, served_tokens = excluded.served_tokens,
        cost_usd_micros = excluded.cost_usd_micros, avoided_usd_micros = excluded.avoided_usd_micros,
        unknown_usd_micros = excluded.unknown_usd_micros
    WHERE (h.calls, h.cost_usd_micros) IS DISTINCT FROM (excluded.calls, excluded.cost_usd_micros)
"""

# Begins where its own rows end: a version that knew nothing of them may have added up spend meanwhile.
_COUNT_ANSWERS = """
    INSERT INTO budgets_hourlyanswers AS h (
        hour, tenant_id, task_type, cache_layer, answers, served_tokens, avoided_usd_micros)
    SELECT date_trunc('hour', created_at, 'UTC'), tenant_id, task_type, cache_layer, count(DISTINCT call_id),
           sum(served_tokens), coalesce(sum(avoided_usd_micros) FILTER (WHERE kind = 'cache_hit'), 0)
    FROM budgets_ledgerentry
    WHERE kind IN ('call', 'batch', 'cache_hit') AND outcome = 'settled'
      AND created_at >= least(date_trunc('hour', now(), 'UTC') - interval '1 hour',
        coalesce((SELECT max(hour) - interval '1 hour' FROM budgets_hourlyanswers), '-infinity'))
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (hour, tenant_id, task_type, cache_layer) DO UPDATE
    SET answers = excluded.answers, served_tokens = excluded.served_tokens,
        avoided_usd_micros = excluded.avoided_usd_micros
    WHERE h.answers <> excluded.answers
"""


def spend_rollup() -> int:
    """Adds up the ledger of the last two hours anew, late entries included; returns how many rows of spend that changed.

    While another process does it nothing is done.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('budgets_hourlyspend'))")
            if not cursor.fetchone()[0]:
                return 0
            cursor.execute(_ROLL_UP)
            changed = int(cursor.rowcount)
            cursor.execute(_COUNT_ANSWERS)
            return changed
    finally:
        release_connection()
