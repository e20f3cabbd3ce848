"""Reads of what is set of tools, and of their calls."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Iterable, Mapping

from django.conf import settings
from django.db.models import Q, QuerySet

from apps.database import release_connection
from apps.tenants.models import Tenant
from apps.tools.models import McpServer, TenantTool, ToolCall, ToolSettings


def tool_settings() -> Mapping[str, ToolSettings]:
    """What is set of registered tools, by name, at most settings.CONFIG_SECONDS old."""
    return _tool_settings(int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=2)
def _tool_settings(_period: int) -> Mapping[str, ToolSettings]:
    try:
        return {row.name: row for row in ToolSettings.objects.all()}
    finally:
        release_connection()


def tenant_tools_named(tenant_id: uuid.UUID, names: Iterable[str] | None) -> list[TenantTool]:
    """The tenant's tools of these names, or all (None), those that are off included."""
    tools = TenantTool.objects.filter(tenant_id=tenant_id).order_by("name")
    try:
        return list(tools if names is None else tools.filter(name__in=list(names)))
    finally:
        release_connection()


def mcp_servers_named(tenant_id: uuid.UUID, names: Iterable[str]) -> dict[str, McpServer]:
    """The servers of these names by name: the tenant's own, or else everybody's."""
    mine = Q(tenant_id=tenant_id) | Q(tenant__isnull=True)
    # A tenant's own comes last, and takes the place of everybody's.
    servers = McpServer.objects.filter(mine, name__in=list(names)).order_by("tenant_id").reverse()
    try:
        return {server.name: server for server in sorted(servers, key=lambda one: one.tenant_id is not None)}
    finally:
        release_connection()


def tenant_tools_of(tenant: Tenant) -> QuerySet[TenantTool]:
    """The tenant's own tools."""
    return TenantTool.objects.filter(tenant=tenant)


def mcp_servers_of(tenant: Tenant) -> QuerySet[McpServer]:
    """The tenant's own servers."""
    return McpServer.objects.filter(tenant=tenant)


def mcp_servers_for(tenant: Tenant) -> QuerySet[McpServer]:
    """The servers that the tenant may use, its own and everybody's."""
    return McpServer.objects.filter(Q(tenant=tenant) | Q(tenant__isnull=True), is_enabled=True)


def circuit_owners(keys: Iterable[str]) -> dict[str, tuple[str, uuid.UUID | None]]:
    """By the key of a circuit, the tool that it guards as definitions name it ("" for one that is gone), and whose it is."""
    ids = {key: key.split("/", 2)[-1] for key in keys}
    found: dict[str, tuple[str, uuid.UUID | None]] = {}
    for kind, model in (("webhook", TenantTool), ("mcp", McpServer)):
        of_kind = {key: pk for key, pk in ids.items() if key.startswith(f"tool/{kind}/")}
        rows = model._default_manager.filter(pk__in=of_kind.values()).values_list("pk", "name", "tenant_id")
        known = {str(pk): (f"{kind}:{name}", tenant_id) for pk, name, tenant_id in rows}
        found |= {key: known.get(pk, ("", None)) for key, pk in of_kind.items()}
    return {key: found.get(key, (key.split("/", 2)[1], None)) for key in ids}


def tool_calls_of(workflow_id: uuid.UUID) -> dict[uuid.UUID, list[ToolCall]]:
    """The tool calls of a run by step, in order, without what came out of them."""
    calls: dict[uuid.UUID, list[ToolCall]] = {}
    made = ToolCall.objects.filter(workflow_id=workflow_id).defer("result")
    for call in made.order_by("step_id", "attempt", "ordinal"):
        calls.setdefault(call.step_id, []).append(call)
    return calls
