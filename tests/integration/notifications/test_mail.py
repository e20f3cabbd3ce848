"""Notices by e-mail, to a real SMTP server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import F

from apps.notifications.deliveries import deliveries_work
from apps.notifications.models import Delivery, Notice, Recipient
from apps.tenants.models import Tenant
from tests.integration.notifications.conftest import MailServer
from tests.integration.stack.launching import free_ports


def contact(tenant: Tenant) -> None:
    Recipient.objects.create(tenant=tenant, email="boss@acme.example")


def test_a_notice_arrives_by_mail(
    tenant: Tenant, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """With title, message and facts; a title of many lines adds no header."""
    contact(tenant)
    notice = notices_for(title="Spent\r\nBcc: all@example.com", data={"percent": 80})
    assert deliveries_work() == 1
    message = mail_server.messages.get(timeout=5)
    assert message["To"] == "boss@acme.example"
    assert message["Subject"] == "[agentplatform] Spent Bcc: all@example.com"
    assert message["Bcc"] is None
    text = message.get_content()
    for fact in (notice.message, "percent: 80", "tenant: acme", f"notice: {notice.pk}"):
        assert fact in text
    delivery = Delivery.objects.get()
    assert message["Message-ID"] == f"<{delivery.pk}@agentplatform>"
    assert (delivery.status, delivery.attempts) == ("delivered", 1)


def test_an_address_that_is_refused_for_now_is_tried_again(
    tenant: Tenant, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """4xx: later; and it arrives."""
    contact(tenant)
    mail_server.replies.append("450 4.2.1 Busy")
    notices_for()
    deliveries_work()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.log.get().error_code) == ("pending", "recipient_refused")
    Delivery.objects.update(next_attempt_at=F("created_at"))
    deliveries_work()
    assert Delivery.objects.get().status == "delivered"


def test_an_address_that_is_refused_for_good_has_failed(
    tenant: Tenant, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """5xx: no second attempt."""
    contact(tenant)
    mail_server.replies.append("550 5.1.1 No such user")
    notices_for()
    deliveries_work()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.log.get().status_code) == ("failed", 550)


def test_a_mail_server_that_is_away_opens_its_circuit(
    tenant: Tenant, settings: Any, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """After five failures nobody connects; what waits has lost no attempt."""
    (settings.EMAIL_PORT,) = free_ports(1)
    contact(tenant)
    for _ in range(7):
        notices_for()
    deliveries_work()
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0, 0, 1, 1, 1, 1, 1]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"pending"}


def test_without_a_mail_server_what_was_pending_is_skipped(
    tenant: Tenant, settings: Any, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """EMAIL_HOST may be taken away while something waits."""
    contact(tenant)
    notices_for()
    settings.EMAIL_HOST = ""
    deliveries_work()
    assert Delivery.objects.get().status == "skipped"


def test_an_address_that_is_none_has_failed(
    settings: Any, mail_server: MailServer, notices_for: Callable[..., Notice]
) -> None:
    """As OPERATOR_EMAILS may hold one."""
    settings.OPERATOR_EMAILS = ["ops@example.com\nBcc: all@example.com"]
    notices_for(audience="both")
    deliveries_work()
    assert Delivery.objects.get().log.get().error_code == "address_invalid"
    assert Delivery.objects.get().status == "failed"
