"""Tools over the API: which there are, the tenant's webhooks and MCP servers, and what a run has called."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.tools.models import McpServer, TenantTool, ToolCall
from apps.tools.services import MAX_MCP_SERVERS, tools_ensure
from apps.workflows.models import Step
from tests.integration.api.conftest import Api, assert_problem

TOOLS = "/api/v1/tools/"
WEBHOOKS = f"{TOOLS}webhooks/"
SERVERS = f"{TOOLS}mcp-servers/"
SCHEMA = {"type": "object", "properties": {"ship": {"type": "string"}}, "required": ["ship"]}


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def other(db: None) -> Api:
    """The API with a key of another tenant."""
    return Api(api_key_issue(name="theirs", tenant=tenant_create(name="other", tier="standard")).plaintext)


def tool(**fields: Any) -> dict[str, Any]:
    """A webhook as a tool, as it is sent."""
    return {
        "name": "berth_lookup",
        "description": "Looks a berth up.",
        "input_schema": SCHEMA,
        "url": "http://127.0.0.1:9/berths",
        **fields,
    }


def server(**fields: Any) -> dict[str, Any]:
    """An MCP server, as it is sent."""
    return {"name": "harbour", "url": "http://127.0.0.1:9/mcp", **fields}


def test_all_tools_that_may_be_named_are_listed(api: Api, tenant: Tenant) -> None:
    """Built-in ones, the tenant's own, and servers; each as definitions name it, and whether it is to be had."""
    tools_ensure()
    api.post(WEBHOOKS, tool(is_enabled=False))
    api.post(SERVERS, server())
    found = {one["name"]: one for one in api.get(TOOLS).json()["results"]}
    assert {"calculator", "json_query", "knowledge_search", "http_fetch"} <= found.keys()
    assert found["calculator"]["is_available"]
    assert found["http_fetch"]["unavailable_reason"] == "No operator has allowed a host."
    assert found["webhook:berth_lookup"]["input_schema"] == SCHEMA
    assert found["webhook:berth_lookup"]["unavailable_reason"] == "It is switched off."
    assert found["mcp:harbour"]["kind"] == "mcp_server"


def test_a_webhook_tool_is_made_changed_and_deleted(api: Api) -> None:
    """Its secret is shown when it is made, and when it is made anew."""
    response = api.post(WEBHOOKS, tool())
    assert response.status_code == 201, response.content
    made = response.json()
    assert made["secret"].startswith("whsec_")
    path = f"{WEBHOOKS}{made['id']}/"
    read = api.get(path).json()
    assert read == {name: value for name, value in made.items() if name != "secret"}
    assert (read["is_idempotent"], read["timeout_seconds"], read["cost_usd_micros"]) == (False, 10.0, 0)
    assert api.get(WEBHOOKS).json()["results"] == [read]
    changed = api.patch(path, {"is_idempotent": True, "timeout_seconds": 3}).json()
    assert (changed["is_idempotent"], changed["timeout_seconds"]) == (True, 3.0)
    assert api.post(f"{path}rotate-secret/", {}).json()["secret"] != made["secret"]
    assert api.delete(path).status_code == 204
    assert_problem(api.get(path), 404, "not-found")


def test_an_mcp_server_is_made_changed_and_deleted(api: Api) -> None:
    """Its token is taken and never told."""
    response = api.post(SERVERS, server(token="abc-123"))
    assert response.status_code == 201, response.content
    made = response.json()
    assert made["has_token"]
    assert "abc-123" not in response.content.decode()
    assert "abc-123" not in McpServer.objects.get().token
    path = f"{SERVERS}{made['id']}/"
    assert api.get(path).json() == made
    changed = api.patch(path, {"token": "", "allowed_tools": ["berth_of"], "is_enabled": False}).json()
    assert (changed["has_token"], changed["allowed_tools"]) == (False, ["berth_of"])
    assert api.get(SERVERS).json()["results"] == [changed]
    assert api.delete(path).status_code == 204
    assert_problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://10.0.0.1/"},
        {"url": "file:///etc/passwd"},
        {"name": "Has space"},
        {"name": "double__underscore"},
        {"name": "x" * 41},
        {"input_schema": []},
        {"input_schema": {"type": "string"}},
        {"input_schema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/schema"}}}},
        {"input_schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}},
        {"timeout_seconds": 61},
        {"timeout_seconds": "5"},
        {"timeout_seconds": True},
        {"is_idempotent": 1},
        {"cost_usd_micros": 0},
        {"tenant": str(uuid.uuid4())},
        {"description": ""},
    ],
)
def test_a_wrong_tool_is_refused_and_nothing_is_stored(api: Api, fields: dict[str, Any]) -> None:
    """With the field that is wrong; a price is not the tenant's to set."""
    response = api.post(WEBHOOKS, tool(**fields))
    assert response.status_code == 400, response.content
    assert next(iter(fields)) in response.content.decode()
    assert not TenantTool.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://169.254.169.254/"},
        {"name": "Harbour"},
        {"token": "two words"},
        {"token": "line\r\nbreak"},
        {"secret": "env:AGENTPLATFORM_TOOL_X"},
        {"allowed_tools": "berth_of"},
    ],
)
def test_a_wrong_server_is_refused_and_nothing_is_stored(api: Api, fields: dict[str, Any]) -> None:
    """A place of the operators' secrets is not the tenant's to name."""
    response = api.post(SERVERS, server(**fields))
    assert response.status_code == 400, response.content
    assert not McpServer.objects.exists()


def test_a_name_is_given_once_and_the_number_is_limited(api: Api) -> None:
    """409 says which of the two it is."""
    assert api.post(SERVERS, server()).status_code == 201
    assert_problem(api.post(SERVERS, server()), 409, "name-taken")
    for number in range(1, MAX_MCP_SERVERS):
        assert api.post(SERVERS, server(name=f"n{number}")).status_code == 201
    assert_problem(api.post(SERVERS, server(name="more")), 409, "too-many-tools")
    assert api.post(WEBHOOKS, tool()).status_code == 201
    assert_problem(api.post(WEBHOOKS, tool()), 409, "name-taken")


def test_what_another_tenant_has_is_not_there(api: Api, other: Api) -> None:
    """Neither to be read nor changed nor deleted, and its names are free."""
    mine = [
        f"{WEBHOOKS}{api.post(WEBHOOKS, tool()).json()['id']}/",
        f"{SERVERS}{api.post(SERVERS, server()).json()['id']}/",
    ]
    for path in mine:
        assert_problem(other.get(path), 404, "not-found")
        assert_problem(other.patch(path, {"is_enabled": False}), 404, "not-found")
        assert_problem(other.delete(path), 404, "not-found")
        assert api.get(path).json()["is_enabled"]
    names = [one["name"] for one in other.get(TOOLS).json()["results"]]
    assert not [name for name in names if ":" in name]
    assert other.post(WEBHOOKS, tool()).status_code == 201


def test_a_run_tells_which_tools_its_steps_have_called(api: Api, tenant: Tenant) -> None:
    """With what came of it and what it cost; neither what went in nor what came out."""
    workflow_id = api.submit()
    step = Step.objects.get(workflow_id=workflow_id)
    fields = {"tenant": tenant, "workflow_id": workflow_id, "step_id": step.pk, "attempt": 1, "agent": "noop"}
    ToolCall.objects.create(
        id=uuid7(),
        ordinal=0,
        task_type="one_noop",
        tool="calculator",
        input_hash="0" * 64,
        is_idempotent=True,
        status="succeeded",
        result={"content": "secret", "notes": []},
        seconds=0.25,
        cost_usd_micros=7,
        **fields,
    )
    response = api.get(f"/api/v1/workflows/{workflow_id}/")
    (shown,) = response.json()["steps"]
    assert shown["tool_calls"] == [
        {
            "tool": "calculator",
            "status": "succeeded",
            "code": "",
            "attempt": 1,
            "seconds": 0.25,
            "cost_usd_micros": 7,
        }
    ]
    assert "secret" not in response.content.decode()
