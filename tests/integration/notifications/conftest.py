"""Receivers, a mail server, and endpoints that lead to them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from apps.notifications.endpoints import IssuedSecret, endpoint_create
from apps.notifications.services import notify
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.integration.stack.launching import free_ports
from tests.receiver import Receiver, receiving


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction unless the test is one of several threads."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def receiver(settings: Any, closed: None) -> Iterator[Receiver]:
    """A receiver on loopback, which is allowed."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    # When it is tried again is drawn from the whole delay: of five seconds it may be at once, in the midst of a test.
    settings.DELIVERY_RETRY_SECONDS = 3_600.0
    with receiving() as one:
        yield one


@pytest.fixture
def issued(tenant: Tenant, receiver: Receiver) -> IssuedSecret:
    """The tenant's endpoint at the receiver, for all events, with its secret."""
    return endpoint_create(tenant=tenant, url=receiver.url)


class MailServer:
    """Takes mail, or answers a recipient as `replies` say."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[EmailMessage] = queue.SimpleQueue()
        self.replies: list[str] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.replies:
            return self.replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = BytesParser(policy=default).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        self.messages.put(message)
        return "250 OK"


@pytest.fixture
def mail_server(settings: Any, closed: None) -> Iterator[MailServer]:
    """A real SMTP server that the settings name; Django's own backend sends."""
    server = MailServer()
    (port,) = free_ports(1)
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    yield server
    controller.stop()


@pytest.fixture
def notices_for(tenant: Tenant) -> Callable[..., Any]:
    """Tells the tenant something."""

    def tell(**fields: Any) -> Any:
        told = {
            "code": "budget.threshold",
            "severity": "warning",
            "title": "80% of the day's budget is spent",
            "message": "Raise the cap, or wait until midnight.",
            "audience": "tenant",
            "tenant_id": tenant.pk,
            **fields,
        }
        return notify(**told)

    return tell
