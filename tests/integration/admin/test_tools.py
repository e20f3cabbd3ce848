"""Tools in the admin: what is set of them, tenants' own, MCP servers, and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentplatform.identifiers import uuid7
from apps.gateway.models import CircuitTrip
from apps.notifications.secrets import secret_decrypt
from apps.tenants.models import Tenant
from apps.tools.models import McpServer, TenantTool, ToolCall, ToolSettings
from apps.tools.services import tenant_tool_create, tools_ensure
from apps.tools.source import tool_breaker
from apps.workflows.models import Step, Workflow
from tests.integration.admin.conftest import HOSTILE, Person, change_url, list_url, operation_url

SCHEMA = {"type": "object", "properties": {"ship": {"type": "string"}}}


@pytest.fixture
def tool(tenant: Tenant, closed: None, settings: Any) -> TenantTool:
    """A tenant's tool, with a name for every page."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    fields = {"name": "berth", "description": HOSTILE, "input_schema": SCHEMA, "url": "http://127.0.0.1:9/"}
    return tenant_tool_create(tenant, fields).tool


@pytest.fixture
def everything(tenant: Tenant, tool: TenantTool, failed: Workflow) -> None:
    """One of everything there is of tools."""
    tools_ensure()
    McpServer.objects.create(name="harbour", url=f"https://example.com/{HOSTILE}", tenant=tenant)
    step = Step.objects.filter(workflow=failed).first()
    assert step is not None
    ToolCall.objects.create(
        id=uuid7(),
        tenant=tenant,
        workflow_id=failed.pk,
        step_id=step.pk,
        attempt=1,
        ordinal=0,
        task_type="t",
        agent="a",
        tool="webhook__berth",
        input_hash="0" * 64,
        is_idempotent=False,
        status="failed",
        code=HOSTILE,
        result={"content": HOSTILE, "notes": []},
        price_usd_micros=5,
    )
    CircuitTrip.objects.create(circuit="tool/webhook/x", reason=HOSTILE, open_until="2026-01-01T00:00:00Z")


@pytest.mark.parametrize("model", [ToolSettings, TenantTool, McpServer, ToolCall])
def test_each_page_is_shown(everything: None, administrator: Person, model: Any) -> None:
    """Escaped, with what was called below it."""
    assert HOSTILE not in administrator.page(list_url(model))
    html = administrator.page(change_url(model.objects.first()))
    assert HOSTILE not in html


def test_calls_are_shown_under_their_step(everything: None, administrator: Person) -> None:
    """With what came out, which is for people who may see it."""
    call = ToolCall.objects.get()
    html = administrator.page(change_url(Step.objects.get(pk=call.step_id)))
    assert "Tool calls" in html
    assert "webhook__berth" in html


def test_calls_are_only_to_be_read(everything: None, administrator: Person) -> None:
    """By everybody."""
    assert administrator.post(change_url(ToolCall.objects.get()), tool="other").status_code == 403


def test_an_operator_sets_hosts_and_finance_sets_prices(
    everything: None, somebody: Callable[..., Person]
) -> None:
    """Neither does what is the other's."""
    row = ToolSettings.objects.get(name="http_fetch")
    given = {"is_enabled": "on", "timeout_seconds": "5", "allowed_hosts": "docs.example.com, *.example.org"}
    operator, finance = somebody("operator"), somebody("finance")
    assert operator.post(change_url(row), **given, cost_usd_micros="1").status_code == 302
    row.refresh_from_db()
    assert (row.allowed_hosts, row.cost_usd_micros) == (["docs.example.com", "*.example.org"], 0)
    assert finance.post(change_url(row), cost_usd_micros="0.002", allowed_hosts="*").status_code == 302
    row.refresh_from_db()
    assert (row.allowed_hosts, row.cost_usd_micros) == (["docs.example.com", "*.example.org"], 2_000)
    assert somebody("read-only").post(change_url(row), **given).status_code == 403


def test_what_is_no_host_is_refused(everything: None, operator: Person) -> None:
    """A URL is none."""
    row = ToolSettings.objects.get(name="http_fetch")
    response = operator.post(change_url(row), is_enabled="on", allowed_hosts="https://example.com/path")
    assert response.status_code == 200
    assert "is no name of a host" in response.content.decode()


def test_a_secret_is_rotated_and_shown_once(tool: TenantTool, operator: Person) -> None:
    """After it was asked."""
    before = tool.secret
    html = operator.confirm(operation_url(tool, "rotate")).content.decode()
    tool.refresh_from_db()
    assert tool.secret != before
    assert secret_decrypt(tool.secret) in html
    assert secret_decrypt(tool.secret) not in operator.page(change_url(tool))


def test_a_circuit_is_reset_by_hand(tool: TenantTool, operator: Person) -> None:
    """And the tool is offered again."""
    key = f"tool/webhook/{tool.pk}"
    tool_breaker().open(key, 60.0)
    assert "open" in operator.page(list_url(TenantTool))
    operator.confirm(operation_url(tool, "reset"))
    assert tool_breaker().phase(key) == "closed"


def test_a_servers_token_is_at_a_place_of_the_operators_only_where_it_is_everybodys(
    tenant: Tenant, operator: Person, settings: Any
) -> None:
    """And at no other place than those for tools."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    url = list_url(McpServer) + "add/"
    fields = {"name": "harbour", "url": "http://127.0.0.1:9/", "timeout_seconds": "5", "is_enabled": "on"}
    for refused in (
        {"secret": "env:DATABASE_URL"},
        {"secret": "env:AGENTPLATFORM_TOOL_X", "tenant": str(tenant.pk)},
    ):
        assert operator.post(url, **fields, **refused).status_code == 200
        assert not McpServer.objects.exists()
    assert operator.post(url, **fields, secret="env:AGENTPLATFORM_TOOL_X").status_code == 302
    assert McpServer.objects.get().secret == "env:AGENTPLATFORM_TOOL_X"
