"""Writes of what is set of tools, and of tenants' own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from agentplatform.agents.registry import registry
from apps.notifications.secrets import secret_encrypt, secret_make
from apps.tenants.models import Tenant
from apps.tools.models import McpServer, TenantTool, ToolCall, ToolSettings

MAX_TENANT_TOOLS = 50
MAX_MCP_SERVERS = 10


class TooManyTools(ValueError):
    """The tenant has as many as it may."""


class NameTaken(ValueError):
    """The tenant has another one of this name."""


@dataclass(frozen=True, slots=True)
class IssuedToolSecret:
    """A tool with a secret just made: `plaintext` is shown this once."""

    tool: TenantTool
    plaintext: str


def tools_ensure() -> None:
    """Creates the settings of registered tools that are not there yet; what an operator has changed stays."""
    for name in registry.tools:
        ToolSettings.objects.get_or_create(name=name)


def tenant_tool_create(tenant: Tenant, fields: Mapping[str, Any]) -> IssuedToolSecret:
    """A new tool of the tenant; its URL has been checked by the caller. Raises TooManyTools or NameTaken."""
    plaintext = secret_make()
    with transaction.atomic():
        _lock(tenant, TenantTool.objects.filter(tenant=tenant).count(), MAX_TENANT_TOOLS)
        tool = _saved(TenantTool(tenant=tenant, secret=secret_encrypt(plaintext), **fields))
    return IssuedToolSecret(tool, plaintext)


def tenant_tool_update(tool: TenantTool, fields: Mapping[str, Any]) -> TenantTool:
    """Changes fields of a tool, and returns it as it is. Raises TenantTool.DoesNotExist where it is gone."""
    TenantTool.objects.filter(pk=tool.pk).update(**fields)
    tool.refresh_from_db()
    return tool


def tenant_tool_rotate_secret(tool: TenantTool) -> IssuedToolSecret:
    """A new secret, which signs from now on."""
    plaintext = secret_make()
    TenantTool.objects.filter(pk=tool.pk).update(secret=secret_encrypt(plaintext))
    tool.refresh_from_db()
    return IssuedToolSecret(tool, plaintext)


def mcp_server_create(tenant: Tenant, fields: Mapping[str, Any], *, token: str = "") -> McpServer:
    """A new server of the tenant; its URL has been checked by the caller. Raises TooManyTools or NameTaken."""
    with transaction.atomic():
        _lock(tenant, McpServer.objects.filter(tenant=tenant).count(), MAX_MCP_SERVERS)
        return _saved(McpServer(tenant=tenant, token=_encrypted(token), **fields))


def mcp_server_update(server: McpServer, fields: Mapping[str, Any], *, token: str | None = None) -> McpServer:
    """Changes fields of a server, and its token where one is given; "" takes it away.

    Raises McpServer.DoesNotExist where it is gone.
    """
    changes = dict(fields) if token is None else {**fields, "token": _encrypted(token)}
    McpServer.objects.filter(pk=server.pk).update(**changes)
    server.refresh_from_db()
    return server


def tool_results_erase(workflow_ids: Iterable[uuid.UUID]) -> int:
    """Takes out of the calls of runs what came out of them; what was called and what it cost stays. Returns how many."""
    calls = ToolCall.objects.filter(workflow_id__in=list(workflow_ids), result__isnull=False)
    return calls.update(result=None)


def _encrypted(token: str) -> str:
    return secret_encrypt(token) if token else ""


def _lock(tenant: Tenant, count: int, limit: int) -> None:
    # One after the other, so that two at once do not pass the limit together.
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    if count >= limit:
        raise TooManyTools(f"A tenant may have {limit}; delete one that is not used.")


def _saved(row: Any) -> Any:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise NameTaken(f"There is one called '{row.name}' already.") from error
    row.refresh_from_db()
    return row
