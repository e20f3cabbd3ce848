"""Refuses bodies over a set size before they are read, with a problem document."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from apps.api.errors import CONTENT_TYPE, problem_document

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN_BYTES = 32 * 1024 * 1024
_DRAIN_SECONDS = 10.0
"""How much of a refused body is read and thrown away, and for how long."""


class _TooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: 413 for a body over `max_bytes`, announced by its length or found while it comes in.

    `by_prefix` sets other limits for paths that begin so.
    """

    def __init__(
        self, application: Application, *, max_bytes: int, by_prefix: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._application = application
        self._max_bytes = max_bytes
        self._by_prefix = by_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        received = 0

        async def counted() -> Mapping[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLarge
            return message

        try:
            if self._announced(scope) > limit:
                raise _TooLarge
            await self._application(scope, counted, send)
        except _TooLarge:
            await self._refuse(limit, receive, send)

    def _limit(self, path: str) -> int:
        return next(
            (limit for prefix, limit in self._by_prefix.items() if path.startswith(prefix)), self._max_bytes
        )

    def _announced(self, scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0

    async def _refuse(self, limit: int, receive: Receive, send: Send) -> None:
        detail = f"The body is larger than {limit:,} bytes ({limit / 1024**2:g} MiB); send less, or in parts."
        body = orjson.dumps(problem_document(413, "body_too_large", detail))
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        # Closing on a client that still sends would reset the connection, and the answer could be lost with it.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_drain(receive), _DRAIN_SECONDS)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    drained = 0
    while drained < DRAIN_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
