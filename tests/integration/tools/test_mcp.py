"""MCP servers as tools: the official package's client against its own server, which is down, slow or boundless."""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from agentplatform.agents.tools.tool import ToolContext, ToolError
from agentplatform.agents.tools.toolbox import POLICY, OfferedTool, SkippedTool
from agentplatform.execution.circuit import CircuitBreaker, LocalCircuits
from agentplatform.execution.deadlines import Deadline
from apps.notifications.secrets import secret_encrypt
from apps.tenants.models import Tenant
from apps.tools.mcp_tools import forget_listings, tools_of_server
from apps.tools.models import McpServer
from apps.tools.selectors import mcp_servers_named
from apps.tools.source import DatabaseTools
from tests.mcp_server import HarbourServer, harbour_server


@pytest.fixture(scope="module")
def harbour() -> Iterator[HarbourServer]:
    with harbour_server() as one:
        yield one


@pytest.fixture(autouse=True)
def _forgotten(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    forget_listings()


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(LocalCircuits(), POLICY)


def server_at(url: str, **fields: Any) -> McpServer:
    """A server as it is set."""
    return McpServer(name="harbour", url=url, **fields)


def tool(server: McpServer, name: str, breaker: CircuitBreaker) -> OfferedTool:
    """One of its tools."""
    offered = [one for one in tools_of_server(server, breaker) if isinstance(one, OfferedTool)]
    return next(one for one in offered if one.spec.name == f"mcp__harbour__{name}")


def call(offered: OfferedTool, seconds: float = 5.0, **arguments: Any) -> Any:
    """What it returns."""
    context = ToolContext(uuid.UUID(int=1), "key", Deadline.after(seconds), offered.spec)
    return offered.tool.run(arguments, context)


def test_its_tools_are_listed_with_what_it_says_of_them(
    harbour: HarbourServer, breaker: CircuitBreaker
) -> None:
    """Their schemas, and whether doing them twice does harm."""
    server = server_at(harbour.url, cost_usd_micros=50)
    spec = tool(server, "berth_of", breaker).spec
    assert spec.input_schema["properties"]["ship"]["type"] == "string"
    assert (spec.is_idempotent, spec.cost_usd_micros) == (True, 50)
    assert not tool(server, "book_berth", breaker).spec.is_idempotent


def test_a_call_returns_what_the_server_answers(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """Structured where it is, with the server's token."""
    server = server_at(harbour.url, token=secret_encrypt("abc-123"))
    harbour.tokens.clear()
    assert call(tool(server, "berth_of", breaker), ship="Aurora").content == {"ship": "Aurora", "berth": "B7"}
    assert set(harbour.tokens) == {"Bearer abc-123"}


def test_only_tools_that_are_allowed_are_offered(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """Where an owner has named some."""
    server = server_at(harbour.url, allowed_tools=["berth_of"])
    names = [one.spec.name for one in tools_of_server(server, breaker) if isinstance(one, OfferedTool)]
    assert names == ["mcp__harbour__berth_of"]


def test_a_failure_that_a_tool_reports_is_told(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """With a note; it says nothing against the server."""
    output = call(tool(server_at(harbour.url), "broken", breaker))
    assert output.notes[0] == "The tool says that it has failed."


def test_a_slow_server_is_given_up_in_time(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """What it was asked may have been done."""
    offered = tool(server_at(harbour.url), "slow_tide", breaker)
    began = time.monotonic()
    with pytest.raises(ToolError) as failed:
        call(offered, seconds=0.3)
    assert time.monotonic() - began < 2
    assert (failed.value.code, failed.value.is_tools, failed.value.is_unknown) == ("timeout", True, True)


def test_an_answer_without_bounds_is_broken_off(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """Before it fills the memory."""
    with pytest.raises(ToolError) as failed:
        call(tool(server_at(harbour.url), "all_ships", breaker), megabytes=3)
    assert failed.value.code == "answer_too_large"


def test_a_server_that_is_down_is_skipped_and_left_alone(breaker: CircuitBreaker) -> None:
    """First it is asked, then its circuit is open."""
    server = server_at("http://127.0.0.1:9/mcp")
    for _ in range(POLICY.failures):
        (skipped,) = tools_of_server(server, breaker)
        assert skipped == SkippedTool("mcp:harbour", "Its server takes no connection.")
    (skipped,) = tools_of_server(server, breaker)
    assert isinstance(skipped, SkippedTool)
    assert "left alone" in skipped.reason


def test_a_server_of_the_inside_is_not_connected_to(
    harbour: HarbourServer, breaker: CircuitBreaker, settings: Any
) -> None:
    """By name or by number; nothing is sent."""
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    harbour.tokens.clear()
    (by_number,) = tools_of_server(server_at(harbour.url), breaker)
    named = server_at(f"http://tools.example.test:{harbour.port}/mcp")
    (by_name,) = tools_of_server(named, breaker, lambda host, port: [ipaddress.ip_address("127.0.0.1")])
    for skipped in (by_number, by_name):
        assert isinstance(skipped, SkippedTool)
        assert "only public addresses are connected to" in skipped.reason
    assert harbour.tokens == []


def test_a_list_of_tools_is_kept_for_a_while(harbour: HarbourServer, breaker: CircuitBreaker) -> None:
    """A step does not wait for it each time."""
    server = server_at(harbour.url)
    list(tools_of_server(server, breaker))
    harbour.tokens.clear()
    assert list(tools_of_server(server, breaker))
    assert harbour.tokens == []


def test_a_tenant_has_its_own_servers_and_everybodys(tenant: Tenant, harbour: HarbourServer) -> None:
    """Its own comes first where both have one name; another tenant's is not found."""
    other = Tenant.objects.create(name="other", tier=tenant.tier)
    McpServer.objects.create(name="harbour", url="http://everybody.test/")
    McpServer.objects.create(name="everybodys", url="http://everybody.test/")
    McpServer.objects.create(name="harbour", url=harbour.url, tenant=tenant)
    McpServer.objects.create(name="others", url=harbour.url, tenant=other)
    found = mcp_servers_named(tenant.pk, ["harbour", "everybodys", "others"])
    assert {name: server.url for name, server in found.items()} == {
        "harbour": harbour.url,
        "everybodys": "http://everybody.test/",
    }
    offer = DatabaseTools().find(tenant.pk, ["mcp:harbour", "mcp:others"])
    assert "mcp__harbour__berth_of" in [one.spec.name for one in offer.tools]
    assert offer.skipped == (SkippedTool("mcp:others", "There is none of this name."),)
