"""How calls are routed and how circuits stand, for operators; and what served a step, for its tenant."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agentplatform.agents.tools.toolbox import POLICY as TOOL_POLICY
from agentplatform.execution.circuit import CircuitBreaker, CircuitPolicy
from apps.circuits import shared_circuits
from apps.gateway.circuits import CircuitsAway, circuit_open, circuit_reset
from apps.gateway.models import CircuitTrip, TierProvider
from apps.gateway.services import trips
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue
from apps.tools.models import McpServer
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Step, Workflow
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem
from tests.integration.calls import call_make
from tests.integration.stack.launching import free_ports

ROUTING = "/api/v1/routing/"
CIRCUITS = "/api/v1/circuits/"
SONNET = f"{CIRCUITS}anthropic/claude-sonnet-5-5/"
KEY = "anthropic/claude-sonnet-5-5"


@pytest.fixture
def operator(db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="operator").plaintext)


@pytest.mark.parametrize("path", [ROUTING, CIRCUITS])
def test_only_operators_see_how_the_gateway_does(operator: Api, api: Api, anonymous: Api, path: str) -> None:
    """A tenant's key is told so."""
    assert operator.get(path).status_code == 200
    assert_problem(api.get(path), 403, "operator-key-needed")
    assert_problem(anonymous.get(path), 401)


def test_a_tenants_key_opens_and_resets_no_circuit(api: Api, closed: None) -> None:
    """Nor does it record anything."""
    assert_problem(api.post(f"{SONNET}open/", {"open_seconds": 5}), 403, "operator-key-needed")
    assert_problem(api.post(f"{SONNET}reset/", {}), 403, "operator-key-needed")
    assert not CircuitTrip.objects.exists()
    assert not OperatorAction.objects.exists()


def test_routing_is_added_up_by_task_and_tier_and_by_agent(operator: Api, tenant: Tenant) -> None:
    """Shares are of what they say; what the cache answered was not routed."""
    call_make(tenant, cost_usd_micros=0, input_tokens=0, cache={"layer": "exact"})
    call_make(tenant, complexity=0.1, cache_read_tokens=500, cost_usd_micros=3)
    call_make(tenant, complexity=0.3, cost_usd_micros=3)
    call_make(tenant, status="failed", provider="second", input_tokens=0, cost_usd_micros=0)
    call_make(tenant, tier="balanced", escalated_from="fast", lane="batch", provider="second")
    report = operator.get(f"{ROUTING}?days=7").json()
    fast, balanced = report["routes"]
    assert fast == {
        "task_type": "extract_data",
        "tier": "fast",
        "calls": 3,
        "answered": 2,
        "failed": 1,
        "escalations": 1,
        "escalation_share": 0.5,
        "mean_complexity": pytest.approx(0.2),
        "fallbacks": 1,
        "fallback_share": pytest.approx(1 / 3),
        "cost_usd_micros": 6,
    }
    assert (balanced["calls"], balanced["fallbacks"], balanced["mean_complexity"]) == (1, 0, None)
    (agent,) = report["agents"]
    assert (agent["agent"], agent["calls"], agent["hit_share"]) == ("extracting", 4, pytest.approx(1 / 6))


@pytest.mark.parametrize("days", ["0", "32", "-1", "1.5", "x", "", "007", "٣"])
def test_days_are_a_whole_number(operator: Api, days: str) -> None:
    """Anything else is a 400 that names it."""
    problem = assert_problem(operator.get(f"{ROUTING}?days={days}"), 400, "invalid-parameter")
    assert problem["errors"][0]["pointer"] == "?days"


def test_a_circuit_is_opened_and_reset_over_rest(operator: Api, closed: None) -> None:
    """For all processes, with a record of who did it."""
    breaker = CircuitBreaker(shared_circuits(), CircuitPolicy())
    opened = operator.post(f"{SONNET}open/", {"open_seconds": 300, "reason": "maintenance"})
    assert opened.status_code == 200
    assert opened.json()["state"] == "open"
    assert opened.json()["open_until"] is not None
    assert 290 < breaker.admit(KEY).retry_after_seconds <= 300
    states = {(one["provider"], one["model"]): one for one in operator.get(CIRCUITS).json()["results"]}
    assert states["anthropic", "claude-sonnet-5-5"]["trips_last_day"] == 1
    assert states["anthropic", "claude-haiku-5-5"]["trips_last_day"] == 0
    closed_again = operator.post(f"{SONNET}reset/", {}).json()
    assert (closed_again["state"], closed_again["open_until"]) == ("closed", None)
    assert breaker.admit(KEY).passes
    trip = CircuitTrip.objects.get()
    assert trip.reason.startswith("by key ap_")
    assert trip.closed_at is not None
    reset, open_ = OperatorAction.objects.all()
    assert (open_.name, reset.name) == ("circuits.open", "circuits.reset")
    assert open_.details == {"circuit": KEY, "open_seconds": 300, "reason": "maintenance"}


def test_a_circuit_that_has_failed_says_so(operator: Api, closed: None) -> None:
    """Before it opens."""
    breaker = CircuitBreaker(shared_circuits(), CircuitPolicy())
    breaker.failed(KEY, breaker.admit(KEY), "overloaded_error")
    (state,) = [one for one in operator.get(CIRCUITS).json()["results"] if "sonnet" in one["model"]]
    assert (state["state"], state["recent_failures"]) == ("closed", 1)


def test_the_circuits_of_tools_that_have_opened_are_listed_and_reset(
    operator: Api, api: Api, tenant: Tenant, closed: None
) -> None:
    """With whose they are; a tenant's key resets none, and what has not opened is not found."""
    server = McpServer.objects.create(name="harbour", url="https://example.com/", tenant=tenant)
    keys = [f"tool/mcp/{server.pk}", "tool/http_fetch/example.com:8080", f"tool/webhook/{uuid.uuid4()}"]
    breaker = CircuitBreaker(shared_circuits(), TOOL_POLICY, trips)
    for key in keys:
        for _ in range(TOOL_POLICY.failures):
            breaker.failed(key, breaker.admit(key), "timeout")
    told = {one["circuit"]: one for one in operator.get(CIRCUITS).json()["tools"]}
    assert {key: (told[key]["tool"], told[key]["tenant_id"]) for key in keys} == {
        keys[0]: ("mcp:harbour", str(tenant.pk)),
        keys[1]: ("http_fetch", None),
        keys[2]: ("", None),
    }
    assert {one["state"] for one in told.values()} == {"open"}
    reset = f"{CIRCUITS}tools/reset/"
    assert_problem(api.post(reset, {"circuit": keys[0]}), 403, "operator-key-needed")
    assert_problem(operator.post(reset, {"circuit": "tool/mcp/other"}), 404)
    assert_problem(operator.post(reset, {"circuit": KEY}), 404)
    answer = operator.post(reset, {"circuit": keys[0]}).json()
    assert (answer["state"], answer["open_until"], answer["tool"]) == ("closed", None, "mcp:harbour")
    assert breaker.admit(keys[0]).passes
    assert not breaker.admit(keys[1]).passes
    assert OperatorAction.objects.get().details == {"circuit": keys[0], "state": "open"}


@pytest.mark.parametrize(
    "body",
    [{}, {"open_seconds": 0}, {"open_seconds": 86_401}, {"open_seconds": "5"}, {"open_seconds": 5, "x": 1}],
)
def test_for_how_long_a_circuit_is_opened_has_to_make_sense(
    operator: Api, closed: None, body: dict[str, Any]
) -> None:
    """Else nothing is opened."""
    assert_problem(operator.post(f"{SONNET}open/", body), 400)
    assert not CircuitTrip.objects.exists()


def test_what_no_tier_has_there_has_no_circuit(operator: Api) -> None:
    """A misspelt name opens nothing."""
    for path in ("anthropic/nobody", "nobody/claude-sonnet-5-5"):
        assert_problem(operator.post(f"{CIRCUITS}{path}/open/", {"open_seconds": 5}), 404)
        assert_problem(operator.post(f"{CIRCUITS}{path}/reset/", {}), 404)


def test_without_the_cache_server_nobody_knows_how_circuits_stand(operator: Api, settings: Any) -> None:
    """That is said, in place of what one process knows of its own."""
    (port,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    shared_circuits.cache_clear()
    try:
        assert_problem(operator.get(CIRCUITS), 503, "circuits-unavailable")
        assert_problem(operator.post(f"{SONNET}open/", {"open_seconds": 5}), 503, "circuits-unavailable")
        with pytest.raises(CircuitsAway):
            circuit_open(KEY, 5, by="nobody")
        with pytest.raises(CircuitsAway):
            circuit_reset(KEY)
    finally:
        shared_circuits.cache_clear()
    assert not OperatorAction.objects.exists()


def test_a_step_says_what_answered_its_latest_call(api: Api, tenant: Tenant) -> None:
    """In one query for all steps; what failed has answered nothing."""
    workflow_id = api.submit("ten_noops")
    path = f"{WORKFLOWS}{workflow_id}/"
    with CaptureQueriesContext(connection) as without:
        assert {step["served_by"] for step in api.get(path).json()["steps"]} == {None}
    for step in Step.objects.filter(workflow=workflow_id):
        mine = {"workflow_id": workflow_id, "step_id": step.pk}
        call_make(tenant, **mine)
        call_make(
            tenant, **mine, ordinal=1, tier="balanced", model="claude-sonnet-5-5", escalated_from="fast"
        )
        call_make(tenant, **mine, ordinal=2, status="failed", tier="powerful")
    with CaptureQueriesContext(connection) as with_calls:
        steps = api.get(path).json()["steps"]
    assert len(with_calls) == len(without)
    expected = {"tier": "balanced", "model": "claude-sonnet-5-5", "escalated_from": "fast", "cache": None}
    assert [step["served_by"] for step in steps] == [expected] * 10


def test_a_degradation_names_both_models(api: Api) -> None:
    """As the gateway has told it."""
    workflow_id = api.submit()
    told = {
        "code": "tier_capped",
        "message": "Answered by the fast tier.",
        "requested_model": "claude-opus-5-5",
        "served_model": "claude-haiku-5-5",
        "step": "step_0",
    }
    Workflow.objects.filter(pk=workflow_id).update(degradations=[told])
    assert api.get(f"{WORKFLOWS}{workflow_id}/").json()["degradations"] == [told]


def test_a_dry_run_without_any_provider_names_no_cost(api: Api) -> None:
    """What nobody serves today has no price; nothing fails."""
    from apps.gateway.selectors import _catalogue

    TierProvider.objects.all().delete()
    _catalogue.cache_clear()
    try:
        body = {"type": "answer_question", "input": {"question": "What is it?"}, "dry_run": True}
        response = api.post(WORKFLOWS, body)
    finally:
        _catalogue.cache_clear()
    assert response.status_code == 200
    assert response.json()["worst_case_cost_usd_micros"] is None
