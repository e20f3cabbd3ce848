"""Celery tasks of the knowledge base."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from apps.knowledge.embedding import embed_pending
from apps.knowledge.hints import EMBED_TASK, send_embedding_hint
from apps.knowledge.turn_embedding import embed_pending_turns


@shared_task(name=EMBED_TASK, ignore_result=True)
def embed(**_: Any) -> None:
    """Makes the vectors of passages that have none, for some seconds; goes on in another task if any are left."""
    if embed_pending():
        send_embedding_hint()


@shared_task(name="knowledge.embed_pending_turns", ignore_result=True)
def embed_turns(**_: Any) -> None:
    """Makes the vectors of what was said in sessions, for some seconds."""
    embed_pending_turns()
