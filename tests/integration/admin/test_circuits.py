"""Circuits in the admin: opened and reset by hand, with their history."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from agentplatform.agents.tools.toolbox import POLICY as TOOL_POLICY
from agentplatform.execution.circuit import CircuitBreaker, CircuitPolicy
from apps.circuits import shared_circuits
from apps.gateway.models import CircuitTrip, Provider
from apps.gateway.services import trips
from apps.tenants.models import Tenant
from apps.tools.models import McpServer
from tests.integration.admin.conftest import Person, change_url, list_url, logged
from tests.integration.stack.launching import free_ports

KEY = "anthropic/claude-haiku-5-5"


def test_a_circuit_is_opened_and_reset_by_hand_for_all_processes(operator: Person, closed: None) -> None:
    """With who did it in its history, and in the log of the provider."""
    breaker = CircuitBreaker(shared_circuits(), CircuitPolicy())
    anthropic = Provider.objects.get()
    opening = reverse("admin:gateway_circuittrip_open", args=KEY.split("/"))
    resetting = reverse("admin:gateway_circuittrip_reset", args=KEY.split("/"))
    html = operator.page(list_url(CircuitTrip))
    assert opening in html
    assert "closed" in html
    assert operator.confirm(opening, minutes="10", reason="They told us.").status_code == 302
    assert 590 < breaker.admit(KEY).retry_after_seconds <= 600
    trip = CircuitTrip.objects.get()
    assert (trip.circuit, trip.reason, trip.closed_at) == (KEY, "by operator", None)
    assert "open" in operator.page(list_url(CircuitTrip))
    assert operator.confirm(resetting).status_code == 302
    assert breaker.admit(KEY).passes
    trip.refresh_from_db()
    assert trip.closed_at is not None
    assert logged(anthropic) == [
        "Opened the circuit of claude-haiku-5-5 for 10 min, reason 'They told us.'",
        "Reset the circuit of claude-haiku-5-5, which was open",
    ]


def test_the_circuit_of_a_tool_is_shown_and_reset(
    operator: Person, reader: Person, tenant: Tenant, closed: None
) -> None:
    """Once it has opened, beside those of providers; a reader sees it."""
    server = McpServer.objects.create(name="harbour", url="https://example.com/", tenant=tenant)
    keys = [f"tool/mcp/{server.pk}", "tool/http_fetch/example.com:8080"]
    breaker = CircuitBreaker(shared_circuits(), TOOL_POLICY, trips)
    for key in keys:
        for _ in range(TOOL_POLICY.failures):
            breaker.failed(key, breaker.admit(key), "timeout")
        url = reverse("admin:gateway_circuittrip_reset_tool", args=[key])
        assert url in operator.page(list_url(CircuitTrip))
        page = reader.page(list_url(CircuitTrip))
        assert key in page
        assert url not in page
        assert reader.get(url).status_code == 403
        assert operator.confirm(url).status_code == 302
        assert breaker.admit(key).passes
    assert change_url(server) in operator.page(list_url(CircuitTrip))
    trip = CircuitTrip.objects.get(circuit=keys[0])
    assert logged(trip) == [f"Reset the circuit of {keys[0]}, which was open"]
    gone = reverse("admin:gateway_circuittrip_reset_tool", args=["tool/mcp/other"])
    assert operator.get(gone).status_code == 404


def test_a_reset_ends_a_trip_whose_circuit_was_lost(operator: Person, closed: None) -> None:
    """As with the memory of the cache server."""
    trip = CircuitTrip.objects.create(circuit=KEY, reason="timeout", open_until=timezone.now())
    assert (
        operator.confirm(reverse("admin:gateway_circuittrip_reset", args=KEY.split("/"))).status_code == 302
    )
    trip.refresh_from_db()
    assert trip.closed_at is not None


@pytest.mark.parametrize(
    "fields", [{"minutes": "0", "reason": "x"}, {"minutes": "1441", "reason": "x"}, {"minutes": "5"}]
)
def test_a_circuit_is_opened_for_some_time_and_a_reason(
    operator: Person, closed: None, fields: dict[str, str]
) -> None:
    """Else it stays closed."""
    opening = reverse("admin:gateway_circuittrip_open", args=KEY.split("/"))
    assert operator.confirm(opening, **fields).status_code == 200
    assert not CircuitTrip.objects.exists()
    assert operator.get(reverse("admin:gateway_circuittrip_open", args=["nobody", "x"])).status_code == 404


def test_without_the_cache_server_circuits_are_nobodys_to_open(operator: Person, settings: Any) -> None:
    """The page says so, and nothing is opened."""
    (port,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    shared_circuits.cache_clear()
    try:
        assert "The cache server does not answer." in operator.page(list_url(CircuitTrip))
        opening = reverse("admin:gateway_circuittrip_open", args=KEY.split("/"))
        response = operator.client.post(
            opening, {"confirmed": "1", "minutes": "5", "reason": "x"}, follow=True
        )
        assert "The cache server does not answer." in response.content.decode()
    finally:
        shared_circuits.cache_clear()
    assert not CircuitTrip.objects.exists()
