"""Schedules in the admin: made, changed, refused, started at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from apps.tenants.models import Tenant
from apps.workflows.models import Schedule, Workflow
from apps.workflows.schedules import schedule_create
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url, person_make

FIELDS = {
    "name": "nightly",
    "type": "fan_out",
    "input": '{"count": 2}',
    "queue": "standard",
    "metadata": "{}",
    "cron": "0 3 * * *",
    "time_zone": "Europe/Berlin",
    "overlap": "skip",
    "is_enabled": "on",
}


@pytest.fixture
def schedule(tenant: Tenant) -> Schedule:
    fields: dict[str, Any] = {**FIELDS, "input": {"count": 2}, "metadata": {}, "is_enabled": True}
    return schedule_create(tenant=tenant, fields=fields)


def test_a_schedule_is_made_by_its_form(operator: Person, tenant: Tenant) -> None:
    """And has its times in words in the list."""
    response = operator.post(reverse("admin:workflows_schedule_add"), tenant=str(tenant.pk), **FIELDS)
    assert response.status_code == 302
    made = Schedule.objects.get()
    assert (made.tenant, made.next_run_at is not None, made.periodic_task is not None) == (tenant, True, True)
    assert "At 03:00 AM" in operator.page(list_url(Schedule))


def test_what_would_be_refused_is_said_beside_its_field(operator: Person, tenant: Tenant) -> None:
    """Nothing is stored."""
    wrong = {**FIELDS, "cron": "0 3 * *", "input": "{}", "type": "each"}
    response = operator.post(reverse("admin:workflows_schedule_add"), tenant=str(tenant.pk), **wrong)
    text = response.content.decode()
    assert response.status_code == 200
    assert "Five fields" in text
    assert "input/items" in text
    assert not Schedule.objects.exists()


def test_a_change_is_logged_and_told_to_beat(operator: Person, schedule: Schedule) -> None:
    """With before and after."""
    shown = {"initial-input": '{"count": 2}', "initial-metadata": "{}"}
    response = operator.post(change_url(schedule), **{**FIELDS, **shown, "cron": "0 4 * * *"})
    assert response.status_code == 302
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.periodic_task.crontab.hour) == ("0 4 * * *", "4")
    assert logged(schedule) == ["Changed: cron '0 3 * * *' → '0 4 * * *'"]


def test_a_run_is_started_at_once_by_those_who_may(operator: Person, schedule: Schedule) -> None:
    """After a page that asks."""
    reader = person_make("read-only")
    assert operation_url(schedule, "run") not in reader.page(change_url(schedule))
    operator.confirm(operation_url(schedule, "run"))
    run = Workflow.objects.get()
    assert run.schedule_id == schedule.pk
    assert logged(schedule) == [f"Started workflow {run.pk}"]
