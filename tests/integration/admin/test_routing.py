"""Calls and how they were routed, in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.gateway.models import Call
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.integration.admin.conftest import Person, change_url, list_url
from tests.integration.calls import call_make

ROUTING = "/admin/gateway/call/routing/"


@pytest.fixture
def tenant(db: None) -> Tenant:
    return tenant_create(name="acme", tier="standard")


def test_a_call_says_how_it_was_routed(reader: Person, tenant: Tenant) -> None:
    """On its page and in the list."""
    call = call_make(
        tenant,
        tier="balanced",
        lane="batch",
        complexity=0.42,
        routing_reason="complexity 0.42: structure",
        escalated_from="fast",
        cache_read_tokens=800,
    )
    html = reader.page(change_url(call))
    for text in ("batch", "0.42", "complexity 0.42: structure", "fast", "800 of 1,000 tokens"):
        assert text in html
    assert "fast → balanced at anthropic (batch)" in reader.page(list_url(Call))


@pytest.mark.parametrize(
    ("query", "is_shown"),
    [
        ({"tier": "balanced"}, True),
        ({"tier": "fast"}, False),
        ({"tier": "nonsense"}, True),
        ({"provider": "anthropic"}, True),
        ({"provider": "nobody"}, True),
        ({"lane": "live"}, True),
        ({"lane": "batch"}, False),
        ({"escalated": "yes"}, True),
        ({"escalated": "fast"}, True),
        ({"escalated": "powerful"}, False),
        ({"started_at_from": "2199-01-01"}, False),
    ],
)
def test_calls_are_filtered(reader: Person, tenant: Tenant, query: dict[str, str], is_shown: bool) -> None:
    """By tier, provider, lane, escalation and day."""
    call = call_make(tenant, tier="balanced", escalated_from="fast")
    assert (change_url(call) in reader.page(list_url(Call), **query)) is is_shown


def test_no_filter_of_calls_counts_them_all(reader: Person, tenant: Tenant) -> None:
    """Counting ends at a bound, and few queries make the page."""
    call_make(tenant)
    with CaptureQueriesContext(connection) as captured:
        reader.page(list_url(Call), tier="fast", escalated="yes")
    counting = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    assert counting
    assert all("LIMIT 10001" in sql for sql in counting)


def test_routing_is_added_up_by_task_and_tier(reader: Person, tenant: Tenant) -> None:
    """Calls, escalations, complexity, fallbacks, cost; prompt caching by agent; of the period that is chosen."""
    for complexity in (0.1, 0.2):
        call_make(tenant, complexity=complexity, cache_read_tokens=250)
    call_make(tenant, status="failed", provider="second", cost_usd_micros=0)
    call_make(tenant, tier="balanced", escalated_from="fast")
    old = timezone.now() - timedelta(days=3)
    call_make(tenant, task_type="research_report", started_at=old)
    html = reader.page(ROUTING)
    for text in ("extract_data", "1 (50.0%)", "0.15", "1 (33.3%)", "$1.00", "12.5%"):
        assert text in html, text
    assert "research_report" not in html
    assert "research_report" in reader.page(ROUTING, days="7")
    assert reader.get(ROUTING, days="nonsense").status_code == 200


def test_routing_is_for_who_may_see_calls(operator: Person) -> None:
    """Others are refused, and do not find it in the sidebar."""
    assert ROUTING in operator.page(reverse("admin:index"))
    operator.user.groups.get().permissions.remove(Permission.objects.get(codename="view_call"))
    assert operator.get(ROUTING).status_code == 403
    assert ROUTING not in operator.page(reverse("admin:index"))
