"""Whether calls, runs and reservations are what the ledger says; what is told to operators when something is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from agentplatform.budgets.reconciliation import Check
from agentplatform.budgets.season import day_start
from apps.budgets.reconciling import checked, counters_against_ledger
from apps.console.filters import CLOCK_SLACK, first_id
from apps.notifications.event_types import LEDGER_MISMATCH
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify

DEFAULT_DAYS = 32
"""How far back is looked unless somebody says otherwise: a month's window and a day."""

_NAMED = 5

# Ids carry the time at which they were made, and nothing is entered before its call or run was.
_CALLS = """
    WITH entered AS (
        SELECT call_id, count(*) FILTER (WHERE kind <> 'correction') AS entries, sum(cost_usd_micros) AS usd
        FROM budgets_ledgerentry WHERE created_at >= %(entered_since)s GROUP BY 1
    )
    SELECT format('%%s call %%s', c.status, c.id) AS subject, one.unit, told.expected, told.found,
           ARRAY[c.id::text, c.workflow_id::text] AS ids
    FROM gateway_call c LEFT JOIN entered e ON e.call_id = c.id
    CROSS JOIN LATERAL (VALUES
        ('entries', CASE c.status WHEN 'settled' THEN 1 ELSE least(e.entries, 1) END, e.entries),
        ('usd_micros', c.cost_usd_micros, e.usd)) AS one(unit, wanted, entered)
    CROSS JOIN LATERAL (SELECT coalesce(one.wanted, 0)::numeric AS expected, coalesce(one.entered, 0)::numeric AS found)
        AS told
    WHERE c.id >= %(first_id)s AND c.id < %(last_id)s AND c.status <> 'started'
"""

_RUNS = """
    SELECT 'cost of workflow ' || w.id AS subject, 'usd_micros' AS unit, coalesce(e.usd, 0) AS expected,
           w.cost_usd_micros AS found, ARRAY[w.id::text] AS ids
    FROM workflows_workflow w LEFT JOIN (
        SELECT workflow_id, sum(cost_usd_micros) AS usd FROM budgets_ledgerentry
        WHERE workflow_id >= %(first_id)s AND workflow_id < %(last_id)s GROUP BY 1) AS e ON e.workflow_id = w.id
    WHERE w.id >= %(first_id)s AND w.id < %(last_id)s
"""

# What the sweep would have settled: it looks once in a while, so twice the grace has to pass.
_RESERVATIONS = """
    SELECT 'reservation of call ' || r.call_id AS subject, 'usd_micros' AS unit,
           CASE WHEN s.id IS NULL AND r.lane <> 'batch'
                     AND r.created_at < now() - 2 * %(grace_seconds)s * interval '1 second'
                THEN 0 ELSE r.usd_micros END AS expected, r.usd_micros AS found,
           ARRAY[r.call_id::text, r.workflow_id::text] AS ids
    FROM budgets_reservation r
    LEFT JOIN workflows_step s ON s.id = r.step_id AND s.attempt = r.attempt AND s.status = 'running'
"""

CHECKS: Mapping[str, str] = {
    "calls are in the ledger, each once": _CALLS,
    "workflows cost what the ledger says": _RUNS,
    "no reservation is left behind": _RESERVATIONS,
}


def default_range() -> tuple[datetime, datetime]:
    """From the start of a day (UTC) DEFAULT_DAYS ago to the end of this one."""
    midnight = day_start(timezone.now())
    return midnight - timedelta(days=DEFAULT_DAYS), midnight + timedelta(days=1)


def books_check(since: datetime, until: datetime) -> list[Check]:
    """Every check of what is counted against the ledger, for [since, until)."""
    parameters = {
        "entered_since": since - CLOCK_SLACK,
        "first_id": first_id(since),
        "last_id": first_id(until),
        "grace_seconds": settings.RESERVATION_GRACE_SECONDS,
    }
    return [*counters_against_ledger(since, until), *checked(CHECKS, parameters)]


def books_watch() -> int:
    """Checks the last DEFAULT_DAYS days, and tells operators, once a day, if anything differs; returns how much does."""
    checks = books_check(*default_range())
    mismatched = sum(check.mismatched for check in checks)
    if mismatched:
        _tell([check for check in checks if check.mismatched], mismatched)
    return mismatched


def _tell(checks: Sequence[Check], mismatched: int) -> None:
    named = [mismatch for check in checks for mismatch in check.mismatches][:_NAMED]
    lines = [f"{one.subject}: {one.found:,} in place of {one.expected:,} {one.unit}" for one in named]
    rest = [f"and {mismatched - len(named):,} more"] if mismatched > len(named) else []
    notify(
        code=LEDGER_MISMATCH,
        severity=Severity.CRITICAL,
        title=f"The ledger and what is counted from it differ in {mismatched:,} places",
        message="\n".join([*lines, *rest, "`manage.py reconcile` lists them with ids to look at."]),
        audience=Audience.OPERATORS,
        data={"mismatched": {check.name: check.mismatched for check in checks}},
        dedup_key=f"{LEDGER_MISMATCH} {timezone.now():%Y-%m-%d}",
    )
