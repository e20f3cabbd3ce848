"""A TCP proxy whose connections can be made to go silent, as when the other side vanishes without a word."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CHUNK = 65_536


class Proxy:
    """Forwards connections on a port of its own to `target`: a Unix socket's path, or (host, port)."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._pairs: list[_Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> int:
        """The connections there are now stay open and carry nothing any more; new ones work. Returns how many."""
        open_pairs = [pair for pair in self._pairs if pair.is_open]
        for pair in open_pairs:
            pair.is_silent = True
        return len(open_pairs)

    def close(self) -> None:
        """Ends everything."""
        self._listener.close()
        for pair in self._pairs:
            pair.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener has been closed
            while True:
                client, _ = self._listener.accept()
                pair = _Pair(client, self._target)
                self._pairs.append(pair)
                threading.Thread(target=pair.run, daemon=True).start()


class _Pair:
    """A client's connection and the one to the server."""

    def __init__(self, client: socket.socket, target: str | tuple[str, int]) -> None:
        self._client = client
        self._target = target
        self._server: socket.socket | None = None
        self.is_silent = False
        self.is_open = True

    def run(self) -> None:
        try:
            self._server = _connected(self._target)
            self._forward(self._server)
        except OSError:
            pass
        finally:
            self.close()

    def _forward(self, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, self._client)
            while True:
                for key, _ in selector.select(timeout=0.5):
                    source: Any = key.fileobj
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    if not self.is_silent:
                        key.data.sendall(data)

    def close(self) -> None:
        self.is_open = False
        for end in (self._client, self._server):
            if end is not None:
                end.close()


def _connected(target: str | tuple[str, int]) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(target)
    return connection


@contextmanager
def proxied(target: str | tuple[str, int]) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
