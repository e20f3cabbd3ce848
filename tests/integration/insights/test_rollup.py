"""The ledger added up by the hour, and reads that take from it what they can."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import Sum

from agentplatform.identifiers import uuid7
from apps.budgets.models import HourlySpend, LedgerEntry
from apps.budgets.rollup import spend_rollup
from apps.budgets.spend_selectors import spend_by
from apps.tenants.models import Tenant
from tests.integration.insights.conftest import DAY, HOUR, USD, spent, this_hour

FULL = {
    "input_tokens": 100,
    "output_tokens": 10,
    "cache_write_5m_tokens": 1,
    "cache_write_1h_tokens": 2,
    "cache_read_tokens": 4,
    "served_tokens": 8,
    "avoided_usd_micros": 50,
}


def rolled() -> list[tuple[int, int]]:
    return sorted(HourlySpend.objects.values_list("calls", "cost_usd_micros"))


def test_hours_are_the_sums_of_their_entries(tenant: Tenant, other: Tenant) -> None:
    """One row for each hour and kind of call; every bucket of tokens, and what was entered at its worst case."""
    key = uuid7()
    for _ in range(3):
        spent(tenant, 0.5, this_hour() - HOUR, api_key_id=key, **FULL)
    spent(tenant, 0.25, this_hour() - HOUR, api_key_id=key, outcome="unknown", **FULL)
    spent(tenant, 1.0, this_hour(), api_key_id=key)
    spent(other, 2.0, this_hour(), kind="batch")
    spend_rollup()
    row = HourlySpend.objects.get(hour=this_hour() - HOUR)
    assert (row.tenant, row.tenant_tier, row.api_key_id, row.kind) == (tenant, "standard", key, "call")
    assert (row.calls, row.input_tokens, row.output_tokens) == (4, 4 * 107, 40)
    assert (row.cache_read_tokens, row.served_tokens, row.avoided_usd_micros) == (16, 32, 200)
    assert (row.cost_usd_micros, row.unknown_usd_micros) == (1_750_000, 250_000)
    assert HourlySpend.objects.count() == 3


def test_adding_up_again_changes_only_what_has_changed(tenant: Tenant) -> None:
    """A late entry of the hour before is picked up; without one nothing is written."""
    spent(tenant, 1.0, this_hour() - HOUR)
    assert spend_rollup() == 1
    assert spend_rollup() == 0
    spent(tenant, 2.0, this_hour() - timedelta(seconds=1))
    spent(tenant, 0, this_hour() - HOUR, avoided_usd_micros=7)
    assert spend_rollup() == 1
    assert rolled() == [(3, 3 * USD)]


def test_the_first_time_adds_up_everything_and_a_gap_is_made_good(tenant: Tenant) -> None:
    """When nobody has added up for days, no hour is left out."""
    spent(tenant, 1.0, this_hour() - 40 * DAY)
    spend_rollup()
    spent(tenant, 2.0, this_hour() - 9 * DAY)
    spent(tenant, 3.0, this_hour() - 40 * DAY)
    spend_rollup()
    assert rolled() == [(1, 2 * USD), (2, 4 * USD)]


@pytest.mark.parametrize("adds_up", [(), (0,), (1,), (2,), (0, 1, 2), (0, 0, 2)])
def test_spend_is_the_ledger_whenever_it_was_added_up(tenant: Tenant, adds_up: tuple[int, ...]) -> None:
    """Never, early, late, again and again: what is read is what the ledger has."""
    hours = [this_hour() - 30 * DAY, this_hour() - HOUR, this_hour()]
    for number, hour in enumerate(hours):
        spent(tenant, number + 1.0, hour, task_type=f"type_{number}")
        if number in adds_up:
            spend_rollup()
        spent(tenant, 10.0, hour, task_type="late")
    lines = spend_by(["task_type"], this_hour() - 31 * DAY, this_hour() + HOUR)
    ledger = LedgerEntry.objects.order_by().values_list("task_type").annotate(Sum("cost_usd_micros"))
    assert {line.key[0]: line.cost_usd_micros for line in lines} == dict(ledger)


def test_spend_is_of_the_hours_and_the_tenant_that_were_asked_for(tenant: Tenant, other: Tenant) -> None:
    """From is included, to is not; filters hold for what was added up and for what was not."""
    for hour in (this_hour() - 3 * HOUR, this_hour() - 2 * HOUR, this_hour() - HOUR, this_hour()):
        spent(tenant, 1.0, hour)
        spent(other, 5.0, hour)
    spend_rollup()
    (line,) = spend_by([], this_hour() - 2 * HOUR, this_hour() + HOUR, tenant=tenant.pk)
    assert (line.calls, line.cost_usd_micros) == (3, 3 * USD)
    assert spend_by([], this_hour() - 2 * HOUR, this_hour(), tenant=tenant.pk)[0].calls == 2
    assert spend_by([], this_hour() - 2 * HOUR, this_hour(), tenant=uuid7()) == []
    by_hour = spend_by(["hour", "tenant_tier"], this_hour() - HOUR, this_hour() + HOUR)
    assert [(line.key, line.cost_usd_micros) for line in by_hour] == [
        ((this_hour() - HOUR, "enterprise"), 5 * USD),
        ((this_hour() - HOUR, "standard"), USD),
        ((this_hour(), "enterprise"), 5 * USD),
        ((this_hour(), "standard"), USD),
    ]
