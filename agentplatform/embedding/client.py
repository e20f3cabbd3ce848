"""The embedder as its callers see it, in any process of the same machine."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
import orjson

from agentplatform.embedding.vectors import MODEL_NAME, Purpose, Vector
from agentplatform.execution.circuit import CircuitBreaker, CircuitOpen, CircuitPolicy, LocalCircuits

BYPASS_SECONDS = 2.0
BYPASS = CircuitPolicy(failures=1, open_seconds=BYPASS_SECONDS, probe_seconds=5.0)
"""One that hangs costs one time-out, not one each. One that is not there refuses at once, which costs nothing."""
CONNECT_TIMEOUT_SECONDS = 0.5
QUESTION_TIMEOUT_SECONDS = 2.0
PASSAGES_TIMEOUT_SECONDS = 60.0
_ADDRESS = "http://embedder"


class EmbedderUnavailable(Exception):
    """There are no vectors now; go on without them, or try again in a few seconds."""


class EmbedderTimeout(EmbedderUnavailable):
    """It has let somebody wait in vain."""


class EmbedderClient:
    """Asks the embedder at a Unix socket. One per process, shared by its threads."""

    def __init__(self, socket_path: str) -> None:
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=socket_path), base_url=_ADDRESS, trust_env=False
        )
        self._circuit = CircuitBreaker(LocalCircuits(), BYPASS)

    def embed_question(self, text: str, timeout_seconds: float | None = None) -> Vector:
        """The vector of a text that somebody waits for. Raises EmbedderUnavailable, at once while bypassed.

        Who is in a hurry says so with `timeout_seconds`. In vain, it is bypassed by those alone who are: it may be
        quick enough for the others.
        """
        circuit = "embedder" if timeout_seconds is None else "embedder, in a hurry"
        timeout = QUESTION_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        try:
            with self._circuit.guard(circuit, trips=lambda error: isinstance(error, EmbedderTimeout)):
                return self._embed([text], Purpose.QUESTION, timeout)[0]
        except CircuitOpen as error:
            raise EmbedderUnavailable(str(error)) from None

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
        except httpx2.TimeoutException:
            raise EmbedderTimeout(f"no answer within {timeout_seconds:g} s") from None
        except httpx2.HTTPError as error:
            raise EmbedderUnavailable(type(error).__name__) from None
        if reply.status_code != 200:
            raise EmbedderUnavailable(f"it answered {reply.status_code}")
        answer = orjson.loads(reply.content)
        if answer["model"] != MODEL_NAME:
            raise EmbedderUnavailable(f"it serves {answer['model']}, not {MODEL_NAME}")
        vectors: list[Vector] = answer["vectors"]
        return vectors
