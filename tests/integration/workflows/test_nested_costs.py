"""What runs that steps start may cost together, when several of them call at the same moment."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.budgets.models import Reservation
from apps.database import call_function, from_jsonb, to_jsonb
from apps.workflows.models import Step, Workflow

Submit = Callable[..., Workflow]


@pytest.fixture
def nested(submit: Submit) -> Workflow:
    """A run of a step, of a run that may cost 1,000 micro-dollars."""
    root = submit("one_noop", max_cost_usd_micros=1_000)
    child = submit("one_noop")
    Workflow.objects.filter(pk=child.pk).update(root_id=root.pk, parent_id=root.pk, depth=1)
    Step.objects.filter(workflow=child).update(
        status="running", attempt=1, lease_expires_at=timezone.now(), deadline_at=timezone.now()
    )
    child.refresh_from_db()
    return child


class Asked:
    """A function of the database, called over another connection."""

    def __init__(self, function: str, arguments: list[Any], casts: list[str]) -> None:
        self._told: list[Any] = []
        self._thread = threading.Thread(target=self._ask, args=(function, arguments, casts))
        self._thread.start()

    def _ask(self, *call: Any) -> None:
        try:
            self._told.append(from_jsonb(call_function(*call)[0][0]))
        finally:
            connection.close()

    def answer(self) -> Any:
        self._thread.join(10)
        return self._told[0]


def until_somebody_waits() -> None:
    """For a lock that this connection holds."""
    for _ in range(1_000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.005)
    raise AssertionError("nobody waits")


def test_a_call_that_is_settled_meanwhile_is_in_what_was_spent(nested: Workflow) -> None:
    """It is never in neither of what was spent and what is reserved."""
    reserved = Reservation.objects.create(
        call_id=uuid.uuid4(),
        window_set_id=1,
        tenant=nested.tenant,
        workflow_id=nested.pk,
        step_id=uuid.uuid4(),
        attempt=1,
        lane="live",
        usd_micros=600,
        input_tokens=1,
        output_tokens=1,
    )
    call = to_jsonb({"call_id": str(uuid.uuid4()), "worst_case_usd_micros": 500})
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE budgets_reservation IN ACCESS EXCLUSIVE MODE")
        asked = Asked("workflows_cost_refusal", [nested.pk, call], ["uuid", "jsonb"])
        until_somebody_waits()
        Workflow.objects.filter(pk=nested.pk).update(cost_usd_micros=600)
        reserved.delete()
    refusal = asked.answer()
    assert refusal == {"code": "max_cost_exceeded", "room_usd_micros": 400, "in_flight": False}


def test_a_tool_call_locks_the_submitted_run_before_its_own(nested: Workflow) -> None:
    """As a model call does: in two orders they would wait for each other."""
    step = Step.objects.get(workflow=nested)
    call = {"call_id": str(uuid.uuid4()), "step_id": str(step.pk), "attempt": 1, "price_usd_micros": 2_000}
    with transaction.atomic():
        Workflow.objects.select_for_update(no_key=True, of=("self",)).get(pk=nested.root_id)
        asked = Asked(
            "workflows_start_tool_call", [nested.pk, to_jsonb(call), "[]"], ["uuid", "jsonb", "jsonb"]
        )
        until_somebody_waits()
        # Whoever holds the lock on the submitted run gets this one as well, at once.
        Workflow.objects.select_for_update(no_key=True, nowait=True, of=("self",)).get(pk=nested.pk)
    assert asked.answer()["code"] == "max_cost_exceeded"
