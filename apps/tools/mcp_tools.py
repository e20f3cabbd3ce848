"""Tools of servers of the Model Context Protocol: listed, kept for a few minutes, and called over streamable HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
import orjson
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from agentplatform.agents.extraction_schema import schema_fault
from agentplatform.agents.tools.tool import (
    MCP_PREFIX,
    ToolContext,
    ToolError,
    ToolOutput,
    ToolSpec,
    is_tool_name,
)
from agentplatform.agents.tools.toolbox import OfferedTool, SkippedTool
from agentplatform.execution.circuit import CircuitBreaker
from agentplatform.outbound.addresses import AddressRefused, UrlRefused, parse_url
from agentplatform.outbound.async_transport import AnswerTooLarge, CheckedTransport
from agentplatform.outbound.resolving import NameUnknown, Resolve, resolve_host
from apps.notifications.resolving import address_rules
from apps.notifications.secrets import SecretUnreadable, secret_decrypt
from apps.tools.models import McpServer

T = TypeVar("T")

LISTING_SECONDS = 300.0
"""For how long the list of a server's tools is kept."""
LISTING_TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_TOOLS = 64
MAX_SCHEMA_CHARACTERS = 4_000
MAX_DESCRIPTION_CHARACTERS = 1_000
MAX_TOKEN_BYTES = 64 * 1024
LEFT_ALONE = "Its server has failed again and again, and is left alone for a while."


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    is_idempotent: bool


class McpTool:
    """One tool of a server. What its server says of doing it twice is believed, since it is its own to know."""

    def __init__(self, server: McpServer, listed: ListedTool, resolve: Resolve = resolve_host) -> None:
        self.spec = ToolSpec(
            name=model_name(server, listed.name),
            description=listed.description,
            input_schema=listed.input_schema,
            timeout_seconds=server.timeout_seconds,
            cost_usd_micros=server.cost_usd_micros,
            is_idempotent=listed.is_idempotent,
            circuit=circuit_of(server),
        )
        self._server = server
        self._listed = listed
        self._resolve = resolve

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        async def call(client: Client) -> Any:
            return await client.call_tool(self._listed.name, dict(arguments))

        return _output(_asked(self._server, call, context.deadline.seconds_left, self._resolve))


def model_name(server: McpServer, tool: str) -> str:
    """What models call a tool of a server."""
    return f"{MCP_PREFIX}{server.name}__{tool}"


def circuit_of(server: McpServer) -> str:
    """All tools of a server have one circuit."""
    return f"tool/mcp/{server.pk}"


def tools_of_server(
    server: McpServer, breaker: CircuitBreaker, resolve: Resolve = resolve_host
) -> Iterator[OfferedTool | SkippedTool]:
    """The tools of a server that may be offered; the server itself as skipped where it does not list them."""
    try:
        listed = _listings.get(server, breaker, resolve)
    except ToolError as error:
        yield SkippedTool(f"mcp:{server.name}", error.message)
        return
    for one in listed:
        if not server.allowed_tools or one.name in server.allowed_tools:
            tool = McpTool(server, one, resolve)
            yield OfferedTool(tool.spec, tool)


def forget_listings() -> None:
    """The next use of a server has its tools listed anew."""
    _listings.clear()


class _Listings:
    """What servers have listed, in this process."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, list[ListedTool]]] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def get(self, server: McpServer, breaker: CircuitBreaker, resolve: Resolve) -> list[ListedTool]:
        told = f"{server.pk} {server.url} {server.token} {server.secret}"
        key = hashlib.sha256(told.encode()).hexdigest()
        with self._lock:
            expires_at, listed = self._kept.get(key, (0.0, []))
        if time.monotonic() < expires_at:
            return listed
        listed = _listed(server, breaker, resolve)
        with self._lock:
            if len(self._kept) > 1_000:
                self._kept.clear()
            self._kept[key] = time.monotonic() + LISTING_SECONDS, listed
        return listed


_listings = _Listings()


def _listed(server: McpServer, breaker: CircuitBreaker, resolve: Resolve) -> list[ListedTool]:
    circuit = circuit_of(server)
    admission = breaker.admit(circuit)
    if not admission.passes:
        raise ToolError("circuit_open", LEFT_ALONE)

    async def ask(client: Client) -> Any:
        return await client.list_tools()

    try:
        answer = _asked(server, ask, min(LISTING_TIMEOUT_SECONDS, server.timeout_seconds), resolve)
    except ToolError as error:
        if error.is_tools:
            breaker.failed(circuit, admission, error.code)
        elif admission.probes:
            breaker.succeeded(circuit)
        raise
    if admission.probes:
        breaker.succeeded(circuit)
    return [one for tool in answer.tools[:MAX_TOOLS] if (one := _readable(server, tool)) is not None]


def _readable(server: McpServer, tool: Any) -> ListedTool | None:
    """A tool that models take; None for one with a name that they do not."""
    if not is_tool_name(model_name(server, tool.name)):
        return None
    hints = tool.annotations
    is_idempotent = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    description = (tool.description or tool.title or "")[:MAX_DESCRIPTION_CHARACTERS]
    schema = {"type": "object", **tool.input_schema}
    if schema_fault(schema) is not None:
        # Not safe to validate by: its server does that itself, and the model reads it as text.
        written = orjson.dumps(schema).decode()[:MAX_SCHEMA_CHARACTERS]
        return ListedTool(tool.name, f"{description} Its input: {written}", {"type": "object"}, is_idempotent)
    return ListedTool(tool.name, description, schema, is_idempotent)


def _asked(server: McpServer, ask: Callable[[Client], Awaitable[T]], seconds: float, resolve: Resolve) -> T:
    """What a server answers, over a connection of its own. Raises ToolError."""
    try:
        parse_url(server.url)
        headers = _headers(server)
        return asyncio.run(_ask(server.url, headers, ask, seconds, resolve))
    except ToolError:
        raise
    except Exception as error:
        raise _failure_of(error) from error


async def _ask(
    url: str,
    headers: Mapping[str, str],
    ask: Callable[[Client], Awaitable[T]],
    seconds: float,
    resolve: Resolve,
) -> T:
    transport = CheckedTransport(address_rules(), resolve, max_bytes=MAX_ANSWER_BYTES)
    with anyio.fail_after(max(0.0, seconds)):
        async with (
            httpx2.AsyncClient(
                transport=transport, headers=headers, timeout=seconds, trust_env=False
            ) as http,
            Client(
                streamable_http_client(url, http_client=http, terminate_on_close=False),
                cache=None,
                read_timeout_seconds=seconds,
            ) as client,
        ):
            return await ask(client)


def _headers(server: McpServer) -> dict[str, str]:
    token = _token(server).strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token(server: McpServer) -> str:
    if server.token:
        try:
            return secret_decrypt(server.token)
        except SecretUnreadable as error:
            raise ToolError(
                "secret_unreadable", "Its token was encrypted under another key; set it again."
            ) from error
    kind, _, place = server.secret.partition(":")
    if kind == "env":
        return os.environ.get(place, "")
    if kind == "file":
        try:
            with Path(place).open("rb") as file:
                return file.read(MAX_TOKEN_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError("secret_unreadable", "Its token cannot be read; tell an operator.") from error
    return ""


def _failure_of(error: BaseException) -> ToolError:
    causes = list(_leaves(error))
    for kind, told in _FAILURES:
        found = next((one for one in causes if isinstance(one, kind)), None)
        if found is not None:
            code, message, is_tools, is_unknown = told
            return ToolError(code, message or str(found), is_tools=is_tools, is_unknown=is_unknown)
    message = "Its server does not answer as it should."
    return ToolError("connection_failed", message, is_tools=True, is_unknown=True)


_FAILURES: tuple[tuple[type[BaseException], tuple[str, str, bool, bool]], ...] = (
    (AddressRefused, ("address_refused", "", False, False)),
    (UrlRefused, ("invalid_url", "", False, False)),
    (NameUnknown, ("name_unknown", "", True, False)),
    (AnswerTooLarge, ("answer_too_large", "Its server answers more than is read.", True, True)),
    (TimeoutError, ("timeout", "Its server did not answer in time.", True, True)),
    (httpx2.TimeoutException, ("timeout", "Its server did not answer in time.", True, True)),
    (httpx2.ConnectError, ("connection_refused", "Its server takes no connection.", True, False)),
    (MCPError, ("refused_by_server", "Its server refuses what it was asked.", False, False)),
)


def _leaves(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    """An exception with its causes, and what groups of them hold."""
    if error is None or depth > 10:
        return
    yield error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one, depth + 1)
    yield from _leaves(error.__cause__ or error.__context__, depth + 1)


def _output(result: Any) -> ToolOutput:
    """What a call returned: structured content where there is some, else its texts. Other kinds are left out, and said."""
    texts = [block.text for block in result.content if block.type == "text"]
    left_out = sorted({block.type for block in result.content if block.type != "text"})
    content = result.structured_content if result.structured_content is not None else "\n\n".join(texts)
    notes = tuple(f"Content of type {kind} was left out." for kind in left_out)
    if result.is_error:
        return ToolOutput({"reported": content}, ("The tool says that it has failed.", *notes))
    return ToolOutput(content, notes)
