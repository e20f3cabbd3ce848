"""Steps whose model uses tools, run by the real executor on the real database, over HTTP: hostile servers included."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.toolbox import Tools
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from agentplatform.outbound.addresses import Address
from agentplatform.outbound.resolving import resolve_host
from agentplatform.simulator.settings import SimulatorSettings
from apps.knowledge.services import document_create
from apps.tenants.models import Tenant
from apps.tools import selectors
from apps.tools.models import McpServer, ToolCall, ToolSettings
from apps.tools.services import tenant_tool_create
from apps.tools.source import DatabaseTools, tool_breaker
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from apps.workflows.tool_calls import DatabaseToolCallStore
from tests.hostile import HostileServer, hostile_server
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Nobody, Worker
from tests.integration.tools.conftest import Submit
from tests.mcp_server import harbour_server
from tests.receiver import Receiver
from tests.unit.conftest import RunningSimulator, serve
from tests.unit.llm.conftest import gateway_to, provider_at

OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"
HOST = "pages.example.test"


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile_server() as one:
        yield one


class ToolWorker(Worker):
    """Runs what is admitted, with all the tools there are."""

    def __init__(self, simulator: RunningSimulator, hand: Hand) -> None:
        super().__init__(simulator, hand)
        self.executor = Executor(
            store=DatabaseStepStore(hand.name),
            calls=DatabaseCallStore(),
            gateway=gateway_to({"anthropic": provider_at(simulator.url)}),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Nobody(),
            limits=ContinuationLimits(),
            tools=Tools(DatabaseTools(), tool_breaker(), DatabaseToolCallStore()),
        )


@pytest.fixture
def worker(simulator: RunningSimulator, hand: Hand) -> ToolWorker:
    return ToolWorker(simulator, hand)


class Names:
    """A resolver that answers each question for a name with the next of its addresses, the last one for ever."""

    def __init__(self) -> None:
        self.addresses = [OUTSIDE]

    def __call__(self, host: str, port: int) -> list[Address]:
        if not host.endswith(".test"):
            return resolve_host(host, port)
        told = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [ipaddress.ip_address(told)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, settings: Any, tenant: Tenant) -> Names:
    """One address of the outside, where the hostile server is, and one host that may be asked."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [f"{OUTSIDE}/32"]
    own = Names()
    monkeypatch.setattr(registry.find_tool("http_fetch"), "_resolve", own)
    set_tool("http_fetch", allowed_hosts=[HOST])
    return own


def set_tool(name: str, **fields: Any) -> None:
    """Sets a tool as an operator does."""
    ToolSettings.objects.update_or_create(name=name, defaults=fields)
    selectors._tool_settings.cache_clear()


def told(workflow: Workflow) -> dict[str, str]:
    """What the result says of how it fell short: messages by their codes."""
    return {one["code"]: one["message"] for one in workflow.degradations}


def asked(worker: Worker, submit: Submit, question: str) -> Workflow:
    """The run of a question, as it has ended."""
    workflow = worker.run_all(submit("ask_with_tools", {"question": question}))
    assert workflow.status == "succeeded", workflow.error
    return workflow


def test_arithmetic_is_calculated(worker: ToolWorker, submit: Submit) -> None:
    """By the calculator; the call stands in the journal."""
    workflow = asked(worker, submit, "What is 17 * 23 + 4?")
    assert "395" in workflow.result["answer"]
    (call,) = ToolCall.objects.all()
    assert (call.tool, call.status, call.workflow_id) == ("calculator", "succeeded", workflow.pk)


def test_a_question_is_searched_for_in_the_knowledge_base(
    worker: ToolWorker, submit: Submit, tenant: Tenant
) -> None:
    """Of the tenant alone."""
    document_create(
        tenant=tenant,
        title="Travel policy",
        content="# Trains\n\nEmployees travel first class on journeys of more than three hours.",
        content_type="text/markdown",
    )
    workflow = asked(worker, submit, "When do employees travel first class?")
    assert "three hours" in workflow.result["answer"]
    assert [one["tool"] for one in workflow.result["tool_calls"]] == ["knowledge_search"]


def test_what_the_workflow_has_is_queried(worker: ToolWorker, submit: Submit) -> None:
    """By a query that the question holds."""
    question = "Query the JSON with the JMESPath expression `length(input.question)`."
    workflow = asked(worker, submit, question)
    assert [one["tool"] for one in workflow.result["tool_calls"]] == ["json_query"]
    assert str(len(question)) in workflow.result["answer"]


def test_a_page_of_an_allowed_host_is_fetched(
    worker: ToolWorker, submit: Submit, names: Names, server: HostileServer
) -> None:
    """And answered from."""
    workflow = asked(worker, submit, f"What does the web page {server.url('/page')} say of the harbour?")
    assert "seven" in workflow.result["answer"]
    assert "tool_failed" not in told(workflow)


@pytest.mark.parametrize(
    ("path", "code", "note"),
    [
        ("/to-loopback", "tool_failed", "only public addresses are connected to"),
        ("/to-metadata", "tool_failed", "only public addresses are connected to"),
        ("/to-elsewhere", "tool_failed", f"The host is not among those that may be asked: {HOST}."),
        ("/bomb", "tool_failed", "a compression bomb"),
        ("/silent", "tool_failed", "The server did not answer in time."),
        ("/drip-headers", "tool_failed", "The server did not answer in time."),
        ("/drip", "tool_result_incomplete", "Cut where its time was up: the server sends too slowly."),
        ("/endless", "tool_result_incomplete", "Cut after 1,048,576 bytes"),
    ],
)
def test_a_hostile_server_is_refused_or_cut_and_it_is_said(
    worker: ToolWorker, submit: Submit, names: Names, server: HostileServer, path: str, code: str, note: str
) -> None:
    """In the degradations of the result, in its list of calls, and to the model."""
    set_tool("http_fetch", allowed_hosts=[HOST, "127.0.0.1", "169.254.169.254"], timeout_seconds=0.3)
    if path == "/to-elsewhere":
        set_tool("http_fetch", allowed_hosts=[HOST])
    workflow = asked(worker, submit, f"What does the web page {server.url(path)} say of the harbour?")
    assert note in told(workflow)[code]
    first = workflow.result["tool_calls"][0]
    assert first["tool"] == "http_fetch"
    assert note in first["note"]
    assert first["status"] == ("failed" if code == "tool_failed" else "succeeded")


def test_a_name_that_is_bound_anew_between_two_hops_is_refused(
    worker: ToolWorker, submit: Submit, names: Names, server: HostileServer
) -> None:
    """DNS rebinding: nothing of the inside is asked."""
    names.addresses = [OUTSIDE, INSIDE]
    before = len(server.paths)
    workflow = asked(worker, submit, f"What does the web page {server.url('/to-page')} say of the harbour?")
    assert "only public addresses are connected to" in told(workflow)["tool_failed"]
    assert server.paths[before:] == ["/to-page"]


def test_a_tool_that_nobody_has_allowed_a_host_for_is_skipped_and_said(
    worker: ToolWorker, submit: Submit
) -> None:
    """As a new installation has it."""
    workflow = asked(worker, submit, "What is 2 + 2?")
    assert told(workflow)["tool_skipped"]
    messages = [one["message"] for one in workflow.degradations]
    assert "The tool 'http_fetch' could not be had. No operator has allowed a host." in messages


def test_a_tool_that_is_switched_off_is_skipped_and_said(worker: ToolWorker, submit: Submit) -> None:
    """The model is not told of it."""
    set_tool("calculator", is_enabled=False)
    workflow = asked(worker, submit, "What is 17 * 23?")
    assert not ToolCall.objects.filter(tool="calculator").exists()
    messages = [one["message"] for one in workflow.degradations]
    assert "The tool 'calculator' could not be had. It is switched off." in messages


def test_a_priced_tool_is_charged_to_the_run(worker: ToolWorker, submit: Submit) -> None:
    """Beside what its model calls cost."""
    set_tool("calculator", cost_usd_micros=1_234)
    workflow = asked(worker, submit, "What is 17 * 23?")
    (call,) = ToolCall.objects.filter(tool="calculator")
    assert call.cost_usd_micros == 1_234
    assert workflow.cost_usd_micros > 1_234


def test_a_tenants_webhook_is_called_signed_and_answered_from(
    worker: ToolWorker, submit: Submit, tenant: Tenant, receiver: Receiver
) -> None:
    """With a key by which it knows the same call again."""
    issued = tenant_tool_create(
        tenant,
        {
            "name": "berth_lookup",
            "description": "Looks up which berth a ship has, by the name of the ship.",
            "input_schema": {
                "type": "object",
                "properties": {"ship": {"type": "string"}},
                "required": ["ship"],
            },
            "url": receiver.url,
        },
    )
    receiver.answer(200, b'{"berth": "B7"}', Content_Type="application/json")
    workflow = asked(worker, submit, "Which berth does the ship Aurora have?")
    assert "B7" in workflow.result["answer"]
    (request,) = receiver.requests
    document = request.verified(issued.plaintext)
    assert document["type"] == "tool.call"
    assert document["data"]["tool"] == "berth_lookup"
    call = ToolCall.objects.get()
    assert request.headers["idempotency-key"].startswith(f"{call.step_id}-0-")
    assert (call.tool, call.is_idempotent) == ("webhook__berth_lookup", False)


def test_a_tool_of_an_mcp_server_is_called_and_answered_from(
    worker: ToolWorker, submit: Submit, tenant: Tenant, settings: Any
) -> None:
    """Under the name of its server."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with harbour_server() as harbour:
        McpServer.objects.create(tenant=tenant, name="harbour", url=harbour.url)
        workflow = asked(worker, submit, "Which berth does the ship Aurora have?")
    assert "B7" in workflow.result["answer"]
    assert harbour.calls[0] == "berth_of"
    assert ToolCall.objects.get(ordinal=0).tool == "mcp__harbour__berth_of"


def test_a_server_that_is_down_is_skipped_and_said(
    worker: ToolWorker, submit: Submit, tenant: Tenant, settings: Any
) -> None:
    """The answer comes without it."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    McpServer.objects.create(tenant=tenant, name="harbour", url="http://127.0.0.1:9/mcp")
    workflow = asked(worker, submit, "What is 17 * 23?")
    messages = [one["message"] for one in workflow.degradations]
    assert "The tool 'mcp:harbour' could not be had. Its server takes no connection." in messages


def test_a_tool_of_another_tenant_is_nobody_elses(
    worker: ToolWorker, submit: Submit, tenant: Tenant, receiver: Receiver
) -> None:
    """Whatever it is called."""
    other = Tenant.objects.create(name="other", tier=tenant.tier)
    schema = {"type": "object", "properties": {"ship": {"type": "string"}}}
    fields = {"name": "berth", "description": "Looks up the berth of a ship.", "input_schema": schema}
    tenant_tool_create(other, {**fields, "url": receiver.url})
    asked(worker, submit, "Which berth does the ship Aurora have?")
    assert receiver.requests == []
