"""A real server of the Model Context Protocol, of the official package, on loopback; and ways to have it misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations


@dataclass
class HarbourServer:
    """Its tools: `berth_of`, `book_berth` (not idempotent), `all_ships` (large), `slow_tide`, `broken`.

    `calls` are the tools that were called, `tokens` the bearer tokens that came.
    """

    port: int
    calls: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


@contextmanager
def harbour_server() -> Iterator[HarbourServer]:
    """The server for as long as the block runs."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    harbour = HarbourServer(listening.getsockname()[1])
    config = uvicorn.Config(_watched(_app(harbour), harbour), log_level="critical", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield harbour
    finally:
        harbour.released.set()
        server.should_exit = server.force_exit = True
        thread.join(5)
        listening.close()


def _app(harbour: HarbourServer) -> Any:
    server = MCPServer("harbour")

    @server.tool(
        description="Tells which berth a ship has, by the name of the ship.",
        annotations=ToolAnnotations(read_only_hint=True),
    )
    def berth_of(ship: str) -> dict[str, str]:
        harbour.calls.append("berth_of")
        return {"ship": ship, "berth": "B7"}

    @server.tool(description="Books a berth.")
    def book_berth(ship: str) -> str:
        harbour.calls.append("book_berth")
        return f"booked for {ship}"

    @server.tool(description="Lists all the ships.")
    def all_ships(megabytes: int) -> str:
        return "ship " * (megabytes * 200_000)

    @server.tool(description="Tells the tide, slowly.")
    def slow_tide() -> str:
        harbour.calls.append("slow_tide")
        harbour.released.wait(30)
        return "high"

    @server.tool(description="Breaks.")
    def broken() -> str:
        raise ValueError("the crane is broken")

    return server.streamable_http_app(stateless_http=True, json_response=True)


def _watched(app: Any, harbour: HarbourServer) -> Any:
    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            harbour.tokens.append(headers.get(b"authorization", b"").decode())
        await app(scope, receive, send)

    return watched
