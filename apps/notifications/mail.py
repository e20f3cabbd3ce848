"""Notices by e-mail, over Django's mail."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage

from agentplatform.notifications.delivery import AttemptResult
from apps.notifications.models import Delivery, Notice

_PERMANENT = 500
"""Replies of a mail server from here on say that trying again is of no use (RFC 5321)."""


def send_mail(delivery: Delivery, notice: Notice) -> AttemptResult:
    """Hands a notice to the mail server, and tells how it ended."""
    began = time.monotonic()
    try:
        _message(delivery, notice).send()
    except smtplib.SMTPRecipientsRefused as error:
        status = next((reply[0] for reply in error.recipients.values()), 0)
        return _refused(began, "recipient_refused", "The mail server does not take the address.", status)
    except smtplib.SMTPResponseException as error:
        code = "login_refused" if isinstance(error, smtplib.SMTPAuthenticationError) else "mail_refused"
        return _refused(began, code, "The mail server refused the message.", error.smtp_code)
    except ValueError:
        message = "No message can be written to this address."
        return AttemptResult(
            time.monotonic() - began, error_code="address_invalid", error_message=message, is_permanent=True
        )
    except (smtplib.SMTPException, OSError) as error:
        return AttemptResult(
            time.monotonic() - began,
            error_code="timeout" if isinstance(error, TimeoutError) else "mail_server_away",
            error_message="The mail server does not answer as it should.",
            is_hosts=True,
        )
    return AttemptResult(time.monotonic() - began)


def _refused(began: float, code: str, message: str, status: int) -> AttemptResult:
    # A login that is refused is the operators' to mend, and mended it is for all.
    is_permanent = status >= _PERMANENT and code != "login_refused"
    return AttemptResult(
        time.monotonic() - began,
        status_code=status or None,
        error_code=code,
        error_message=f"{message} It answered {status}." if status else message,
        is_permanent=is_permanent,
        is_hosts=not is_permanent,
    )


def _message(delivery: Delivery, notice: Notice) -> EmailMessage:
    subject = " ".join(f"[agentplatform] {notice.title}".split())
    return EmailMessage(
        subject,
        _text(notice),
        settings.DEFAULT_FROM_EMAIL,
        [delivery.email],
        # The same for every attempt: who gets it twice can tell.
        headers={"Message-ID": f"<{delivery.pk}@agentplatform>", "Auto-Submitted": "auto-generated"},
    )


def _text(notice: Notice) -> str:
    facts: Mapping[str, Any] = {
        **notice.data,
        "notice": notice.pk,
        "code": notice.code,
        "severity": notice.severity,
        "at": notice.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    if notice.tenant is not None:
        facts = {"tenant": notice.tenant.name, **facts}
    lines = [f"{name}: {value}" for name, value in facts.items() if not isinstance(value, dict | list)]
    return "\n".join([notice.message, "", *lines, ""])
