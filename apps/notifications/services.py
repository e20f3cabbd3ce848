"""Writes of notices. PostgreSQL is the outbox: a notice and its deliveries are stored in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.database import from_jsonb, to_jsonb
from apps.notifications.event_types import COST_DIGEST
from apps.notifications.hints import send_delivery_hints
from apps.notifications.models import Audience, Delivery, Endpoint, Notice, Recipient, Severity
from apps.tenants.models import User

NO_MAIL_SERVER = "No mail is sent: EMAIL_HOST is not set."
OPERATORS_MIN_SEVERITY = Severity.WARNING
"""Below this nothing is sent to OPERATOR_EMAILS but a digest; a recipient in the admin chooses."""

MAX_PURGED = 20_000
"""How many rows of a kind are deleted at a time."""

_SEVERITIES: list[str] = Severity.values


def notify(
    *,
    code: str,
    severity: str,
    title: str,
    message: str,
    audience: str,
    tenant_id: uuid.UUID | None = None,
    data: Mapping[str, Any] | None = None,
    dedup_key: str | None = None,
) -> Notice | None:
    """Tells a tenant, the operators or both; None when a notice of that `dedup_key` was made before.

    The notice is stored with its deliveries in one transaction, the caller's own if there is one, and goes out after
    the commit. `code` names the event, such as `budget.threshold`. `data` and texts hold ids and numbers, never
    anything of a prompt or output. Raises ValueError for a severity or audience that is none, and for a tenant's
    notice without a tenant.
    """
    if severity not in Severity.values or audience not in Audience.values:
        raise ValueError(f"there is no severity '{severity}' or no audience '{audience}'")
    if audience != Audience.OPERATORS and tenant_id is None:
        raise ValueError("a notice for a tenant needs tenant_id")
    notice = Notice(
        tenant_id=tenant_id,
        audience=audience,
        code=code,
        severity=severity,
        title=title.replace("\x00", "")[:200],
        message=message.replace("\x00", ""),
        # Ids and times become text here, so that webhooks say the same as the notice.
        data=from_jsonb(to_jsonb(dict(data or {}))),
        dedup_key=dedup_key,
    )
    with transaction.atomic():
        try:
            with transaction.atomic():
                notice.save(force_insert=True)
        except IntegrityError:
            if dedup_key is None:
                raise
            return None
        notice.refresh_from_db(fields=["created_at"])
        deliveries = Delivery.objects.bulk_create([*_webhooks(notice), *_emails(notice)])
        due = [one.pk for one in deliveries if one.status == Delivery.Status.PENDING]
        transaction.on_commit(partial(send_delivery_hints, due))
    return notice


def notices_acknowledge(notice_ids: Sequence[uuid.UUID], user: User) -> list[Notice]:
    """Marks notices as seen by operators; returns those that were not before."""
    with transaction.atomic():
        unread = Notice.objects.filter(pk__in=notice_ids, acknowledged_at=None)
        found = list(unread.select_for_update(no_key=True))
        Notice.objects.filter(pk__in=[notice.pk for notice in found]).update(
            acknowledged_at=Now(), acknowledged_by=user
        )
    return found


def notifications_purge() -> dict[str, int]:
    """Deletes notices, and deliveries that ended, once they are as old as is kept; returns how many of each."""
    kept = timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)
    deliveries = Delivery.objects.filter(finished_at__lt=Now() - kept)
    notices = Notice.objects.filter(created_at__lt=Now() - kept)
    # What is still under way keeps its notice.
    notices = notices.exclude(deliveries__status=Delivery.Status.PENDING)
    return {"deliveries": _delete_some(deliveries), "notices": _delete_some(notices)}


def _delete_some(rows: QuerySet[Any]) -> int:
    """Deletes no more than is quick; the rest goes the next times."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:MAX_PURGED])
    _, counts = rows.model.objects.filter(pk__in=ids).delete()
    return int(counts.get(rows.model._meta.label, 0))


def _webhooks(notice: Notice) -> list[Delivery]:
    endpoints = Endpoint.objects.filter(_of_audience(notice), is_enabled=True)
    wanted = endpoints.filter(Q(events=[]) | Q(events__contains=[notice.code]))
    return [
        Delivery(
            tenant_id=endpoint.tenant_id,
            notice=notice,
            endpoint=endpoint,
            channel=Delivery.Channel.WEBHOOK,
            event_type=notice.code,
            event_id=notice.pk,
            data=_event_data(notice),
        )
        for endpoint in wanted
    ]


def _emails(notice: Notice) -> list[Delivery]:
    rank = _SEVERITIES.index(notice.severity)
    recipients = Recipient.objects.filter(
        _of_audience(notice), is_enabled=True, min_severity__in=_SEVERITIES[: rank + 1]
    ).filter(Q(events=[]) | Q(events__contains=[notice.code]))
    addresses = [(recipient.tenant_id, recipient.email) for recipient in recipients]
    is_for_all = rank >= _SEVERITIES.index(OPERATORS_MIN_SEVERITY) or notice.code == COST_DIGEST
    if notice.audience != Audience.TENANT and is_for_all:
        known = {email.lower() for tenant_id, email in addresses if tenant_id is None}
        addresses += [(None, email) for email in settings.OPERATOR_EMAILS if email.lower() not in known]
    return [_email(notice, tenant_id, email) for tenant_id, email in addresses]


def _email(notice: Notice, tenant_id: uuid.UUID | None, email: str) -> Delivery:
    delivery = Delivery(
        tenant_id=tenant_id,
        notice=notice,
        channel=Delivery.Channel.EMAIL,
        email=email,
        event_type=notice.code,
        event_id=notice.pk,
    )
    if not settings.EMAIL_HOST:
        delivery.status = Delivery.Status.SKIPPED
        delivery.reason = NO_MAIL_SERVER
        delivery.finished_at = notice.created_at
    return delivery


def _of_audience(notice: Notice) -> Q:
    """What belongs to those whom the notice is for: the tenant's, the operators', or both."""
    owners: Sequence[Q] = (
        *([Q(tenant_id=notice.tenant_id)] if notice.audience != Audience.OPERATORS else []),
        *([Q(tenant=None)] if notice.audience != Audience.TENANT else []),
    )
    return owners[0] if len(owners) == 1 else owners[0] | owners[1]


def _event_data(notice: Notice) -> dict[str, Any]:
    return {
        **notice.data,
        "notice_id": str(notice.pk),
        "tenant_id": None if notice.tenant_id is None else str(notice.tenant_id),
        "severity": notice.severity,
        "title": notice.title,
        "message": notice.message,
    }
