"""Writes of webhook endpoints, and deliveries that are asked for by hand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.notifications.event_types import ENDPOINT_DISABLED, PING
from apps.notifications.hints import send_delivery_hints
from apps.notifications.models import Audience, Delivery, Endpoint, Severity
from apps.notifications.secrets import secret_encrypt, secret_make
from apps.notifications.services import notify
from apps.tenants.models import Tenant

MAX_ENDPOINTS = 20
"""How many endpoints a tenant may have."""
MAX_OVERLAP = timedelta(days=7)
DEFAULT_OVERLAP = timedelta(days=1)
"""How long the previous secret signs beside the new one, at most and unless something else is asked for."""
ENDPOINT_GONE = "Its endpoint has been deleted."


class TooManyEndpoints(ValueError):
    """The tenant has as many endpoints as it may."""


class EndpointOff(ValueError):
    """The endpoint is disabled: nothing is sent to it."""


class NotRedeliverable(ValueError):
    """The delivery cannot be made again; the text says why."""


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """An endpoint with a secret just made: `plaintext` is shown this once."""

    endpoint: Endpoint
    plaintext: str


def endpoint_create(
    *, tenant: Tenant | None, url: str, description: str = "", events: Sequence[str] = ()
) -> IssuedSecret:
    """A new endpoint of the tenant, or of the operators; its URL has been checked by the caller.

    Raises TooManyEndpoints.
    """
    plaintext = secret_make()
    with transaction.atomic():
        if tenant is not None:
            # One after the other, so that two at once do not pass the limit together.
            Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
            if Endpoint.objects.filter(tenant=tenant).count() >= MAX_ENDPOINTS:
                raise TooManyEndpoints(
                    f"A tenant may have {MAX_ENDPOINTS} endpoints; delete one that is not used."
                )
        endpoint = Endpoint.objects.create(
            tenant=tenant,
            url=url,
            description=description,
            events=list(events),
            secret=secret_encrypt(plaintext),
        )
    endpoint.refresh_from_db(fields=["created_at"])
    return IssuedSecret(endpoint, plaintext)


def endpoint_update(endpoint: Endpoint, fields: Mapping[str, Any]) -> Endpoint:
    """Changes url, description, events or is_enabled; enabled again, it has failed at nothing. Returns it as it is."""
    changes = dict(fields)
    if "is_enabled" in changes:
        changes |= {"failing_since": None, "disabled_reason": ""}
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(**changes)
        if changes.get("is_enabled") is False:
            _skip_pending(endpoint, "Its endpoint is disabled.")
    endpoint.refresh_from_db()
    return endpoint


def endpoint_delete(endpoint: Endpoint) -> None:
    """The endpoint is gone at once; what was sent to it stays in the operators' log until that is purged."""
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).delete()
        _skip_pending(endpoint, ENDPOINT_GONE)


def endpoint_rotate_secret(endpoint: Endpoint, *, overlap: timedelta = DEFAULT_OVERLAP) -> IssuedSecret:
    """A new secret; the old one signs beside it for `overlap` longer, so that receivers can change over."""
    plaintext = secret_make()
    with transaction.atomic():
        held = Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
        Endpoint.objects.filter(pk=held.pk).update(
            previous_secret=held.secret if overlap else "",
            previous_secret_expires_at=Now() + overlap if overlap else None,
            secret=secret_encrypt(plaintext),
        )
    endpoint.refresh_from_db()
    return IssuedSecret(endpoint, plaintext)


def endpoint_disable(endpoint: Endpoint, reason: str) -> None:
    """Sends nothing to a failing endpoint any more, and tells its owner; the second time nothing happens."""
    with transaction.atomic():
        enabled = Endpoint.objects.filter(pk=endpoint.pk, is_enabled=True)
        if not enabled.update(is_enabled=False, disabled_reason=reason):
            return
        _skip_pending(endpoint, "Its endpoint is disabled.")
        notify(
            code=ENDPOINT_DISABLED,
            severity=Severity.WARNING,
            title=f"A webhook endpoint is disabled: {endpoint}"[:200],
            message=f"{reason} Nothing is sent to it until it is enabled again; what it has missed can be redelivered.",
            audience=Audience.OPERATORS if endpoint.tenant_id is None else Audience.BOTH,
            tenant_id=endpoint.tenant_id,
            data={"endpoint_id": str(endpoint.pk)},
        )


def endpoint_ping(endpoint: Endpoint) -> Delivery:
    """Sends the event `ping` to one endpoint. Raises EndpointOff."""
    if not endpoint.is_enabled:
        raise EndpointOff("This endpoint is disabled; enable it first.")
    with transaction.atomic():
        delivery = Delivery.objects.create(
            tenant_id=endpoint.tenant_id,
            endpoint=endpoint,
            channel=Delivery.Channel.WEBHOOK,
            event_type=PING,
            event_id=uuid.uuid4(),
            data={"endpoint_id": str(endpoint.pk)},
        )
        transaction.on_commit(partial(send_delivery_hints, [delivery.pk]))
    delivery.refresh_from_db()
    return delivery


def delivery_redeliver(delivery: Delivery) -> None:
    """Has an ended delivery made again, with as many attempts as a new one; the event's id stays.

    The delivery comes with its endpoint (`select_related`), which may have been deleted.
    Raises NotRedeliverable.
    """
    if delivery.channel == Delivery.Channel.WEBHOOK:
        endpoint = delivery.endpoint
        if endpoint is None:
            raise NotRedeliverable(ENDPOINT_GONE)
        if not endpoint.is_enabled:
            raise NotRedeliverable("Its endpoint is disabled; enable it first.")
    ended = Delivery.objects.filter(pk=delivery.pk).exclude(status=Delivery.Status.PENDING)
    with transaction.atomic():
        again = ended.update(
            status=Delivery.Status.PENDING,
            reason="",
            attempts=0,
            lease=F("lease") + 1,
            next_attempt_at=Now(),
            leased_until=None,
            finished_at=None,
        )
        if not again:
            raise NotRedeliverable("It is still under way.")
        transaction.on_commit(partial(send_delivery_hints, [delivery.pk]))


def _skip_pending(endpoint: Endpoint, reason: str) -> None:
    pending = Delivery.objects.filter(endpoint_id=endpoint.pk, status=Delivery.Status.PENDING)
    pending.update(
        status=Delivery.Status.SKIPPED,
        reason=reason,
        finished_at=Now(),
        leased_until=None,
        lease=F("lease") + 1,
    )
