"""Profiles: measured hour by hour from rows of runs, steps and the ledger, and stored as sketches."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from agentplatform.budgets.season import full_hour
from agentplatform.profiles.profile import Counted, Profile
from agentplatform.profiles.sketch import Sketch
from apps.database import from_jsonb, release_connection
from apps.insights.profile_models import ProfiledHour
from apps.insights.profile_queries import CALLS, KINDS, RUNS, STEPS, Kind, parameters
from apps.workflows.models import Workflow

HOUR = timedelta(hours=1)
LATEST = timedelta(minutes=5)
"""An hour is measured for the last time when it has been over for so long: what ended in it has been committed."""

BACKFILL = timedelta(days=8)
"""How far back hours are measured that nobody has measured: the reference of drift and a day."""

RUN_SECONDS = 20.0
"""For how long one run begins with further hours; what is left is measured by the next one."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('insights_profiles'))"
# A sketch of a million values sorts once and in memory; compiling such a query takes longer than an hour's rows.
_FOR_LARGE_SUMS = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"


def profiles_renew() -> int:
    """Measures the hours that are due, the latest first, and deletes what is older than is kept; returns how many hours.

    Safe at any time and twice at once: an hour is replaced whole, in one transaction.
    """
    try:
        until, renewed = time.monotonic() + RUN_SECONDS, 0
        for hour in hours_due(timezone.now()):
            if time.monotonic() > until:
                break
            renewed += hour_profile(hour)
        _purge()
        return renewed
    finally:
        release_connection()


def hours_due(now: datetime) -> list[datetime]:
    """The hours to measure: the present one, and those that were last measured before they were complete."""
    present = full_hour(now)
    first = Workflow.objects.order_by("pk").values_list("created_at", flat=True).first()
    if first is None:
        return []
    complete = ProfiledHour.objects.filter(
        hour__gte=present - BACKFILL, computed_at__gte=F("hour") + HOUR + LATEST
    )
    known = set(complete.values_list("hour", flat=True))
    oldest = max(full_hour(first), present - BACKFILL)
    count = round((present - oldest) / HOUR)
    hours = [present - number * HOUR for number in range(count + 1)]
    return [hour for hour in hours if hour not in known]


def hour_profile(hour: datetime) -> bool:
    """Measures one hour anew and replaces what is stored of it; False while another process measures."""
    began = time.monotonic()
    told = parameters(hour, hour + HOUR)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK)
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(_FOR_LARGE_SUMS)
        computed_at = timezone.now()
        for kind in KINDS:
            kind.model._default_manager.filter(hour=hour).delete()
            cursor.execute(kind.insert, told)
        ProfiledHour.objects.update_or_create(
            hour=hour, defaults={"computed_at": computed_at, "took_seconds": time.monotonic() - began}
        )
    return True


def profile_measure(since: datetime, until: datetime) -> Profile:
    """The profile of any time, measured now from the rows themselves and not stored: what a planner begins with.

    A day of a busy platform takes long; whole hours are to be had from `stored_profile`.
    """
    told = parameters(since, until)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_FOR_LARGE_SUMS)
            runs, steps, calls = (_measured(cursor, kind, told) for kind in (RUNS, STEPS, CALLS))
        return Profile((until - since).total_seconds(), runs, steps, calls)
    finally:
        release_connection()


def _measured(cursor: Any, kind: Kind, told: dict[str, Any]) -> dict[Any, Counted]:
    cursor.execute(kind.query, told)
    return {
        kind.key(*key): counted(from_jsonb(counts), from_jsonb(sketches))
        for *key, counts, sketches in cursor.fetchall()
    }


def counted(counts: dict[str, Any], sketches: dict[str, Any]) -> Counted:
    """Counts and sketches as they are stored."""
    return Counted(
        {name: int(count) for name, count in counts.items()},
        {name: Sketch.from_json(sketch) for name, sketch in sketches.items()},
    )


def _purge() -> None:
    kept_since = timezone.now() - timedelta(days=settings.PROFILE_RETENTION_DAYS)
    for kind in KINDS:
        kind.model._default_manager.filter(hour__lt=kept_since).delete()
    ProfiledHour.objects.filter(hour__lt=kept_since).delete()
