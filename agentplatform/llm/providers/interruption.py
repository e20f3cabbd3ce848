"""Breaks off a request that a thread is blocked in, even before the first byte of its answer.

An HTTP client hands out a request's connection only with the response's headers, and closing a socket does not wake
the thread that reads from it. So every connection notes whose request was last written on it, and is shut down
when that call is interrupted.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any, cast

import httpcore2
import httpx2

from agentplatform.llm.model import CallContext

_thread = threading.local()


class RequestInFlight:
    """The one request that a thread makes in a `breaks_off` block; `sent` once some of it has gone out."""

    def __init__(self, context: CallContext) -> None:
        self.context = context
        self.sent = False


@contextlib.contextmanager
def breaks_off(context: CallContext) -> Iterator[RequestInFlight]:
    """While the block runs, `context.interrupt` ends the connection that this thread's request is on."""
    request = RequestInFlight(context)
    _thread.request = request
    try:
        yield request
    finally:
        _thread.request = None
        context.on_interrupt(None)


def make_interruptible(client: httpx2.Client) -> None:
    """Has all connections of `client` note whose request they carry."""
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            # The pool takes a network backend, but no public argument of a transport leads to it.
            pool = cast(Any, transport)._pool
            pool._network_backend = _Backend(pool._network_backend)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    """A connection: whoever writes on it last is the one for whom it may be shut down."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self._request: RequestInFlight | None = None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        request: RequestInFlight | None = getattr(_thread, "request", None)
        if request is not None and self._request is not request:
            self._request = request
            request.context.on_interrupt(lambda: self._shut_down(request))
        self._inner.write(buffer, timeout)
        if request is not None:
            request.sent = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _shut_down(self, request: RequestInFlight) -> None:
        if self._request is not request:
            return  # another call's request is on it by now
        connection = self._inner.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
