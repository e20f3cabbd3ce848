"""Checked connections for asynchronous clients: the same addresses are refused, and answers have an end."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any

import anyio.to_thread
import httpcore2
import httpx2

from agentplatform.outbound.addresses import AddressRules
from agentplatform.outbound.resolving import NameUnknown, Resolve


class AnswerTooLarge(httpx2.TransportError):
    """The other side sends more than is read, or packs what it sends."""


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """Connects to checked addresses alone; all that is read over it together has at most `max_bytes`.

    Deadlines are the caller's, who cancels. No proxy is used, and no redirect is followed to another address unchecked:
    every connection is checked.
    """

    def __init__(self, rules: AddressRules, resolve: Resolve, *, max_bytes: int) -> None:
        super().__init__(trust_env=False)
        self._left = max_bytes
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(), network_backend=_CheckedBackend(rules, resolve)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise AnswerTooLarge("the answer is packed, though it was asked not to be")
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(stream, self)
        return response

    def spend(self, size: int) -> None:
        """Counts bytes that have come. Raises AnswerTooLarge."""
        self._left -= size
        if self._left < 0:
            raise AnswerTooLarge("the answer is larger than what is read")


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, transport: CheckedTransport) -> None:
        self._inner = inner
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._transport.spend(len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, rules: AddressRules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await anyio.to_thread.run_sync(self._resolve, host, port, abandon_on_cancel=True)
        self._rules.check(addresses)
        error: Exception = NameUnknown()
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failure:
                error = failure
        raise error

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()
