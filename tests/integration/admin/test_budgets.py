"""Budgets in the admin: set in dollars, refused where they make no sense, audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.budgets.models import (
    Budget,
    BudgetHold,
    BudgetOverride,
    LedgerEntry,
    Reservation,
    ThresholdCrossing,
)
from apps.budgets.watching import budgets_watch
from apps.tenants.models import Tenant
from tests.integration.admin.conftest import Person, change_url, list_url, logged
from tests.integration.budgets.conftest import Spender

ADD = "/admin/budgets/budget/add/"


@pytest.fixture
def finance(somebody: Callable[..., Person]) -> Person:
    return somebody("finance")


def fields(**changed: object) -> dict[str, object]:
    """The form of a budget without overrides."""
    told: dict[str, object] = {
        "name": "all",
        "scope": "platform",
        "daily_usd_micros": "12.5",
        "time_zone": "UTC",
        "is_enabled": "on",
        "alert_percent": "80",
        "degrade_percent": "90",
        "throttle_percent": "95",
        "shutoff_percent": "100",
        "throttle_to_percent": "25",
        "rearm_points": "5",
        "overrides-TOTAL_FORMS": "0",
        "overrides-INITIAL_FORMS": "0",
    }
    return {**told, **changed}


def test_a_budget_is_set_in_dollars_and_the_log_has_before_and_after(finance: Person) -> None:
    """To the micro-dollar."""
    assert finance.post(ADD, **fields()).status_code == 302
    budget = Budget.objects.get()
    assert budget.daily_usd_micros == 12_500_000
    assert 'value="12.5' in finance.page(change_url(budget))
    finance.post(change_url(budget), **fields(daily_usd_micros="20.000001", time_zone="Europe/Berlin"))
    budget.refresh_from_db()
    assert (budget.daily_usd_micros, budget.time_zone) == (20_000_001, "Europe/Berlin")
    assert logged(budget)[-1] == (
        "Changed: daily_usd_micros 12500000 → 20000001, time_zone 'UTC' → 'Europe/Berlin'"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scope": "tenant"}, "needs its tenant"),
        ({"scope": "task_type"}, "needs its task type"),
        ({"task_type": "one_ask"}, "has no task type"),
        ({"daily_usd_micros": ""}, "at least one cap"),
        ({"daily_usd_micros": "-1"}, "greater than or equal to 0"),
        ({"degrade_percent": "70"}, "comes after an action at 80 %"),
        ({"time_zone": "Mars/Olympus"}, "Select a valid choice"),
        ({"shutoff_percent": "101"}, "less than or equal to 100"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    finance: Person, changed: dict[str, object], message: str
) -> None:
    """With a reason."""
    response = finance.post(ADD, **fields(**changed))
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not Budget.objects.exists()


def test_two_budgets_of_the_same_are_refused(finance: Person) -> None:
    """The one that is there is named."""
    finance.post(ADD, **fields())
    page = finance.post(ADD, **fields(name="again")).content.decode()
    assert "caps the same already" in page
    assert Budget.objects.count() == 1


def test_an_override_is_added_with_its_reason_and_who_made_it(finance: Person) -> None:
    """It raises the cap until it expires."""
    finance.post(ADD, **fields())
    budget = Budget.objects.get()
    expires_at = timezone.now() + timedelta(days=2)
    row = {
        "overrides-TOTAL_FORMS": "1",
        "overrides-0-budget": str(budget.pk),
        "overrides-0-daily_usd_micros": "50",
        "overrides-0-starts_at_0": "2026-01-01",
        "overrides-0-starts_at_1": "00:00:00",
        "overrides-0-expires_at_0": expires_at.strftime("%Y-%m-%d"),
        "overrides-0-expires_at_1": "00:00:00",
        "overrides-0-reason": "launch week",
    }
    assert finance.post(change_url(budget), **fields(**row)).status_code == 302
    override = BudgetOverride.objects.get()
    assert (override.daily_usd_micros, override.created_by) == (50_000_000, finance.user)
    assert "launch week" in logged(budget)[-1]


def test_operators_see_budgets_and_do_not_change_them(operator: Person, tenant: Tenant) -> None:
    """Money is finance's."""
    budget = Budget.objects.create(name="acme", scope="tenant", tenant=tenant, daily_usd_micros=1_000)
    assert "acme" in operator.page(list_url(Budget))
    assert operator.post(change_url(budget), **fields()).status_code == 403
    assert operator.get(ADD).status_code == 403


def test_pages_show_what_is_used_and_what_budgets_did(finance: Person, tenant: Tenant) -> None:
    """Windows, actions, calls in flight, holds, and the ledger with corrections."""
    budget = Budget.objects.create(name="acme", scope="tenant", tenant=tenant, daily_usd_micros=10_000)
    spender = Spender(tenant)
    spender.settle(spender.start(), 8_600)
    spender.start()
    budgets_watch()
    BudgetHold.objects.create(
        step_id=tenant.pk, workflow_id=tenant.pk, tenant=tenant, task_type="one_ask", usd_micros=5, tokens=7
    )
    assert "86.0% · $0.0086 of $0.01" in finance.page(list_url(Budget))
    page = finance.page(change_url(budget))
    assert "86.0 % of its money" in page
    assert "$0.001" in page
    assert "alert" in finance.page(list_url(ThresholdCrossing))
    assert "$0.001, 1,100 tokens" in finance.page(list_url(Reservation))
    assert "$0.000005, 7 tokens" in finance.page(list_url(BudgetHold))
    for model in (ThresholdCrossing, Reservation, BudgetHold, LedgerEntry):
        found = model._default_manager.first()
        assert found is not None
        assert finance.get(change_url(found)).status_code == 200


def test_a_deleted_budget_takes_its_windows_along_and_leaves_the_ledger(
    finance: Person, tenant: Tenant
) -> None:
    """What was spent stays spent."""
    budget = Budget.objects.create(name="acme", scope="tenant", tenant=tenant, daily_usd_micros=10_000)
    spender = Spender(tenant)
    spender.spend()
    in_flight = spender.start()
    assert finance.post(f"{change_url(budget).removesuffix('change/')}delete/", post="yes").status_code == 302
    assert not Budget.objects.exists()
    spender.settle(in_flight)
    assert LedgerEntry.objects.count() == 2
