"""The embedder: one process that holds the model and answers over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentplatform.embedding.batching import MicroBatcher, TooManyWaiting
from agentplatform.embedding.model import EmbeddingModel
from agentplatform.embedding.vectors import DIMENSIONS, MAX_TOKENS, MODEL_NAME, Purpose

MAX_TEXTS = 256
MAX_BODY_BYTES = 8 * 1024 * 1024

logger = logging.getLogger(__name__)


def create_app(model: EmbeddingModel) -> Starlette:
    """`POST /embed {"texts": [...], "purpose": "question"|"passage"}` → `{"model", "vectors": [[384 numbers]]}`."""
    batcher = MicroBatcher(model)

    async def embed(request: Request) -> Response:
        try:
            texts, purpose = _parse(await request.body())
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        asked = asyncio.ensure_future(batcher.embed(texts, purpose))
        gone = asyncio.ensure_future(_gone(request))
        await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not asked.done():
            asked.cancel()
            return _json({"error": "nobody waits for the answer"}, 499)
        try:
            return _json({"model": MODEL_NAME, "vectors": asked.result()})
        except TooManyWaiting:
            return _json({"error": "too many texts are waiting; try again in a while"}, 503)

    async def health(_: Request) -> Response:
        return _json({"model": MODEL_NAME, "dimensions": DIMENSIONS, "max_tokens": MAX_TOKENS})

    return Starlette(routes=[Route("/embed", embed, methods=["POST"]), Route("/healthz", health)])


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _parse(body: bytes) -> tuple[list[str], Purpose]:
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"at most {MAX_BODY_BYTES} bytes a request")
    document = orjson.loads(body)
    texts = document.get("texts") if isinstance(document, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("'texts' must be a list of strings")
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise ValueError(f"'texts' must hold 1 to {MAX_TEXTS} strings")
    return texts, Purpose(document.get("purpose", Purpose.PASSAGE))


def _json(document: object, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def run_server(path: Path, *, threads: int) -> int:
    """Serve on the Unix socket `path` until stopped; returns the exit status."""
    model = EmbeddingModel(threads=threads)
    model.embed(model.tokenize(["The first run allocates what later ones use."]))
    listener = _listen(path)
    inode = path.stat().st_ino
    sys.stdout.write(f"embedder: {MODEL_NAME}, {DIMENSIONS} dimensions, on {path}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        create_app(model), lifespan="off", access_log=False, log_level="warning", timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run(sockets=[listener])
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:  # another embedder may have taken its place
            path.unlink()
    return 0


def _listen(path: Path) -> socket.socket:
    """A socket for its owner alone, in place of one that a killed process left."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(1024)
    return listener
