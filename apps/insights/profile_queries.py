"""The SQL that measures profiles: rows of the database become counts and sketches there, and never leave it.

Each kind of row is one SELECT over an indexed range of time. What a profile's names mean: agentplatform.profiles.profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from agentplatform.profiles.profile import CallKey, RunKey, StepKey
from agentplatform.profiles.sketch import bin_sql
from apps.console.filters import CLOCK_SLACK, first_id
from apps.insights.profile_models import HourlyCallProfile, HourlyRunProfile, HourlyStepProfile

# Arrivals are found by the time in their ids, ends by an index that is small since it knows blocks and not rows.
_RUNS = """
    SELECT d.type AS task_type, w.queue_id AS queue, t.tier_id AS tenant_tier, 1 AS arrived, 0 AS finished,
           0 AS succeeded, 0 AS partial, 0 AS failed, 0 AS cancelled, 0 AS given_again, 0::bigint AS cost_usd_micros,
           extract(epoch FROM w.created_at - lag(w.created_at) OVER (
               PARTITION BY d.type, w.queue_id, t.tier_id ORDER BY w.created_at)) AS interarrival_seconds,
           NULL::numeric AS run_seconds, NULL::bigint AS run_usd_micros, NULL::jsonb AS fan_out
    FROM workflows_workflow w
    JOIN workflows_workflowdefinition d ON d.id = w.definition_id
    JOIN tenants_tenant t ON t.id = w.tenant_id
    WHERE w.id >= %(first_id)s AND w.id < %(last_id)s AND w.created_at >= %(since)s AND w.created_at < %(until)s
    UNION ALL
    SELECT d.type, w.queue_id, t.tier_id, 0, 1, (w.status = 'succeeded')::int, (w.status = 'partial')::int,
           (w.status = 'failed')::int, (w.status = 'cancelled')::int, (w.cache IS NOT NULL)::int, w.cost_usd_micros,
           NULL, CASE WHEN w.cache IS NULL THEN greatest(0, extract(epoch FROM w.finished_at - w.created_at)) END,
           CASE WHEN w.cache IS NULL THEN greatest(0, w.cost_usd_micros) END, w.fan_out
    FROM workflows_workflow w
    JOIN workflows_workflowdefinition d ON d.id = w.definition_id
    JOIN tenants_tenant t ON t.id = w.tenant_id
    WHERE w.finished_at >= %(since)s AND w.finished_at < %(until)s
"""

# An attempt that did not succeed has a row of its own, and with it the end of the time that it held its slot. The ledger
# is read run by run (OFFSET keeps it so): by its index, however large it has become.
_STEPS = """
    WITH done AS MATERIALIZED (
        SELECT s.id, s.workflow_id, d.type AS task_type, s.queue_id AS queue, s.node, s.agent, s.status, s.attempt,
               s.ready_at, s.started_at, s.finished_at
        FROM workflows_step s
        JOIN workflows_workflow w ON w.id = s.workflow_id
        JOIN workflows_workflowdefinition d ON d.id = w.definition_id
        WHERE s.finished_at >= %(since)s AND s.finished_at < %(until)s AND s.started_at IS NOT NULL
          AND s.status IN ('succeeded', 'skipped', 'dead')),
    spent AS (
        SELECT e.step_id, count(*) FILTER (WHERE e.kind IN ('call', 'batch')) AS calls,
               count(*) FILTER (WHERE e.kind = 'cache_hit') AS cache_hits,
               sum(e.input_tokens + e.cache_write_5m_tokens + e.cache_write_1h_tokens + e.cache_read_tokens)
                   AS input_tokens,
               sum(e.output_tokens) AS output_tokens, sum(e.cost_usd_micros) AS cost_usd_micros,
               (array_agg(e.tier ORDER BY e.id DESC) FILTER (WHERE e.kind IN ('call', 'batch', 'cache_hit')))[1]
                   AS tier
        FROM (SELECT DISTINCT workflow_id FROM done) AS run
        CROSS JOIN LATERAL (SELECT * FROM budgets_ledgerentry WHERE workflow_id = run.workflow_id OFFSET 0) AS e
        GROUP BY e.step_id),
    tried AS (
        SELECT a.step_id, sum(greatest(0, extract(epoch FROM a.finished_at - a.started_at))) AS seconds,
               count(*) FILTER (WHERE a.attempt < done.attempt AND a.outcome <> 'waited') AS retries,
               bool_or(a.attempt = done.attempt) AS has_last
        FROM done JOIN workflows_stepattempt a ON a.step_id = done.id
        GROUP BY a.step_id),
    tooled AS (
        SELECT c.step_id, count(*) AS calls, count(*) FILTER (WHERE c.status <> 'succeeded') AS failures,
               sum(greatest(0, c.seconds)) AS seconds
        FROM done JOIN tools_toolcall c ON c.step_id = done.id
        GROUP BY c.step_id)
    SELECT done.task_type, done.queue, done.node, done.agent, coalesce(spent.tier, '') AS tier, 1 AS steps,
           (row_number() OVER (PARTITION BY done.task_type, done.queue, done.node, done.agent,
               coalesce(spent.tier, ''), done.workflow_id) = 1)::int AS runs,
           (done.status <> 'succeeded')::int AS gave_up, done.attempt AS attempts,
           coalesce(tried.retries, 0) AS retries, (coalesce(tried.retries, 0) > 0)::int AS retried,
           coalesce(spent.calls, 0) AS calls, coalesce(spent.cache_hits, 0) AS cache_hits,
           coalesce(tooled.calls, 0) AS tool_calls, coalesce(tooled.failures, 0) AS tool_failures,
           coalesce(spent.cost_usd_micros, 0) AS cost_usd_micros,
           coalesce(tried.seconds, 0) + CASE WHEN coalesce(tried.has_last, false) THEN 0
               ELSE greatest(0, extract(epoch FROM done.finished_at - done.started_at)) END AS slot_seconds,
           greatest(0, extract(epoch FROM done.started_at - done.ready_at)) AS wait_seconds,
           greatest(0, spent.input_tokens) AS input_tokens, greatest(0, spent.output_tokens) AS output_tokens,
           coalesce(spent.calls, 0) AS calls_a_step, coalesce(tooled.calls, 0) AS tool_calls_a_step,
           tooled.seconds AS tool_seconds, greatest(0, coalesce(spent.cost_usd_micros, 0)) AS step_usd_micros
    FROM done LEFT JOIN spent ON spent.step_id = done.id LEFT JOIN tried ON tried.step_id = done.id
    LEFT JOIN tooled ON tooled.step_id = done.id
"""

# What was answered and bought has one entry; what is known only of the call itself is looked up by its id.
_CALLS = """
    SELECT e.task_type, coalesce(s.node, '') AS node, e.agent, e.tier, e.provider, e.model, e.kind,
           (e.kind <> 'correction')::int AS entries, (e.outcome = 'settled' AND is_bought)::int AS settled,
           (e.outcome = 'failed' AND is_bought)::int AS failed, (e.outcome = 'unknown' AND is_bought)::int AS unknown,
           (e.kind = 'cache_hit')::int AS cache_hits,
           (is_answer AND coalesce(c.response ->> 'stop_reason', '') = 'refusal')::int AS refused,
           (is_answer AND coalesce(c.escalated_from, '') <> '')::int AS escalated,
           e.input_tokens + e.cache_write_5m_tokens + e.cache_write_1h_tokens + e.cache_read_tokens AS input_tokens,
           e.cache_read_tokens, e.output_tokens, e.cost_usd_micros, e.avoided_usd_micros,
           CASE WHEN is_answer THEN e.input_tokens + e.cache_write_5m_tokens + e.cache_write_1h_tokens
               + e.cache_read_tokens END AS call_input_tokens,
           CASE WHEN is_answer THEN e.output_tokens END AS call_output_tokens,
           CASE WHEN is_answer THEN e.cost_usd_micros END AS call_usd_micros,
           CASE WHEN is_answer AND e.kind = 'call'
               THEN greatest(0, extract(epoch FROM c.settled_at - c.started_at)) END AS seconds
    FROM budgets_ledgerentry e
    CROSS JOIN LATERAL (SELECT e.kind IN ('call', 'batch', 'embedding') AS is_bought,
        e.kind IN ('call', 'batch') AND e.outcome = 'settled' AS is_answer) AS kinds
    LEFT JOIN workflows_step s ON s.id = e.step_id
    LEFT JOIN gateway_call c ON c.id = e.call_id AND is_answer
    WHERE e.created_at >= %(since)s AND e.created_at < %(until)s
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three kinds of rows: its key, its counts, and its sketches with the columns they are made of."""

    model: type[models.Model]
    key: type[RunKey] | type[StepKey] | type[CallKey]
    rows: str
    counts: tuple[str, ...]
    sketches: dict[str, str]
    more_sketches: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.key.__dataclass_fields__)

    @property
    def query(self) -> str:
        """Key, counts and sketches of each row of the profile."""
        keys = ", ".join(self.columns)
        counts = ", ".join(f"'{name}', sum({name})" for name in self.counts)
        values = ", ".join(f"('{name}', ({column})::float8)" for name, column in self.sketches.items())
        return f"""
            WITH measured AS MATERIALIZED ({self.rows}),
            counted AS (SELECT {keys}, jsonb_build_object({counts}) AS counts FROM measured GROUP BY {keys}),
            binned AS (
                SELECT {keys}, metric, {bin_sql("value")} AS bin, count(*) AS count, sum(value) AS total,
                       min(value) AS low, max(value) AS high
                FROM measured CROSS JOIN LATERAL (
                    SELECT * FROM (VALUES {values}) AS own(metric, value) {self.more_sketches}) AS metrics
                WHERE value IS NOT NULL GROUP BY {keys}, metric, bin),
            sketched AS (
                SELECT {keys}, metric, jsonb_build_object('bins', jsonb_object_agg(bin, count), 'total', sum(total),
                       'low', min(low), 'high', max(high)) AS sketch
                FROM binned GROUP BY {keys}, metric)
            SELECT {keys}, counts, coalesce(jsonb_object_agg(metric, sketch) FILTER (WHERE metric IS NOT NULL), '{{}}')
            FROM counted LEFT JOIN sketched USING ({keys}) GROUP BY {keys}, counts
        """

    @property
    def insert(self) -> str:
        """Stores the profile of the hour that begins at `since`."""
        table, keys = self.model._meta.db_table, ", ".join(self.columns)
        return f"INSERT INTO {table} (hour, {keys}, counts, sketches) SELECT %(since)s, measured.* FROM ({self.query}) measured"


RUNS = Kind(
    HourlyRunProfile,
    RunKey,
    _RUNS,
    ("arrived", "finished", "succeeded", "partial", "failed", "cancelled", "given_again", "cost_usd_micros"),
    {
        "interarrival_seconds": "interarrival_seconds",
        "run_seconds": "run_seconds",
        "cost_usd_micros": "run_usd_micros",
    },
    "UNION ALL SELECT 'fan_out:' || key, value::float8 FROM jsonb_each_text(coalesce(fan_out, '{}'))",
)
STEPS = Kind(
    HourlyStepProfile,
    StepKey,
    _STEPS,
    (
        "steps",
        "runs",
        "gave_up",
        "attempts",
        "retries",
        "retried",
        "calls",
        "cache_hits",
        "tool_calls",
        "tool_failures",
        "cost_usd_micros",
    ),
    {
        "slot_seconds": "slot_seconds",
        "wait_seconds": "wait_seconds",
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "calls": "calls_a_step",
        "tool_calls": "tool_calls_a_step",
        "tool_seconds": "tool_seconds",
        "cost_usd_micros": "step_usd_micros",
    },
)
CALLS = Kind(
    HourlyCallProfile,
    CallKey,
    _CALLS,
    (
        "entries",
        "settled",
        "failed",
        "unknown",
        "refused",
        "escalated",
        "cache_hits",
        "input_tokens",
        "cache_read_tokens",
        "output_tokens",
        "cost_usd_micros",
        "avoided_usd_micros",
    ),
    {
        "input_tokens": "call_input_tokens",
        "output_tokens": "call_output_tokens",
        "seconds": "seconds",
        "cost_usd_micros": "call_usd_micros",
    },
)
KINDS = (RUNS, STEPS, CALLS)


def parameters(since: datetime, until: datetime) -> dict[str, Any]:
    """What the queries take for [since, until)."""
    return {
        "since": since,
        "until": until,
        "first_id": first_id(since - CLOCK_SLACK),
        "last_id": first_id(until + CLOCK_SLACK),
    }
