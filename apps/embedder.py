"""This process's client of the embedder, and the vectors of questions, which are kept for a while."""

from __future__ import annotations

import functools
import uuid

from django.conf import settings

from agentplatform.embedding.client import QUESTION_TIMEOUT_SECONDS, EmbedderClient, EmbedderUnavailable
from agentplatform.embedding.vectors import MODEL_NAME, Vector
from agentplatform.execution.deadlines import Deadline
from apps.context_cache import context_cache


@functools.cache
def embedder() -> EmbedderClient:
    """The embedder of this machine, shared by the threads of this process."""
    return EmbedderClient(settings.EMBEDDER_SOCKET)


def question_vector(
    tenant_id: uuid.UUID, text: str, *, timeout_seconds: float | None = None
) -> Vector | None:
    """The vector of a tenant's text within about `timeout_seconds`; None while the embedder does not answer in time.

    White space makes no difference. Hold no database connection meanwhile.
    """
    asked = " ".join(text.split())
    given_seconds = timeout_seconds or QUESTION_TIMEOUT_SECONDS
    deadline = Deadline.after(given_seconds)

    def make() -> Vector:
        left = None if timeout_seconds is None else max(0.001, deadline.seconds_left)
        return embedder().embed_question(asked, timeout_seconds=left)

    try:
        vector: Vector = context_cache().get_or_make(
            "question_vector",
            tenant_id,
            {"model": MODEL_NAME, "text": asked},
            make,
            wait_seconds=given_seconds / 2,
        )
    except EmbedderUnavailable:
        return None
    return vector
