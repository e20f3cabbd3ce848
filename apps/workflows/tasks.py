"""Celery tasks. Hints on the step queues carry ids only; everything else is upkeep."""

from __future__ import annotations

import uuid
from typing import Any

from celery import shared_task

from apps.workflows.hints import RUN_STEP_TASK
from apps.workflows.maintenance import purge_expired_records
from apps.workflows.worker import executor, raise_for_outcome


@shared_task(name=RUN_STEP_TASK, ignore_result=True)
def run_step(step_id: str, attempt: int, **_: Any) -> None:
    """Runs the step of a hint, and those that admission lets follow it."""
    outcomes = executor().run(uuid.UUID(step_id), attempt)
    raise_for_outcome(outcomes)


@shared_task(name="maintenance.purge_expired_records", ignore_result=False)
def purge_expired(**_: Any) -> dict[str, int]:
    """Deletes records that nothing reads any more; returns how many of each."""
    return purge_expired_records()
