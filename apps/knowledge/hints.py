"""The Celery message that says there is something to embed. It carries nothing: the rows say what."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

EMBED_TASK = "knowledge.embed_pending"


def send_embedding_hint() -> None:
    """Wakes the maintenance workers. A hint that is lost costs a few seconds: a timer looks as well."""
    try:
        current_app.send_task(EMBED_TASK, queue="maintenance", ignore_result=True, retry=False)
    except (BrokerError, OSError) as error:
        logger.warning(
            "the broker takes no hints (%s); vectors are made a little later", type(error).__name__
        )
