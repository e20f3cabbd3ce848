"""Hints: the Celery messages that tell a worker which step to claim. They carry ids and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

RUN_STEP_TASK = "workflows.run_step"
FILE_LETTER_TASK = "workflows.file_dead_letter"


@dataclass(frozen=True, slots=True)
class Hint:
    """An admitted step, the attempt that may claim it, and the Celery queue of its workers."""

    step_id: UUID
    attempt: int
    workflow_id: UUID
    label: str
    celery_queue: str
    parent_task_id: str | None = None

    @property
    def task_id(self) -> str:
        """The Celery task id of this hint."""
        return task_id(self.step_id, self.attempt)


def task_id(step_id: UUID, attempt: int) -> str:
    """The Celery task id of an attempt: the same for every sending of its hint, and when there was none."""
    return f"{step_id}:{attempt}"


def send_hints(hints: Sequence[Hint]) -> None:
    """Sends hints. One that cannot be sent is sent again later: its row is the outbox."""
    if not hints:
        return
    with current_app.producer_or_acquire() as producer:
        for hint in hints:
            try:
                current_app.send_task(
                    RUN_STEP_TASK,
                    args=[str(hint.step_id), hint.attempt],
                    task_id=hint.task_id,
                    root_id=str(hint.workflow_id),
                    parent_id=hint.parent_task_id,
                    queue=hint.celery_queue,
                    shadow=hint.label,
                    ignore_result=True,
                    producer=producer,
                    retry=False,
                )
            except (BrokerError, OSError) as error:
                logger.warning("the broker takes no hints (%s); they are sent again", type(error).__name__)
                return


def send_letter_hint(letter_id: str) -> None:
    """Has a dead letter counted and told of. One that is lost is found by the sweep of unfiled letters."""
    try:
        current_app.send_task(
            FILE_LETTER_TASK, args=[letter_id], queue="dead_letter", ignore_result=True, retry=False
        )
    except (BrokerError, OSError) as error:
        logger.warning(
            "the broker takes no hint of dead letter %s (%s); it is filed later",
            letter_id,
            type(error).__name__,
        )
