"""The Celery message that says there is something to deliver. The row is the outbox, so a message may be lost."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

DELIVER_TASK = "maintenance.deliver"


def send_delivery_hints(delivery_ids: Iterable[uuid.UUID]) -> None:
    """Hints at deliveries that are due now. What is not hinted at is found by the sweep."""
    for delivery_id in delivery_ids:
        try:
            current_app.send_task(
                DELIVER_TASK, args=[str(delivery_id)], queue="maintenance", ignore_result=True, retry=False
            )
        except (BrokerError, OSError) as error:
            logger.warning(
                "the broker takes no hints (%s); deliveries are made a little later", type(error).__name__
            )
            return
