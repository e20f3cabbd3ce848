"""The tools that a step may use: registered ones as they are set, its tenant's webhooks, and those of MCP servers."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import redis
from django.conf import settings

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.tool import ALL_WEBHOOKS, Tool
from agentplatform.agents.tools.toolbox import POLICY, Offer, OfferedTool, SkippedTool
from agentplatform.execution.circuit import CircuitBreaker
from apps.circuits import SharedCircuits
from apps.gateway.services import trips
from apps.tools.models import ToolSettings
from apps.tools.selectors import mcp_servers_named, tenant_tools_named, tool_settings

OFF = "It is switched off."
UNKNOWN = "There is none of this name."
NO_HOSTS = "No operator has allowed a host."


@functools.cache
def tool_breaker() -> CircuitBreaker:
    """One for the process; each process has circuits of its own while the cache server is away.

    When they open is written down in the history of all circuits.
    """
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
    return CircuitBreaker(SharedCircuits(client), POLICY, trips)


class DatabaseTools:
    """A source of tools: what definitions name, as it is set at this moment."""

    def find(self, tenant_id: uuid.UUID, names: Sequence[str]) -> Offer:
        wanted = list(dict.fromkeys(names))
        found = [
            *_registered([name for name in wanted if ":" not in name]),
            *_webhooks(tenant_id, [name for name in wanted if name.startswith("webhook:")]),
            *_mcp_tools(tenant_id, [name for name in wanted if name.startswith("mcp:")]),
        ]
        return Offer(
            tuple(one for one in found if isinstance(one, OfferedTool)),
            tuple(one for one in found if isinstance(one, SkippedTool)),
        )


def configured(tool: Tool, row: ToolSettings | None) -> OfferedTool | SkippedTool:
    """A registered tool as an operator has set it."""
    spec = tool.spec
    if row is not None:
        if not row.is_enabled:
            return SkippedTool(spec.name, OFF, is_set_up=False)
        spec = replace(
            spec,
            timeout_seconds=row.timeout_seconds or spec.timeout_seconds,
            cost_usd_micros=row.cost_usd_micros,
            allowed_hosts=tuple(row.allowed_hosts),
        )
    if spec.needs_hosts and not spec.allowed_hosts:
        return SkippedTool(spec.name, NO_HOSTS, is_set_up=False)
    return OfferedTool(spec, tool)


def _registered(names: Sequence[str]) -> Iterator[OfferedTool | SkippedTool]:
    rows = tool_settings() if names else {}
    for name in names:
        tool = registry.find_tool(name)
        yield SkippedTool(name, UNKNOWN) if tool is None else configured(tool, rows.get(name))


def _webhooks(tenant_id: uuid.UUID, names: Sequence[str]) -> Iterator[OfferedTool | SkippedTool]:
    if not names:
        return
    from apps.tools.webhooks import WebhookTool

    wanted = {name.partition(":")[2] for name in names if name != ALL_WEBHOOKS}
    takes_all = ALL_WEBHOOKS in names
    rows = {row.name: row for row in tenant_tools_named(tenant_id, None if takes_all else wanted)}
    for name in sorted(wanted - rows.keys()):
        yield SkippedTool(f"webhook:{name}", UNKNOWN)
    for row in rows.values():
        if row.is_enabled:
            tool = WebhookTool(row)
            yield OfferedTool(tool.spec, tool)
        elif row.name in wanted:
            yield SkippedTool(f"webhook:{row.name}", OFF)


def _mcp_tools(tenant_id: uuid.UUID, names: Sequence[str]) -> Iterator[OfferedTool | SkippedTool]:
    if not names:
        return
    # Loaded by those alone whose steps use them, as webhooks are: it brings much with it.
    from apps.tools.mcp_tools import tools_of_server

    wanted = [name.partition(":")[2] for name in names]
    servers = mcp_servers_named(tenant_id, wanted)
    for name in wanted:
        server = servers.get(name)
        if server is None or not server.is_enabled:
            yield SkippedTool(f"mcp:{name}", UNKNOWN if server is None else OFF)
        else:
            yield from tools_of_server(server, tool_breaker())
