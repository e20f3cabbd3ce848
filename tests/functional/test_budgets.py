"""A tenant comes to the end of its budget: it is told, degraded, throttled, held, and goes on; others see nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.product import Product, broken_invariants, eventually


@pytest.fixture
def tenant(product: Product) -> Iterator[str]:
    """The id of a tenant of its own, with a budget of a dollar a day; requests are its own in the test."""
    with product.as_new_tenant("the budget's"):
        ((tenant_id,),) = product.query("SELECT id FROM tenants_tenant WHERE name = %s", "the budget's")
        product.query(
            """INSERT INTO budgets_budget (
                   name, scope, tenant_id, task_type, daily_usd_micros, time_zone, is_enabled, is_dry_run,
                   alert_percent, degrade_percent, throttle_percent, shutoff_percent, throttle_to_percent,
                   rearm_points, generation)
               VALUES ('lunch', 'tenant', %s, '', 1000000, 'UTC', true, false, 80, 90, 95, 100, 25, 5, 1)
               RETURNING id""",
            tenant_id,
        )
        yield str(tenant_id)
        product.query("UPDATE budgets_budget SET is_enabled = false RETURNING id")


def used_up_to(product: Product, percent: float) -> None:
    """Sets the cap so that so much of it is used now."""
    (budget,) = product.http.get("/api/v1/budget/").json()["budgets"]
    used = budget["windows"][0]["used_usd_micros"]
    product.query(
        "UPDATE budgets_budget SET daily_usd_micros = %s WHERE name = 'lunch' RETURNING id",
        int(used * 100 / percent),
    )


def told(product: Product) -> list[str]:
    """The actions that the tenant was told of, oldest first."""
    notices = product.http.get("/api/v1/notices/").json()["results"]
    return [notice["data"]["action"] for notice in reversed(notices) if notice["code"] == "budget.threshold"]


def in_force(product: Product, level: str) -> None:
    """Returns once the level holds for the tenant, in every process."""

    def holds() -> bool:
        return bool(product.http.get("/api/v1/budget/").json()["restraint"]["level"] == level)

    eventually(holds, 15, f"{level} is not in force")


def asked(product: Product) -> dict[str, Any]:
    """A workflow of one call of the highest tier, ended."""
    return product.finished(product.submit("one_deep_ask", {"calls": 1}, priority="interactive"))


def notes(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was not as asked for, by code."""
    return {note["code"]: note for note in workflow["degradations"]}


def test_a_tenant_comes_to_the_end_of_its_budget_and_goes_on(product: Product, tenant: str) -> None:
    """Each action in turn, with honest labels."""
    first = product.finished(product.submit("one_deep_ask", {"calls": 90}, priority="interactive"), 60)
    assert first["degradations"] == []

    used_up_to(product, 82)
    eventually(lambda: told(product) == ["alert"], 15, "nobody was told")
    assert asked(product)["degradations"] == []

    used_up_to(product, 91)
    in_force(product, "degrade")
    eventually(lambda: told(product) == ["alert", "degrade"], 15, "nobody was told")
    eventually(lambda: "budget_degraded" in notes(asked(product)), 10, "the worker does not degrade")
    note = notes(asked(product))["budget_degraded"]
    assert (note["requested_model"], note["served_model"]) == ("claude-opus-5-5", "claude-sonnet-5-5")

    used_up_to(product, 96)
    in_force(product, "throttle")
    eventually(lambda: "budget_throttled" in notes(asked(product)), 10, "the worker does not throttle")
    assert notes(asked(product))["budget_degraded"]["served_model"] == "claude-haiku-5-5"
    limits = "SELECT l.max_concurrent_steps, t.max_concurrent_steps, t.throttle_percent FROM tenants_limits l JOIN tenants_tenant t ON t.id = l.tenant_id"
    assert product.query(f"{limits} WHERE t.id = %s", tenant) == [(12, None, 25)]

    used_up_to(product, 100)
    held = product.submit("one_deep_ask", {"calls": 1}, priority="interactive")
    eventually(lambda: product.workflow(held)["status"] == "held", 15, "it is not held")
    shown = product.workflow(held)
    assert shown["steps"][0]["waiting_for"] == "budget"
    assert "lunch" in notes(shown)["budget_held"]["message"]
    eventually(lambda: told(product)[-1] == "shutoff", 15, "nobody was told of the shutoff")
    assert told(product) == ["alert", "degrade", "throttle", "shutoff"]
    assert product.http.get("/api/v1/budget/").json()["held_steps"] == 1

    with product.as_new_tenant("somebody else"):
        assert asked(product)["degradations"] == []
        assert product.http.get("/api/v1/notices/").json()["results"] == []
        assert product.http.get("/api/v1/budget/").json()["budgets"] == []

    used_up_to(product, 10)
    resumed = product.finished(held)
    assert resumed["status"] == "succeeded"
    assert "budget_held" in notes(resumed)
    in_force(product, "none")
    assert asked(product)["degradations"] == []
    assert broken_invariants(product) == {}
