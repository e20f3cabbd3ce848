"""The Celery messages that say there is something to embed, or to summarise. They carry nothing: the rows say what."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

EMBED_TASK = "knowledge.embed_pending"
SUMMARISE_TASK = "maintenance.summarise_sessions"


def send_embedding_hint() -> None:
    """Wakes the maintenance workers. A hint that is lost costs a few seconds: a timer looks as well."""
    _send(EMBED_TASK, "vectors are made")


def send_summary_hint() -> None:
    """Says that some session is due to be summarised; the same holds."""
    _send(SUMMARISE_TASK, "sessions are summarised")


def _send(task: str, what: str) -> None:
    try:
        current_app.send_task(task, queue="maintenance", ignore_result=True, retry=False)
    except (BrokerError, OSError) as error:
        logger.warning("the broker takes no hints (%s); %s a little later", type(error).__name__, what)
