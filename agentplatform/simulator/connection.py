"""One HTTP exchange over ASGI: reading a bounded body, waiting while the client stays, writing bytes."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from agentplatform.simulator.errors import ApiError

MAX_BODY_BYTES = 32 * 1024 * 1024


class ClientDisconnected(Exception):
    """The client closed the connection before its answer was complete."""


class Connection:
    """Reads and writes one request and response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.path: Mapping[str, Any] = scope.get("path_params") or {}
        self.request_id: str = scope["state"]["request_id"]
        self.response_started = False
        self._receive = receive
        self._send = send

    async def read_body(self, largest: int = MAX_BODY_BYTES) -> bytes:
        """Return the body; raises a 413 `request_too_large` above 32 MB, or what is given."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > largest:
                raise ApiError(413, f"Request exceeds the maximum size of {largest} bytes")
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def sleep(self, seconds: float) -> None:
        """Wait; raises ClientDisconnected as soon as the client goes away.

        Once the body is read, the next message can only be the disconnect, so waiting for it with a timeout
        is the sleep.
        """
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._receive()
        except TimeoutError:
            return
        raise ClientDisconnected

    async def start(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        fields = {"content-type": content_type, **headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        self.response_started = True
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def send_json(self, status: int, body: object, headers: Mapping[str, str]) -> None:
        """Send a whole JSON response."""
        data = orjson.dumps(body)
        await self.start(status, "application/json", {**headers, "content-length": str(len(data))})
        await self.write(data, last=True)
