"""The times that beat goes by: rows which schedules with the same times share, and which go when nothing uses them."""

from __future__ import annotations

from typing import Any

from django.db import router, transaction
from django.db.models import Exists, Model, OuterRef
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from apps.workflows.schedule_models import Schedule

CRON_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_KINDS: tuple[tuple[type[Model], str], ...] = (
    (CrontabSchedule, "crontab"),
    (IntervalSchedule, "interval"),
    (ClockedSchedule, "clocked"),
)
PURGE_LIMIT = 10_000
"""How many of each kind one purge deletes; the next one goes on with the rest."""


def times_of(schedule: Schedule) -> tuple[CrontabSchedule | None, IntervalSchedule | None]:
    """What beat goes by for it; stays until the transaction ends in which it is asked for."""
    if schedule.every_seconds is not None:
        return None, _row(IntervalSchedule, every=schedule.every_seconds, period=IntervalSchedule.SECONDS)
    fields = dict(zip(CRON_FIELDS, schedule.cron.split(), strict=True))
    return _row(CrontabSchedule, **fields, timezone=schedule.time_zone), None


def _row(model: Any, **fields: Any) -> Any:
    """The one that is there, or a new one. One that is being purged is waited for, and then made anew."""
    return model.objects.select_for_update(no_key=True).filter(**fields).first() or model.objects.create(
        **fields
    )


def times_purge() -> int:
    """Deletes the times that no periodic task goes by; returns how many."""
    return sum(_purge(model, field) for model, field in _KINDS)


def _purge(model: Any, field: str) -> int:
    unused = model.objects.filter(~Exists(PeriodicTask.objects.filter(**{field: OuterRef("pk")})))
    with transaction.atomic():
        # Those that somebody is about to use are locked, and stay. Whoever used one before it was locked here is seen
        # by the second look; from then on nobody can.
        ids = list(unused.select_for_update(skip_locked=True).values_list("pk", flat=True)[:PURGE_LIMIT])
        if not ids:
            return 0
        # Without the cascade of `delete`, which would take along a task that came after all.
        return int(unused.filter(pk__in=ids)._raw_delete(router.db_for_write(model)))
