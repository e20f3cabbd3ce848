"""A tenant reads its budgets, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from apps.budgets.models import Budget
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.integration.api.conftest import Api
from tests.integration.budgets.conftest import Spender


@pytest.fixture
def mine(tenant: Tenant) -> Budget:
    """A budget of the tenant."""
    return Budget.objects.create(
        name="acme", scope="tenant", tenant=tenant, daily_usd_micros=1_000_000, monthly_tokens=2_000
    )


def read(api: Api) -> dict[str, Any]:
    response = api.get("/api/v1/budget/")
    assert response.status_code == 200, response.content
    return dict(response.json())


def test_a_tenant_sees_caps_usage_and_room(api: Api, tenant: Tenant, mine: Budget) -> None:
    """Of the day and the month; calls in flight count apart."""
    spender = Spender(tenant)
    spender.spend()
    spender.start()
    told = read(api)
    (budget,) = told["budgets"]
    assert (budget["name"], budget["scope"], budget["thresholds"]["degrade"]) == ("acme", "tenant", 90)
    day, month = budget["windows"]
    assert (day["period"], day["used_usd_micros"], day["in_flight_usd_micros"]) == ("day", 300, 1_000)
    assert (day["cap_usd_micros"], day["room_usd_micros"]) == (1_000_000, 998_700)
    assert (month["cap_tokens"], month["used_tokens"], month["room_tokens"]) == (2_000, 300, 600)
    assert told["restraint"] == {"level": "none", "budget": None}
    assert told["held_steps"] == 0


def test_a_tenant_without_budgets_has_none(api: Api, tenant: Tenant) -> None:
    """Also where others have, or all together."""
    other = tenant_create(name="other", tier="standard")
    Budget.objects.create(name="other", scope="tenant", tenant=other, daily_usd_micros=1)
    Budget.objects.create(name="all", scope="platform", daily_usd_micros=1_000_000)
    Spender(tenant).spend()
    assert read(api)["budgets"] == []


def test_a_budget_that_nothing_was_spent_of_is_there_without_windows(api: Api, mine: Budget) -> None:
    """They begin with the first call."""
    (budget,) = read(api)["budgets"]
    assert budget["windows"] == []
