"""Reads of notices, endpoints and deliveries."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from apps.notifications.models import Audience, Delivery, Endpoint, Notice
from apps.tenants.models import Tenant

MAX_UNREAD = 99


def notices_of(tenant: Tenant) -> QuerySet[Notice]:
    """What a tenant has been told."""
    return Notice.objects.filter(tenant=tenant, audience__in=[Audience.TENANT, Audience.BOTH])


def unread_count() -> int:
    """How many notices no operator has acknowledged; counted no further than MAX_UNREAD."""
    unread = Notice.objects.filter(acknowledged_at=None, audience__in=[Audience.OPERATORS, Audience.BOTH])
    return len(unread.order_by().values_list("pk")[:MAX_UNREAD])


def endpoints_of(tenant: Tenant) -> QuerySet[Endpoint]:
    """A tenant's webhook endpoints."""
    return Endpoint.objects.filter(tenant=tenant)


def deliveries_of(endpoint: Endpoint) -> QuerySet[Delivery]:
    """What was sent to an endpoint, with every attempt."""
    return Delivery.objects.filter(endpoint=endpoint).prefetch_related("log")


def webhook_delivery_of(tenant: Tenant, delivery_id: uuid.UUID) -> Delivery | None:
    """One of a tenant's deliveries by webhook, with its endpoint; None when there is none of the id."""
    theirs = Delivery.objects.filter(tenant=tenant, channel=Delivery.Channel.WEBHOOK)
    return theirs.select_related("endpoint").filter(pk=delivery_id).first()
