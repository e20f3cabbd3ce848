"""Reads of notices, endpoints and deliveries."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.notifications.models import Audience, Notice
from apps.tenants.models import Tenant

MAX_UNREAD = 99


def notices_of(tenant: Tenant) -> QuerySet[Notice]:
    """What a tenant has been told."""
    return Notice.objects.filter(tenant=tenant, audience__in=[Audience.TENANT, Audience.BOTH])


def unread_count() -> int:
    """How many notices no operator has acknowledged; counted no further than MAX_UNREAD."""
    unread = Notice.objects.filter(acknowledged_at=None, audience__in=[Audience.OPERATORS, Audience.BOTH])
    return len(unread.order_by().values_list("pk")[:MAX_UNREAD])
