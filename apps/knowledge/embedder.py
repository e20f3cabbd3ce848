"""This process's client of the embedder."""

from __future__ import annotations

import functools

from django.conf import settings

from agentplatform.embedding.client import EmbedderClient


@functools.cache
def embedder() -> EmbedderClient:
    """The embedder of this machine, shared by the threads of this process."""
    return EmbedderClient(settings.EMBEDDER_SOCKET)
