"""Notices, recipients, endpoints and deliveries in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.notifications.deliveries import deliveries_work
from apps.notifications.endpoints import endpoint_create
from apps.notifications.models import Delivery, Endpoint, Notice, Recipient
from apps.notifications.secrets import secret_decrypt
from apps.notifications.services import notify
from apps.tenants.models import Tenant
from tests.integration.admin.conftest import (
    HOSTILE,
    HOSTILE_ESCAPED,
    Person,
    change_url,
    list_url,
    logged,
    operation_url,
)
from tests.receiver import receiving

BADGE = "min-w-[18px]"


@pytest.fixture
def notice(tenant: Tenant) -> Notice:
    """One for the tenant and the operators, with a hostile text."""
    made = notify(
        code="budget.threshold",
        severity="critical",
        title=HOSTILE,
        message=HOSTILE,
        audience="both",
        tenant_id=tenant.pk,
        data={"percent": 80},
    )
    assert made is not None
    return made


def test_a_notice_counts_in_the_sidebar_until_it_is_acknowledged(operator: Person, notice: Notice) -> None:
    """Nothing is done before the page that asks; the log has who did it."""
    html = operator.page(reverse("admin:index"))
    assert BADGE in html
    page = operator.page(change_url(notice))
    assert HOSTILE not in page
    assert HOSTILE_ESCAPED in page
    operator.get(operation_url(notice, "acknowledge"))
    notice.refresh_from_db()
    assert notice.acknowledged_at is None
    operator.confirm(operation_url(notice, "acknowledge"))
    notice.refresh_from_db()
    assert notice.acknowledged_by == operator.user
    assert logged(notice) == ["Acknowledged"]
    assert BADGE not in operator.page(reverse("admin:index"))
    assert operation_url(notice, "acknowledge") not in operator.page(change_url(notice))


def test_several_notices_are_acknowledged_at_once(operator: Person, notice: Notice) -> None:
    """After a page that names them."""
    chosen: dict[str, Any] = {"action": "acknowledge_selected", ACTION_CHECKBOX_NAME: [str(notice.pk)]}
    assert HOSTILE_ESCAPED in operator.post(list_url(Notice), **chosen).content.decode()
    assert operator.post(list_url(Notice), confirmed="1", **chosen).status_code == 302
    assert Notice.objects.exclude(acknowledged_at=None).get() == notice
    assert str(notice.pk) not in operator.page(list_url(Notice), state="unread")
    assert str(notice.pk) in operator.page(list_url(Notice), state="acknowledged")


def test_who_only_reads_acknowledges_nothing(reader: Person, notice: Notice) -> None:
    """403, and the notice is as it was."""
    assert reader.post(operation_url(notice, "acknowledge"), confirmed="1").status_code == 403
    assert Notice.objects.filter(acknowledged_at=None).exists()


def test_a_recipient_is_added_with_the_events_it_is_told_of(operator: Person, tenant: Tenant) -> None:
    """Typed with commas; the same address twice for one tenant is refused."""
    fields = {
        "tenant": tenant.pk,
        "email": "boss@acme.example",
        "events": "budget.threshold, budget.velocity",
        "min_severity": "warning",
        "is_enabled": "on",
    }
    url = reverse("admin:notifications_recipient_add")
    assert operator.post(url, **fields).status_code == 302
    assert operator.post(url, **fields).status_code == 200
    recipient = Recipient.objects.get()
    assert recipient.events == ["budget.threshold", "budget.velocity"]
    assert "boss@acme.example" in operator.page(list_url(Recipient))


def test_an_endpoint_is_added_and_its_secret_is_shown_once(
    operator: Person, tenant: Tenant, settings: Any
) -> None:
    """In the answer to the form; neither its page nor the log has it. A URL of the inside is refused."""
    url = reverse("admin:notifications_endpoint_add")
    fields = {"tenant": tenant.pk, "url": "http://127.0.0.1/hook", "description": "Ours", "events": ""}
    assert "loopback" in operator.post(url, **fields).content.decode()
    assert not Endpoint.objects.exists()
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    answer = operator.post(url, **fields).content.decode()
    endpoint = Endpoint.objects.get()
    secret = secret_decrypt(endpoint.secret)
    assert f'value="{secret}"' in answer
    page = operator.page(change_url(endpoint))
    assert secret not in page
    assert endpoint.secret not in page
    assert secret not in "".join(logged(endpoint))
    assert logged(endpoint)


def test_an_endpoint_is_changed_tested_rotated_and_deleted(
    operator: Person, reader: Person, tenant: Tenant, settings: Any, closed: None
) -> None:
    """Each as an operation, none of them a reader's; and its log says what was sent."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiving() as receiver:
        issued = endpoint_create(tenant=tenant, url=receiver.url)
        endpoint = issued.endpoint
        for operation in ("ping", "rotate"):
            assert reader.post(operation_url(endpoint, operation), confirmed="1").status_code == 403
        operator.confirm(operation_url(endpoint, "ping"))
        answer = operator.confirm(operation_url(endpoint, "rotate"), overlap="1").content.decode()
        deliveries_work()
        new = secret_decrypt(Endpoint.objects.get().secret)
        assert f'value="{new}"' in answer
        for secret in (issued.plaintext, new):
            assert receiver.requests[0].verified(secret)
        delivery = Delivery.objects.get()
        assert "ping" in operator.page(change_url(endpoint))
        assert "204" in operator.page(change_url(delivery))
        assert reader.post(operation_url(delivery, "redeliver"), confirmed="1").status_code == 403
        operator.confirm(operation_url(delivery, "redeliver"))
        deliveries_work()
    assert len(receiver.requests) == 2
    assert logged(delivery) == ["Redelivered: was delivered"]
    fields = {"url": endpoint.url, "description": "Theirs", "events": "workflow.finished"}
    assert operator.post(change_url(endpoint), **fields).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.events, endpoint.is_enabled) == (["workflow.finished"], False)
    assert "disabled" in operator.page(list_url(Endpoint))
    assert operator.post(operation_url(endpoint, "delete"), post="yes").status_code == 302
    assert not Endpoint.objects.exists()
    assert "a deleted endpoint" in operator.page(change_url(delivery))
    chosen = {"action": "redeliver_selected", ACTION_CHECKBOX_NAME: [str(delivery.pk)], "confirmed": "1"}
    operator.post(list_url(Delivery), **chosen)
    assert "not redelivered. Its endpoint has been deleted." in operator.page(list_url(Delivery))
