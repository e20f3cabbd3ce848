"""Notices, and the deliveries that are stored with them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis
from django.db import transaction

from apps.notifications.deliveries import deliveries_work
from apps.notifications.endpoints import IssuedSecret
from apps.notifications.models import Delivery, Endpoint, Notice, Recipient
from apps.notifications.selectors import notices_of, unread_count
from apps.notifications.services import notices_acknowledge, notify
from apps.tenants.models import Tenant, User
from apps.tenants.services import tenant_create
from tests.receiver import Receiver


def tell(tenant: Tenant | None = None, **fields: Any) -> Notice | None:
    """A notice with what a test does not care about."""
    told = {
        "code": "budget.threshold",
        "severity": "warning",
        "title": "80% of the day's budget is spent",
        "message": "Raise the cap, or wait until midnight.",
        "audience": "both" if tenant else "operators",
        "tenant_id": tenant.pk if tenant else None,
        **fields,
    }
    return notify(**told)


def endpoint(tenant: Tenant | None, **fields: Any) -> Endpoint:
    return Endpoint.objects.create(tenant=tenant, url="https://example.com/hook", secret="x", **fields)


def test_a_notice_is_stored_with_a_delivery_for_each_who_wants_it(tenant: Tenant, settings: Any) -> None:
    """Webhooks and mail of the tenant and of the operators; by event and by severity."""
    settings.EMAIL_HOST = "mail.example.com"
    settings.OPERATOR_EMAILS = ["Ops@example.com", "oncall@example.com"]
    theirs, ours = endpoint(tenant, events=["budget.threshold"]), endpoint(None)
    endpoint(tenant, events=["workflow.finished"])
    endpoint(tenant, is_enabled=False)
    endpoint(tenant_create(name="other", tier="standard"))
    Recipient.objects.create(tenant=tenant, email="boss@acme.example")
    Recipient.objects.create(tenant=tenant, email="critical@acme.example", min_severity="critical")
    Recipient.objects.create(tenant=tenant, email="other@acme.example", events=["budget.velocity"])
    Recipient.objects.create(tenant=None, email="ops@example.com")
    notice = tell(tenant, data={"percent": 80, "workflow_id": tenant.pk})
    assert notice is not None
    deliveries = Delivery.objects.filter(notice=notice)
    assert {one.endpoint_id for one in deliveries if one.channel == "webhook"} == {theirs.pk, ours.pk}
    emails = {one.email: one.tenant_id for one in deliveries if one.channel == "email"}
    assert emails == {"boss@acme.example": tenant.pk, "ops@example.com": None, "oncall@example.com": None}
    assert {one.status for one in deliveries} == {"pending"}
    data = deliveries.get(endpoint=theirs).data
    assert data is not None
    assert (data["percent"], data["severity"], data["notice_id"]) == (80, "warning", str(notice.pk))
    assert data["workflow_id"] == notice.data["workflow_id"] == str(tenant.pk)


def test_who_a_notice_is_not_for_is_not_told(tenant: Tenant, settings: Any) -> None:
    """A tenant's own to the tenant alone, the operators' to them alone."""
    settings.EMAIL_HOST, settings.OPERATOR_EMAILS = "mail.example.com", ["ops@example.com"]
    theirs, ours = endpoint(tenant), endpoint(None)
    tell(tenant, audience="tenant")
    assert [one.endpoint_id for one in Delivery.objects.all()] == [theirs.pk]
    Delivery.objects.all().delete()
    tell(tenant, audience="operators")
    assert {one.endpoint_id for one in Delivery.objects.filter(channel="webhook")} == {ours.pk}
    assert [one.email for one in Delivery.objects.filter(channel="email")] == ["ops@example.com"]
    assert [one.audience for one in notices_of(tenant)] == ["tenant"]


def test_what_has_been_told_is_not_told_again(tenant: Tenant) -> None:
    """One notice of a dedup_key; also within a transaction that goes on."""
    endpoint(tenant)
    with transaction.atomic():
        assert tell(tenant, dedup_key="acme/day/80") is not None
        assert tell(tenant, dedup_key="acme/day/80") is None
        assert tell(tenant, dedup_key="acme/day/90") is not None
    assert (Notice.objects.count(), Delivery.objects.count()) == (2, 2)


def test_without_a_mail_server_each_delivery_says_so(tenant: Tenant, settings: Any) -> None:
    """Skipped, not lost in silence."""
    settings.EMAIL_HOST, settings.OPERATOR_EMAILS = "", ["ops@example.com"]
    tell()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.reason) == ("skipped", "No mail is sent: EMAIL_HOST is not set.")


@pytest.mark.django_db(transaction=True)
def test_a_notice_goes_with_the_transaction_that_makes_it() -> None:
    """Rolled back, neither it nor its deliveries are there."""
    tenant = tenant_create(name="acme", tier="standard")
    endpoint(tenant)
    with transaction.atomic():
        tell(tenant)
        transaction.set_rollback(True)
    assert (Notice.objects.count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"severity": "loud"}, {"audience": "all"}, {"audience": "tenant", "tenant_id": None}],
)
def test_a_notice_for_nobody_is_refused(tenant: Tenant, wrong: dict[str, Any]) -> None:
    """ValueError, and nothing is stored."""
    with pytest.raises(ValueError):
        tell(tenant, **wrong)
    assert not Notice.objects.exists()


def test_an_acknowledged_notice_is_no_longer_unread(tenant: Tenant) -> None:
    """Counted are those for operators; the first to acknowledge stays."""
    user = User.objects.create_user("ann")
    first, second = tell(tenant), tell()
    tell(tenant, audience="tenant")
    assert first is not None
    assert second is not None
    assert unread_count() == 2
    assert notices_acknowledge([first.pk], user) == [first]
    assert notices_acknowledge([first.pk, uuid.uuid4()], User.objects.create_user("bob")) == []
    first.refresh_from_db()
    assert (unread_count(), first.acknowledged_by) == (1, user)


@pytest.mark.django_db(transaction=True)
def test_a_hint_goes_out_after_the_commit_and_holds_an_id_alone(settings: Any) -> None:
    """None while the transaction is open."""
    tenant = tenant_create(name="acme", tier="standard")
    endpoint(tenant)
    with redis.Redis.from_url(settings.BROKER_URL) as broker:
        broker.delete("maintenance")
        with transaction.atomic():
            notice = tell(tenant, title="a secret")
            assert broker.llen("maintenance") == 0
        (message,) = cast(list[bytes], broker.lrange("maintenance", 0, -1))
        broker.delete("maintenance")
    envelope = json.loads(message)
    body = base64.b64decode(envelope["body"]).decode()
    assert envelope["headers"]["task"] == "maintenance.deliver"
    assert json.loads(body)[0] == [str(Delivery.objects.get(notice=notice).pk)]
    assert "secret" not in body


def test_a_notice_is_a_webhook_too(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver, notices_for: Callable[..., Notice]
) -> None:
    """With its code as the type; its id is the event's."""
    notice = notices_for(data={"percent": 80})
    deliveries_work()
    (request,) = receiver.requests
    document = request.verified(issued.plaintext)
    assert (document["type"], document["data"]["percent"]) == ("budget.threshold", 80)
    assert request.headers["webhook-id"] == f"msg_{notice.pk}"
