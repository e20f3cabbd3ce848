"""The embedder as its callers see it, in any process of the same machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx2
import orjson

from agentplatform.embedding.vectors import MODEL_NAME, Purpose, Vector

BYPASS_SECONDS = 2.0
"""After a time-out no question is asked for this long, so that an embedder that hangs costs one, not one each."""
CONNECT_TIMEOUT_SECONDS = 0.5
QUESTION_TIMEOUT_SECONDS = 2.0
PASSAGES_TIMEOUT_SECONDS = 60.0
_ADDRESS = "http://embedder"


class EmbedderUnavailable(Exception):
    """There are no vectors now; go on without them, or try again in a few seconds."""


class EmbedderClient:
    """Asks the embedder at a Unix socket. One per process, shared by its threads."""

    def __init__(self, socket_path: str) -> None:
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=socket_path), base_url=_ADDRESS, trust_env=False
        )
        self._asks_again_at = 0.0

    def embed_question(self, text: str) -> Vector:
        """The vector of a text that somebody waits for. Raises EmbedderUnavailable, at once while bypassed."""
        if time.monotonic() < self._asks_again_at:
            raise EmbedderUnavailable("it has just let somebody wait in vain")
        started = time.monotonic()
        try:
            return self._embed([text], Purpose.QUESTION, QUESTION_TIMEOUT_SECONDS)[0]
        except EmbedderUnavailable:
            # One that is not there refuses at once, and is found again as soon as it is back.
            if time.monotonic() - started >= CONNECT_TIMEOUT_SECONDS:
                self._asks_again_at = time.monotonic() + BYPASS_SECONDS
            raise

    def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Vectors of at most 256 texts, in order; questions go first. Raises EmbedderUnavailable."""
        return self._embed(texts, Purpose.PASSAGE, PASSAGES_TIMEOUT_SECONDS)

    def answers(self) -> bool:
        """Whether the embedder is up, with the model that this code expects."""
        try:
            reply = self._client.get("/healthz", timeout=CONNECT_TIMEOUT_SECONDS)
            return reply.status_code == 200 and orjson.loads(reply.content)["model"] == MODEL_NAME
        except (httpx2.HTTPError, ValueError, KeyError):
            return False

    def _embed(self, texts: Sequence[str], purpose: Purpose, timeout_seconds: float) -> list[Vector]:
        body = orjson.dumps({"texts": list(texts), "purpose": purpose})
        timeout = httpx2.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
        try:
            reply = self._client.post("/embed", content=body, timeout=timeout)
        except httpx2.HTTPError as error:
            raise EmbedderUnavailable(type(error).__name__) from None
        if reply.status_code != 200:
            raise EmbedderUnavailable(f"it answered {reply.status_code}")
        answer = orjson.loads(reply.content)
        if answer["model"] != MODEL_NAME:
            raise EmbedderUnavailable(f"it serves {answer['model']}, not {MODEL_NAME}")
        vectors: list[Vector] = answer["vectors"]
        return vectors
