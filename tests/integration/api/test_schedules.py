"""Schedules: as an application sets them up, and what happens when one is due."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.notifications.models import Notice
from apps.tenants.models import Tenant
from apps.workflows.models import Schedule, Workflow, WorkflowDefinition
from apps.workflows.schedules import due_after, schedule_fire, schedule_update
from config.celery import app
from tests.integration.api.conftest import WORKFLOWS, Api

SCHEDULES = "/api/v1/schedules/"
DAILY = {
    "name": "daily",
    "type": "fan_out",
    "input": {"count": 2},
    "cron": "30 7 * * *",
    "time_zone": "Europe/Berlin",
}


def create(api: Api, **fields: Any) -> dict[str, Any]:
    response = api.post(SCHEDULES, {**DAILY, **fields})
    assert response.status_code == 201, response.content
    return dict(response.json())


def due(made: dict[str, Any]) -> Any:
    """Lets its time have come; returns its id."""
    Schedule.objects.filter(pk=made["id"]).update(next_run_at=timezone.now() - timedelta(minutes=5))
    return Schedule.objects.get(pk=made["id"]).pk


def test_a_schedule_is_made_read_changed_and_deleted(api: Api) -> None:
    """Beat is told each time, of its id alone."""
    made = create(api)
    assert api.get(f"{SCHEDULES}{made['id']}/").json() == made
    assert [one["id"] for one in api.get(SCHEDULES).json()["results"]] == [made["id"]]
    task = PeriodicTask.objects.get(task="workflows.start_scheduled")
    assert (task.args, task.kwargs, task.enabled) == (f'["{made["id"]}"]', "{}", True)
    assert str(task.crontab.timezone) == "Europe/Berlin"
    changed = api.patch(f"{SCHEDULES}{made['id']}/", {"cron": "", "every_seconds": 600, "is_enabled": False})
    assert changed.status_code == 200, changed.content
    task.refresh_from_db()
    assert (task.interval.every, task.crontab, task.enabled) == (600, None, False)
    assert api.delete(f"{SCHEDULES}{made['id']}/").status_code == 204
    assert not PeriodicTask.objects.filter(pk=task.pk).exists()


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"cron": "30 7 * *"}, "/cron"),
        ({"cron": "61 7 * * *"}, "/cron"),
        ({"cron": "0 0 31 2 *"}, "/cron"),
        ({"cron": "30 7 * * *", "every_seconds": 600}, "/cron"),
        ({"cron": ""}, "/cron"),
        ({"cron": "", "every_seconds": 5}, "/every_seconds"),
        ({"time_zone": "Mars/Base"}, "/time_zone"),
        ({"type": "nothing"}, "/type"),
        ({"type": "each", "input": {}}, "/input/items"),
        ({"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, "/ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "/ends_at"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "/starts_at"),
        ({"cron": f"0 {','.join(['7'] * 80)} * * *"}, "/cron"),
    ],
)
def test_a_schedule_that_could_not_be_run_is_refused(api: Api, fields: dict[str, Any], pointer: str) -> None:
    """With the place; nothing is stored."""
    response = api.post(SCHEDULES, {**DAILY, **fields})
    assert response.status_code == 422, response.content
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert not Schedule.objects.exists()
    assert not PeriodicTask.objects.filter(task="workflows.start_scheduled").exists()


def test_a_schedule_carries_no_more_metadata_than_a_submission(api: Api) -> None:
    """Its runs would."""
    response = api.post(SCHEDULES, {**DAILY, "metadata": {"a": "x" * 17_000}})
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json()["errors"]] == ["/metadata"]


def test_a_name_is_taken_once_in_a_tenant_and_others_see_nothing(api: Api, other_api: Api) -> None:
    """Another tenant may have the same."""
    made = create(api)
    assert api.post(SCHEDULES, DAILY).status_code == 409
    assert other_api.post(SCHEDULES, DAILY).status_code == 201
    assert other_api.get(f"{SCHEDULES}{made['id']}/").status_code == 404
    assert other_api.delete(f"{SCHEDULES}{made['id']}/").status_code == 404
    assert other_api.post(f"{SCHEDULES}{made['id']}/run/", {}).status_code == 404


def test_a_schedule_that_is_due_starts_a_run_once(api: Api) -> None:
    """However often beat says so; its runs are listed by it."""
    made = create(api)
    schedule_id = due(made)
    assert schedule_fire(schedule_id) is not None
    assert schedule_fire(schedule_id) is None
    (run,) = api.get(f"{WORKFLOWS}?schedule={made['id']}").json()["results"]
    told = api.get(f"{SCHEDULES}{made['id']}/").json()
    assert (run["type"], told["last_workflow_id"]) == ("fan_out", run["id"])
    assert told["next_run_at"] > told["last_run_at"]


def test_a_schedule_that_has_ended_starts_nothing(api: Api) -> None:
    """And beat tells of it no more; a later end brings it back."""
    made = create(api, ends_at=(timezone.now() + timedelta(days=2)).isoformat())
    assert made["next_run_at"] is not None
    schedule_id = due(made)
    Schedule.objects.filter(pk=schedule_id).update(ends_at=timezone.now() - timedelta(seconds=1))
    assert schedule_fire(schedule_id) is None
    assert not Workflow.objects.exists()
    path = f"{SCHEDULES}{made['id']}/"
    assert api.get(path).json()["next_run_at"] is None
    assert not PeriodicTask.objects.get(task="workflows.start_scheduled").enabled
    assert api.patch(path, {"ends_at": None}).json()["next_run_at"] is not None
    assert PeriodicTask.objects.get(task="workflows.start_scheduled").enabled


def test_a_change_keeps_what_has_happened_meanwhile(api: Api) -> None:
    """A run that was started after the schedule was read is still its last one."""
    made = create(api)
    read_before = Schedule.objects.get(pk=made["id"])
    started = schedule_fire(due(made))
    changed = schedule_update(read_before, {"name": "renamed"})
    assert (changed.name, changed.last_workflow_id) == ("renamed", started)
    assert api.get(f"{SCHEDULES}{made['id']}/").json()["last_workflow_id"] == str(started)


@pytest.mark.django_db(transaction=True)
def test_two_messages_at_once_start_one_run(api: Api) -> None:
    """The row decides."""
    schedule_id = due(create(api))
    started: list[Any] = []

    def fire() -> None:
        started.append(schedule_fire(schedule_id))
        connection.close()

    threads = [threading.Thread(target=fire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(one is not None for one in started) == 1
    assert Workflow.objects.count() == 1


def test_a_run_is_left_out_while_the_last_has_not_ended(api: Api) -> None:
    """Unless the schedule allows it."""
    made = create(api)
    schedule_id = due(made)
    schedule_fire(schedule_id)
    due(made)
    assert schedule_fire(schedule_id) is None
    assert api.get(f"{SCHEDULES}{made['id']}/").json()["last_skipped_at"] is not None
    api.patch(f"{SCHEDULES}{made['id']}/", {"overlap": "allow"})
    due(made)
    assert schedule_fire(schedule_id) is not None


def test_what_is_refused_when_its_time_comes_is_told_once(api: Api, tenant: Tenant) -> None:
    """And tried again with the next time."""
    made = create(api)
    schedule_id = due(made)
    WorkflowDefinition.objects.filter(type="fan_out").update(is_current=False)
    assert schedule_fire(schedule_id) is None
    due(made)
    assert schedule_fire(schedule_id) is None
    assert "no definition 'fan_out'" in api.get(f"{SCHEDULES}{made['id']}/").json()["last_error"]
    assert Notice.objects.filter(code="schedule.refused", tenant=tenant).count() == 1
    WorkflowDefinition.objects.filter(type="fan_out", version=1).update(is_current=True)
    due(made)
    assert schedule_fire(schedule_id) is not None
    assert api.get(f"{SCHEDULES}{made['id']}/").json()["last_error"] == ""


def test_a_suspended_tenants_schedule_starts_nothing(api: Api, tenant: Tenant) -> None:
    """And says why."""
    schedule_id = due(create(api))
    Tenant.objects.filter(pk=tenant.pk).update(status="suspended")
    assert schedule_fire(schedule_id) is None
    assert "suspended" in Schedule.objects.get(pk=schedule_id).last_error


def test_a_schedule_is_run_at_once(api: Api) -> None:
    """Its times stay; with the same key it is one run."""
    made = create(api)
    told = [api.post(f"{SCHEDULES}{made['id']}/run/", {}, Idempotency_Key="k") for _ in range(2)]
    assert [response.status_code for response in told] == [202, 202]
    assert told[0].json() == told[1].json()
    assert api.get(f"{SCHEDULES}{made['id']}/").json()["next_run_at"] == made["next_run_at"]


@pytest.mark.parametrize(
    ("cron", "zone", "moment", "expected"),
    [
        ("30 7 * * *", "Europe/Berlin", "2026-07-01T06:00:00", "2026-07-02T05:30:00"),
        ("30 7 * * *", "Europe/Berlin", "2026-12-01T06:00:00", "2026-12-01T06:30:00"),
        ("0 0 1 * *", "UTC", "2026-12-15T10:20:30", "2027-01-01T00:00:00"),
        ("*/15 * * * *", "Asia/Kolkata", "2026-12-15T10:20:30", "2026-12-15T10:30:00"),
        ("0 9 * * 1-5", "America/New_York", "2026-12-18T15:00:00", "2026-12-21T14:00:00"),
    ],
)
def test_the_next_time_is_that_of_its_zone(cron: str, zone: str, moment: str, expected: str) -> None:
    """Summer and winter."""
    schedule = Schedule(cron=cron, time_zone=zone)
    at = due_after(schedule, datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert at == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_beat_goes_by_upkeep_in_memory_and_by_schedules_in_the_database(tenant: Tenant) -> None:
    """A schedule that is made while it runs is picked up; what comes at set times is kept."""
    from config.beat import Beat, Upkeep

    beat = Beat(app=app)
    assert isinstance(beat.schedule["advance-batches"], Upkeep)
    stored = set(PeriodicTask.objects.values_list("name", flat=True))
    assert {"reconcile", "send-cost-digests", "purge-expired-records"} <= stored
    assert "advance-batches" not in stored
    digest = PeriodicTask.objects.get(name="send-cost-digests")
    assert digest.expire_seconds == 3600
    reserved = beat.reserve(beat.schedule["advance-batches"])
    assert beat.schedule["advance-batches"] is reserved
    from apps.workflows.schedules import schedule_create

    made = schedule_create(tenant=tenant, fields={**DAILY, "cron": "* * * * *", "queue": "standard"})
    assert f"schedule {made.pk}" in beat.schedule
    beat.sync()
    beat.close()
