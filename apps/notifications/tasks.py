"""Celery tasks: what is due is delivered on threads of the process, so these return at once."""

from __future__ import annotations

import uuid
from typing import Any

from celery import shared_task

from apps.notifications.deliveries import deliveries_start, deliveries_sweep
from apps.notifications.hints import DELIVER_TASK


@shared_task(name=DELIVER_TASK, ignore_result=True)
def deliver(delivery_id: str, **_: Any) -> None:
    """Starts a delivery that was hinted at."""
    deliveries_start(uuid.UUID(delivery_id))


@shared_task(name="maintenance.sweep_deliveries", ignore_result=True)
def sweep_deliveries(**_: Any) -> None:
    """Starts what is due: retries, what a workflow's end has left, and what no hint came for."""
    deliveries_sweep()
