"""Deliveries are made: taken, attempted, recorded. Any number of processes may do this at once.

A delivery is taken by a lease and recorded by it: what is claimed is at-least-once. No transaction and no database
connection is held while somebody is called. A process makes its attempts on threads of its own, so that an endpoint
that hangs keeps no other task waiting.
"""

from __future__ import annotations

import logging
import random
import threading
import traceback
import uuid
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from agentplatform.execution.circuit import Admission
from agentplatform.notifications.delivery import GONE, AttemptResult, decide_next_step, delivery_policy
from agentplatform.outbound.resolving import Resolve, resolve_host
from apps.database import OUTAGE_ERRORS, call_function, release_connection
from apps.notifications.circuits import breaker, circuit_key
from apps.notifications.endpoints import ENDPOINT_GONE, endpoint_disable
from apps.notifications.models import Delivery, DeliveryAttempt, Endpoint
from apps.notifications.resolving import address_rules
from apps.notifications.secrets import SecretUnreadable
from apps.notifications.services import NO_MAIL_SERVER
from apps.notifications.signing import current_secrets, signed_headers, webhook_body

LEASE_SECONDS = 60.0
"""Longer than any attempt: names are resolved, then an answer is waited for."""

ENDPOINT_SLOTS, TENANT_SLOTS, EMAIL_SLOTS = 3, 6, 4
"""So many attempts are made at once to one endpoint, for one tenant, and by e-mail."""

logger = logging.getLogger(__name__)

_places = threading.BoundedSemaphore(settings.DELIVERY_SLOTS)


def deliveries_start(first: uuid.UUID | None = None) -> None:
    """Has what is due delivered in the background, a hinted delivery first; returns at once."""
    if _places.acquire(blocking=False):
        threading.Thread(target=_work, args=(first,), name="deliveries", daemon=True).start()


def deliveries_sweep() -> int:
    """Starts as much work as is due and there is room for: hints may be lost. Returns how much was due."""
    due = Delivery.objects.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=Now()).order_by()
    try:
        count = len(due.values_list("pk")[: settings.DELIVERY_SLOTS])
    finally:
        release_connection()
    for _ in range(count):
        deliveries_start()
    return count


def deliveries_work(first: uuid.UUID | None = None, resolve: Resolve = resolve_host) -> int:
    """Makes one attempt after the other until nothing is due; returns how many deliveries it took."""
    count = 0
    taken = (delivery_take(first) if first else None) or delivery_take()
    while taken is not None:
        delivery_attempt(*taken, resolve)
        count += 1
        taken = delivery_take()
    return count


def delivery_take(delivery_id: uuid.UUID | None = None) -> tuple[uuid.UUID, int] | None:
    """The id and the lease of what has been due for longest, or of this delivery; None if it is not due."""
    arguments = [delivery_id, LEASE_SECONDS, ENDPOINT_SLOTS, TENANT_SLOTS, EMAIL_SLOTS]
    rows = call_function("notifications_take", arguments, ["uuid", "float", "int", "int", "int"])
    return rows[0] if rows else None


def delivery_attempt(delivery_id: uuid.UUID, lease: int, resolve: Resolve = resolve_host) -> None:
    """Makes one attempt at a delivery that was taken with this lease, unless its host's circuit is open."""
    try:
        found = Delivery.objects.select_related("endpoint", "notice__tenant")
        delivery = found.filter(pk=delivery_id, lease=lease).first()
        if delivery is None or _skipped(delivery):
            return
        release_connection()
        key = circuit_key(delivery)
        admission = breaker().admit(key)
        if not admission.passes:
            _postpone(delivery, admission.retry_after_seconds)
            return
        result = _send(delivery, resolve)
        _tell_circuit(key, admission, result)
        _record(delivery, result)
    finally:
        release_connection()


def _work(first: uuid.UUID | None) -> None:
    try:
        deliveries_work(first)
    except OUTAGE_ERRORS as error:
        logger.warning("the database does not answer (%s); deliveries go on later", type(error).__name__)
    except Exception as error:  # noqa: BLE001 - its text may quote what was sent
        trace = "".join(traceback.format_tb(error.__traceback__))
        logger.error("unexpected %s in a delivery, which is tried again\n%s", type(error).__name__, trace)
    finally:
        _places.release()


def _skipped(delivery: Delivery) -> bool:
    """Whether there is nobody to deliver to any more; that is recorded."""
    if delivery.channel == Delivery.Channel.EMAIL:
        reason = "" if settings.EMAIL_HOST else NO_MAIL_SERVER
    elif delivery.endpoint is None:
        reason = ENDPOINT_GONE
    else:
        reason = "" if delivery.endpoint.is_enabled else "Its endpoint is disabled."
    if reason:
        _update(delivery, status=Delivery.Status.SKIPPED, reason=reason, finished_at=Now(), leased_until=None)
    return bool(reason)


def _send(delivery: Delivery, resolve: Resolve) -> AttemptResult:
    if delivery.endpoint is None:
        # Loaded by those alone that send: every worker imports this module.
        from apps.notifications.mail import send_mail

        assert delivery.notice is not None
        return send_mail(delivery, delivery.notice)
    from apps.notifications.posting import post

    body = webhook_body(delivery)
    try:
        secrets = current_secrets(delivery.endpoint, datetime.now(UTC))
    except SecretUnreadable as error:
        return AttemptResult(0.0, error_code="secret_unreadable", error_message=str(error))
    return post(
        delivery.endpoint.url,
        body,
        signed_headers(secrets, delivery.event_id, body),
        rules=address_rules(),
        resolve=resolve,
        timeout_seconds=settings.WEBHOOK_TIMEOUT_SECONDS,
    )


def _tell_circuit(key: str, admission: Admission, result: AttemptResult) -> None:
    if result.is_hosts:
        breaker().failed(key, admission, result.error_code)
    elif admission.probes:
        breaker().succeeded(key)


def _postpone(delivery: Delivery, seconds: float) -> None:
    """Nothing due for the same destination is tried before its circuit lets somebody pass; no attempt is counted."""
    later = Now() + timedelta(seconds=seconds)
    _update(delivery, next_attempt_at=later, leased_until=None)
    same = Q(endpoint_id=delivery.endpoint_id) if delivery.endpoint_id else Q(channel=delivery.channel)
    waiting = Delivery.objects.filter(same, status=Delivery.Status.PENDING, next_attempt_at__lt=later)
    waiting.filter(Q(leased_until=None) | Q(leased_until__lte=Now())).update(next_attempt_at=later)


def _record(delivery: Delivery, result: AttemptResult) -> None:
    """Stores how an attempt ended, what becomes of the delivery, and how its endpoint fares; by the lease alone."""
    step = decide_next_step(
        result,
        delivery_policy(settings.DELIVERY_RETRY_SECONDS),
        attempts=delivery.attempts + 1,
        jitter=random.random(),
    )
    ended = Delivery.Status.DELIVERED if result.is_delivered else Delivery.Status.FAILED
    with transaction.atomic():
        is_held = _update(
            delivery,
            status=ended if step.has_ended else Delivery.Status.PENDING,
            reason=result.error_message,
            attempts=F("attempts") + 1,
            next_attempt_at=Now() + timedelta(seconds=step.delay_seconds),
            leased_until=None,
            finished_at=Now() if step.has_ended else None,
        )
        if not is_held:
            return
        DeliveryAttempt.objects.create(
            delivery=delivery,
            started_at=datetime.now(UTC) - timedelta(seconds=result.duration_seconds),
            duration_seconds=result.duration_seconds,
            status_code=result.status_code,
            error_code=result.error_code,
            error_message=result.error_message,
            response_excerpt=result.response_excerpt,
        )
        if delivery.endpoint is not None:
            _note_health(delivery.endpoint, result)


def _note_health(endpoint: Endpoint, result: AttemptResult) -> None:
    """One that wants no more, or has failed for days without a success, is disabled."""
    this = Endpoint.objects.filter(pk=endpoint.pk)
    if result.is_delivered:
        this.filter(failing_since__isnull=False).update(failing_since=None)
        return
    this.filter(failing_since=None).update(failing_since=Now())
    patience = timedelta(seconds=settings.WEBHOOK_DISABLE_AFTER_SECONDS)
    if result.status_code == GONE:
        endpoint_disable(endpoint, "It answered 410 Gone.")
        return
    since = this.filter(failing_since__lte=Now() - patience).values_list("failing_since", flat=True).first()
    if since is not None:
        endpoint_disable(endpoint, f"It has failed since {since:%Y-%m-%d %H:%M} UTC.")


def _update(delivery: Delivery, **fields: object) -> bool:
    """Changes a delivery that is still held by its lease; returns whether it was."""
    held = Delivery.objects.filter(pk=delivery.pk, lease=delivery.lease, status=Delivery.Status.PENDING)
    return held.update(**fields) == 1
