"""Upkeep: what is deleted, and when."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from apps.gateway.cache_services import answers_expire
from apps.notifications.services import notifications_purge
from apps.workflows.models import Heartbeat, IdempotencyKey
from apps.workflows.schedule_times import times_purge
from apps.workflows.services import IDEMPOTENCY_HOURS


def purge_expired_records() -> dict[str, int]:
    """Deletes idempotency keys past their 24 hours, heartbeats a day old, old notices, answers long expired, and times
    that no schedule has any longer.

    Returns how many of each.
    """
    keys, _ = IdempotencyKey.objects.filter(
        created_at__lt=Now() - timedelta(hours=IDEMPOTENCY_HOURS)
    ).delete()
    beats, _ = Heartbeat.objects.filter(beat_at__lt=Now() - timedelta(days=1)).delete()
    return {
        "idempotency_keys": keys,
        "heartbeats": beats,
        "schedule_times": times_purge(),
        **notifications_purge(),
        **answers_expire(),
    }
