"""Lends workers of one queue to another, by Celery's remote control."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

from agentplatform.workflows.queueing import Move, QueueDemand, lending_moves
from apps.database import release_connection
from apps.workflows.models import QueueConfig
from apps.workflows.selectors import lendable_workers, queue_signals

logger = logging.getLogger(__name__)


def lend_workers() -> list[Move]:
    """Tells workers to serve another queue, where that is decided, and returns the moves.

    Whether they do shows in their heartbeats, which is what the next decision is made on: a message that is lost is
    sent again.
    """
    workers = lendable_workers()
    if not workers:
        return []
    moves = lending_moves(_demands(), workers)
    for move in moves:
        _tell(move)
    return moves


def _demands() -> list[QueueDemand]:
    shared = {signal.queue: signal for signal in queue_signals(counted=1) if signal.pool == "shared"}
    try:
        queues = list(QueueConfig.objects.all())
    finally:
        release_connection()
    return [
        QueueDemand(
            name=queue.name,
            priority=queue.priority,
            slot_wait_seconds=shared[queue.name].slot_wait_seconds,
            live_slots=shared[queue.name].slots,
            dedicated_slots=queue.dedicated_slots,
            lendable_slots=queue.lendable_slots,
            borrowable_slots=queue.borrowable_slots,
            borrow_after_seconds=queue.borrow_after_seconds,
        )
        for queue in queues
        if queue.name in shared
    ]


def _tell(move: Move) -> None:
    destination = [move.node]
    try:
        current_app.control.add_consumer(move.serve, destination=destination)
        for queue in sorted(move.leave):
            current_app.control.cancel_consumer(queue, destination=destination)
    except (BrokerError, OSError) as error:
        logger.warning("%s is not told to serve %s (%s)", move.node, move.serve, type(error).__name__)
        return
    left = f", and no longer {', '.join(sorted(move.leave))}" if move.leave else ""
    logger.info("%s serves %s%s", move.node, move.serve, left)
