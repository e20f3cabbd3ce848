"""The times of schedules in beat's own tables: shared while they are used, gone when nothing goes by them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from celery.schedules import crontab
from django.db import connection, transaction
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from apps.tenants.models import Tenant
from apps.workflows.maintenance import purge_expired_records
from apps.workflows.models import Schedule
from apps.workflows.schedule_times import times_purge
from apps.workflows.schedules import schedule_create, schedule_delete, schedule_update
from tests.integration.workflows.test_nested_costs import until_somebody_waits

SEVEN = {
    "minute": "0",
    "hour": "7",
    "day_of_week": "*",
    "day_of_month": "*",
    "month_of_year": "*",
    "timezone": "UTC",
}


def create(tenant: Tenant, name: str, **times: Any) -> Schedule:
    """At seven, unless it is told otherwise."""
    fields = {"type": "fan_out", "input": {"count": 1}, "cron": "0 7 * * *", **times}
    return schedule_create(tenant=tenant, fields={"name": name, **fields})


def crons() -> list[str]:
    """The hours of those that there are."""
    return sorted(CrontabSchedule.objects.values_list("hour", flat=True))


def beside(work: Callable[[], Any]) -> threading.Thread:
    """Does something over another connection."""

    def do() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=do)
    thread.start()
    return thread


def test_times_that_no_schedule_has_any_longer_are_deleted(tenant: Tenant) -> None:
    """Those that one of them still has stay, whoever shared them."""
    changed, deleted, kept = create(tenant, "a"), create(tenant, "b", cron="0 8 * * *"), create(tenant, "c")
    ClockedSchedule.objects.create(clocked_time=timezone.now())
    assert (purge_expired_records()["schedule_times"], crons()) == (1, ["7", "8"])
    schedule_update(changed, {"cron": "", "every_seconds": 600})
    schedule_delete(deleted)
    assert (times_purge(), crons()) == (1, ["7"])
    schedule_update(changed, {"every_seconds": 660})
    schedule_delete(kept)
    assert (times_purge(), crons()) == (2, [])
    assert IntervalSchedule.objects.get().every == 660
    assert times_purge() == 0
    assert PeriodicTask.objects.get().name == f"schedule {changed.pk}"


def test_a_disabled_schedule_keeps_its_times(tenant: Tenant) -> None:
    """It may be enabled again."""
    schedule_update(create(tenant, "a"), {"is_enabled": False})
    assert (times_purge(), crons()) == (0, ["7"])


def test_times_that_a_schedule_is_just_made_with_stay(tenant: Tenant) -> None:
    """Although nothing went by them before."""
    CrontabSchedule.objects.create(**SEVEN)
    purged: list[int] = []
    with transaction.atomic():
        made = create(tenant, "a")
        beside(lambda: purged.append(times_purge())).join(10)
    assert (purged, crons()) == ([0], ["7"])
    made.refresh_from_db()
    assert made.periodic_task is not None
    assert made.periodic_task.crontab.hour == "7"


def test_a_schedule_that_is_made_while_its_times_are_deleted_has_new_ones(tenant: Tenant) -> None:
    """It waits for them to be gone."""
    left = CrontabSchedule.objects.create(**SEVEN)
    with transaction.atomic():
        assert times_purge() == 1
        making = beside(lambda: create(tenant, "a"))
        until_somebody_waits()
    making.join(10)
    assert (crons(), CrontabSchedule.objects.filter(pk=left.pk).exists()) == (["7"], False)
    assert PeriodicTask.objects.get().crontab.hour == "7"


def test_times_that_beat_is_just_storing_upkeep_with_stay(tenant: Tenant) -> None:
    """It writes them before the task that goes by them."""
    from config.beat import Beat
    from config.celery import app

    CrontabSchedule.objects.create(**SEVEN)
    entry = {"task": "maintenance.reconcile", "schedule": crontab(minute="0", hour="7")}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE django_celery_beat_periodictask IN SHARE MODE")
        storing = beside(lambda: Beat.Entry.from_entry("reconcile", app=app, **entry))
        until_somebody_waits()
        assert times_purge() == 0
    storing.join(10)
    assert PeriodicTask.objects.get(name="reconcile").crontab.hour == "7"
