"""Settings of queues and of the tiers' pools in them, in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from apps.tenants.models import Tenant
from apps.workflows.models import QueueConfig, QueuePool, Workflow
from tests.integration.admin.conftest import Person, change_url, logged
from tests.integration.conftest import Hand

LIMITS = {
    "priority": "60",
    "max_concurrent": "120",
    "step_timeout_seconds": "90",
    "max_attempts": "4",
    "base_backoff_seconds": "2.5",
    "max_backoff_seconds": "30",
    "max_lost_workers": "3",
    "quantum_tokens": "5000",
}
SETTINGS = (*LIMITS, "dedicated_slots", "lendable_slots", "borrowable_slots", "borrow_after_seconds")


def fields_of(queue: QueueConfig, **changed: Any) -> dict[str, str]:
    """The form of a queue's page as it is shown, with some of its fields changed."""
    pools = list(QueuePool.objects.filter(queue=queue).order_by("tier_id"))
    fields = {name: str(getattr(queue, name)) for name in SETTINGS}
    fields |= {"pools-TOTAL_FORMS": str(len(pools)), "pools-INITIAL_FORMS": str(len(pools))}
    for number, pool in enumerate(pools):
        most = "" if pool.max_concurrent is None else str(pool.max_concurrent)
        fields |= {
            f"pools-{number}-id": str(pool.pk),
            f"pools-{number}-queue": queue.pk,
            f"pools-{number}-guaranteed_percent": str(pool.guaranteed_percent),
            f"pools-{number}-max_concurrent": most,
        }
    return {**fields, **changed}


def test_limits_are_saved_and_virtual_time_is_not_touched(
    operator: Person, tenant: Tenant, submit: Callable[..., Workflow], hand: Hand
) -> None:
    """Admission moves on between the page and the save."""
    queue = QueueConfig.objects.get(pk="standard")
    operator.page(change_url(queue))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflows_queueconfig SET virtual_time = 12345.5 WHERE name = 'standard'")
    assert operator.post(change_url(queue), **fields_of(queue, **LIMITS), virtual_time="0").status_code == 302
    queue.refresh_from_db()
    assert queue.virtual_time == 12345.5
    assert (queue.max_concurrent, queue.base_backoff_seconds, queue.priority) == (120, 2.5, 60)
    (message,) = logged(queue)
    assert message.startswith("Changed: priority 50 → 60, max_concurrent 100 → 120")


def test_an_unchanged_limit_of_another_person_is_not_overwritten(operator: Person) -> None:
    """Only what was changed in the form is written."""
    queue = QueueConfig.objects.get(pk="standard")
    assert operator.post(change_url(queue), **fields_of(queue, max_attempts="7")).status_code == 302
    queue.refresh_from_db()
    assert queue.max_attempts == 7
    assert logged(queue) == ["Changed: max_attempts 3 → 7"]


@pytest.mark.parametrize(
    "bad",
    [
        {"max_concurrent": "0"},
        {"max_concurrent": "-1"},
        {"max_concurrent": "99999999999999999999"},
        {"step_timeout_seconds": "0"},
        {"max_attempts": "0"},
        {"max_lost_workers": "0"},
        {"base_backoff_seconds": "0"},
        {"base_backoff_seconds": "nan"},
        {"base_backoff_seconds": "inf"},
        {"max_backoff_seconds": "1"},
        {"quantum_tokens": "0"},
        {"priority": "many"},
        {"max_attempts": ""},
        {"dedicated_slots": "-1"},
        {"lendable_slots": "6"},
        {"borrow_after_seconds": "0"},
        {"pools-0-guaranteed_percent": "101"},
        {"pools-0-max_concurrent": "0"},
        {"pools-1-guaranteed_percent": "60", "pools-2-guaranteed_percent": "60"},
    ],
)
def test_limits_without_sense_are_refused(operator: Person, bad: dict[str, str]) -> None:
    """The form says so, and nothing is saved."""
    queue = QueueConfig.objects.get(pk="standard")
    assert operator.post(change_url(queue), **fields_of(queue, **{**LIMITS, **bad})).status_code == 200
    queue.refresh_from_db()
    assert (queue.max_concurrent, queue.max_attempts, queue.base_backoff_seconds) == (100, 3, 5.0)


def test_queues_are_neither_added_nor_deleted(administrator: Person) -> None:
    """They are there because workers serve them."""
    assert administrator.get(reverse("admin:workflows_queueconfig_add")).status_code == 403
    url = reverse("admin:workflows_queueconfig_delete", args=["standard"])
    assert administrator.post(url, post="yes").status_code == 403


def test_a_tiers_pool_is_changed_and_logged(operator: Person) -> None:
    """Its share and its limit, on the page of the queue."""
    queue = QueueConfig.objects.get(pk="standard")
    changed = {"pools-1-guaranteed_percent": "40", "pools-1-max_concurrent": "3"}
    assert operator.post(change_url(queue), **fields_of(queue, **changed)).status_code == 302
    pool = QueuePool.objects.get(queue=queue, tier="free")
    assert (pool.guaranteed_percent, pool.max_concurrent) == (40, 3)
    assert logged(queue) == [
        "Changed: standard / free guaranteed_percent 5 → 40, standard / free max_concurrent None → 3"
    ]


def test_a_reader_changes_no_pool(reader: Person) -> None:
    """They are shown and refused."""
    queue = QueueConfig.objects.get(pk="standard")
    assert "guaranteed" in reader.page(change_url(queue))
    changed = fields_of(queue, **{"pools-1-guaranteed_percent": "40"})
    assert reader.post(change_url(queue), **changed).status_code == 403
    assert QueuePool.objects.get(queue=queue, tier="free").guaranteed_percent == 5


def test_a_queue_begins_with_what_is_documented(transactional_db: None) -> None:
    """Slots, lending, limits and retries of the three queues."""
    rows = QueueConfig.objects.values_list(
        "name",
        "priority",
        "dedicated_slots",
        "lendable_slots",
        "borrowable_slots",
        "max_concurrent",
        "step_timeout_seconds",
        "max_attempts",
        "base_backoff_seconds",
    )
    assert list(rows) == [
        ("interactive", 100, 10, 0, 0, 50, 30, 2, 1.0),
        ("standard", 50, 5, 0, 15, 100, 120, 3, 5.0),
        ("batch", 10, 20, 15, 0, 200, 600, 5, 30.0),
    ]
