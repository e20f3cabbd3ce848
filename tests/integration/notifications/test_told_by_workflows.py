"""What workflows tell: their end, by webhooks, and dead letters, by notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F

from agentplatform.agents.agent import Degradation
from agentplatform.execution.attempts import Outcome
from agentplatform.execution.retry import Failure
from apps.notifications.deliveries import deliveries_work
from apps.notifications.endpoints import IssuedSecret, endpoint_create
from apps.notifications.models import Delivery, Notice
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.dead_letters import dead_letters_file
from apps.workflows.letters import DeadLetter
from apps.workflows.maintenance import purge_expired_records
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import settle_call
from tests.integration.conftest import Hand
from tests.integration.workflows.worker import OneThread
from tests.receiver import Receiver

PRIVATE = "a secret of the tenant"


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant, in transactions that are committed."""
    return tenant_create(name="acme", tier="standard")


def test_the_end_of_a_workflow_arrives_as_a_webhook(
    submit: Callable[..., Workflow], hand: Hand, issued: IssuedSecret, receiver: Receiver
) -> None:
    """With its status, the whole cost and all degradations, those of its last step too; no input, no output."""
    workflow = submit("one_ask", {"text": PRIVATE}, metadata={"who": PRIVATE})
    step = hand.claim_next()
    settle_call(step, 1_250_000)
    assert not Delivery.objects.exists()
    hand.finish(step, outcome=Outcome({"text": PRIVATE}, degradations=[Degradation("tier_capped", PRIVATE)]))
    deliveries_work()
    (request,) = receiver.requests
    assert PRIVATE.encode() not in request.body
    document = request.verified(issued.plaintext)
    workflow.refresh_from_db()
    assert document["type"] == "workflow.finished"
    data = document["data"]
    assert data.pop("finished_at").startswith(f"{workflow.finished_at:%Y-%m-%dT%H:%M}")
    assert data.pop("created_at").startswith(f"{workflow.created_at:%Y-%m-%dT%H:%M}")
    assert data == {
        "workflow_id": str(workflow.pk),
        "type": "one_ask",
        "status": "succeeded",
        "error_code": None,
        "cost_usd_micros": workflow.cost_usd_micros,
        "degradations": ["tier_capped"],
        "status_url": f"/api/v1/workflows/{workflow.pk}/",
        "events_url": f"/api/v1/workflows/{workflow.pk}/events/",
    }


def test_the_end_goes_with_its_transaction(
    submit: Callable[..., Workflow], hand: Hand, issued: IssuedSecret
) -> None:
    """Rolled back, nobody is told; and a workflow that nobody asks after leaves nothing."""
    submit("one_noop")
    other = tenant_create(name="other", tier="standard")
    with transaction.atomic():
        hand.finish(hand.claim_next(), {"done": True})
        assert Delivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()
    submit("one_noop", tenant=other)
    Workflow.objects.filter(tenant=other).update(status="running")
    endpoint_create(tenant=None, url="https://example.com/")
    while Workflow.objects.filter(tenant=other, finished_at=None).exists():
        hand.finish(hand.claim_next(), {"done": True})
    assert set(Delivery.objects.values_list("tenant__name", flat=True)) <= {"acme"}


def test_the_end_of_what_a_step_has_started_is_not_told(
    submit: Callable[..., Workflow], issued: IssuedSecret
) -> None:
    """Only that of the run which was submitted; and that somebody is asked, in whichever of them."""
    workflow = submit("outer", {"output": {"count": 1}})
    OneThread().work()
    told = Delivery.objects.filter(event_type="workflow.finished").values_list("data__workflow_id", flat=True)
    assert list(told) == [str(workflow.pk)]
    asking = submit("approval")
    OneThread().work()
    (asked,) = Delivery.objects.filter(event_type="workflow.approval_requested")
    assert (asked.data["workflow_id"], asked.data["step"]) == (str(asking.pk), "approve")


@pytest.fixture
def give_up(submit: Callable[..., Workflow], hand: Hand) -> Callable[..., DeadLetter]:
    """A step that gives up, and its letter."""

    def fail(tenant: Tenant) -> DeadLetter:
        workflow = submit("one_noop", tenant=tenant)
        failure = Failure("made_to_fail", f"No: {PRIVATE}", transient=False)
        hand.finish(hand.claim_next(), outcome=Outcome(failure=failure))
        return DeadLetter.objects.get(workflow=workflow)

    return fail


def test_of_a_new_kind_of_dead_letters_operators_and_the_tenant_are_told(
    tenant: Tenant, give_up: Callable[..., DeadLetter]
) -> None:
    """Once each, however many follow; another tenant is told of its own. No text of an error is in a notice."""
    first = give_up(tenant)
    dead_letters_file([first.pk])
    dead_letters_file([first.pk])
    dead_letters_file([give_up(tenant).pk])
    other = tenant_create(name="other", tier="standard")
    dead_letters_file([give_up(other).pk])
    notices = list(Notice.objects.order_by("pk"))
    assert [(notice.audience, notice.tenant) for notice in notices] == [
        ("operators", None),
        ("tenant", tenant),
        ("tenant", other),
    ]
    assert {notice.code for notice in notices} == {"dead_letter.group_opened"}
    assert notices[1].data["workflow_id"] == str(first.workflow_id)
    assert notices[0].data["fingerprint"] == first.fingerprint
    assert not any(PRIVATE in f"{notice.title} {notice.message} {notice.data}" for notice in notices)


def test_old_notices_and_ended_deliveries_are_purged(
    tenant: Tenant, issued: IssuedSecret, settings: Any, notices_for: Callable[..., Notice]
) -> None:
    """After thirty days; what is still under way stays, with its notice."""
    settings.NOTIFICATION_RETENTION_DAYS = 30
    old, waiting, young = notices_for(), notices_for(), notices_for()
    Delivery.objects.exclude(notice=waiting).update(status="delivered", finished_at=F("created_at"))
    month = timedelta(days=31)
    Notice.objects.exclude(pk=young.pk).update(created_at=F("created_at") - month)
    Delivery.objects.filter(notice=old).update(finished_at=F("finished_at") - month)
    purged = purge_expired_records()
    assert (purged["notices"], purged["deliveries"]) == (1, 1)
    assert set(Notice.objects.all()) == {waiting, young}
    assert Delivery.objects.count() == 2
