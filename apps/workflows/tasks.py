"""Celery tasks. Hints on the step queues carry ids only; everything else is upkeep."""

from __future__ import annotations

import uuid
from typing import Any

from celery import shared_task

from apps.knowledge.hints import SUMMARISE_TASK
from apps.workflows.batching import batches_advance
from apps.workflows.cache_checks import checks_advance
from apps.workflows.dead_letters import dead_letters_file, dead_letters_sweep
from apps.workflows.hints import FILE_LETTER_TASK, RUN_STEP_TASK
from apps.workflows.maintenance import purge_expired_records
from apps.workflows.reconciling import books_watch
from apps.workflows.schedules import START_TASK, schedule_fire
from apps.workflows.session_forgetting import sessions_upkeep
from apps.workflows.session_summaries import summaries_advance
from apps.workflows.worker import executor


# Its events are those of the steps it runs (apps.workflows.reports), so Celery sends none for the hint itself.
@shared_task(name=RUN_STEP_TASK, ignore_result=True, send_events=False)
def run_step(step_id: str, attempt: int, **_: Any) -> None:
    """Runs the step of a hint, and those that admission lets follow it."""
    executor().run(uuid.UUID(step_id), attempt)


@shared_task(name=FILE_LETTER_TASK, ignore_result=True)
def file_dead_letter(letter_id: str, **_: Any) -> None:
    """Counts a dead letter in its group, and tells of the group if it is new."""
    dead_letters_file([uuid.UUID(letter_id)])


@shared_task(name="workflows.sweep_dead_letters", ignore_result=True)
def sweep_dead_letters(**_: Any) -> None:
    """Files the dead letters whose hint was lost."""
    dead_letters_sweep()


@shared_task(name=START_TASK, ignore_result=True)
def start_scheduled(schedule_id: str, **_: Any) -> None:
    """Starts the run of a schedule that is due."""
    schedule_fire(uuid.UUID(schedule_id))


@shared_task(name="maintenance.advance_batches", ignore_result=True)
def advance_batches(**_: Any) -> None:
    """Sends the batches that are due, asks after those at a provider, and settles what has come back."""
    batches_advance()


@shared_task(name="maintenance.check_cached_answers", ignore_result=True)
def check_cached_answers(**_: Any) -> None:
    """Has hits by meaning answered live, in the background, and gives up checks that came to nothing."""
    checks_advance()


@shared_task(name=SUMMARISE_TASK, ignore_result=True)
def summarise_sessions(**_: Any) -> None:
    """Starts summaries of the older turns of sessions that have grown large."""
    summaries_advance()


@shared_task(name="maintenance.forget_sessions", ignore_result=False)
def forget_sessions(**_: Any) -> dict[str, int]:
    """Forgets sessions and turns that their tenants keep no longer; returns how many of each."""
    return sessions_upkeep()


@shared_task(name="maintenance.reconcile", ignore_result=False)
def reconcile(**_: Any) -> int:
    """Holds what is counted against the ledger, and tells operators if it differs; returns in how many places."""
    return books_watch()


@shared_task(name="maintenance.purge_expired_records", ignore_result=False)
def purge_expired(**_: Any) -> dict[str, int]:
    """Deletes records that nothing reads any more; returns how many of each."""
    return purge_expired_records()
