"""Notices, recipients, endpoints and deliveries in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.notifications.models import Notice, Recipient
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
