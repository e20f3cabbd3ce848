"""Reserve and settle: no window ever spends more than its cap, and every counter is the sum of its ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from agentplatform.llm.errors import BudgetShort
from agentplatform.llm.messages import Usage
from apps.budgets.models import (
    Budget,
    BudgetOverride,
    BudgetWindow,
    LedgerEntry,
    Reservation,
    Slice,
    WindowSet,
)
from apps.budgets.watching import slices_give_back
from apps.database import call_function
from apps.gateway.models import Call
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import tenant_create
from tests.integration.budgets.conftest import (
    Spender,
    assert_counters_are_the_ledger,
    usage_of,
    windows,
)

MakeBudget = Callable[..., Budget]


def test_a_call_is_reserved_for_at_its_worst_case_and_settled_at_its_cost(
    spender: Spender, budget: MakeBudget
) -> None:
    """In money and in tokens, by day and by month."""
    mine = budget(daily_usd_micros=1_000_000, monthly_tokens=1_000_000)
    call = spender.start()
    day, month = usage_of(mine), usage_of(mine, "month")
    assert (day.in_flight_usd_micros, day.used_usd_micros) == (1_000, 0)
    assert (month.in_flight_tokens, month.used_tokens) == (1_100, 0)
    spender.settle(call)
    day, month = usage_of(mine), usage_of(mine, "month")
    assert (day.in_flight_usd_micros, day.used_usd_micros, month.used_tokens) == (0, 300, 300)
    assert not Reservation.objects.exists()
    assert_counters_are_the_ledger()


def test_what_does_not_fit_is_refused_and_changes_nothing(spender: Spender, budget: MakeBudget) -> None:
    """Nor does it touch anybody else."""
    mine = budget(daily_usd_micros=1_999)
    first = spender.start()
    with pytest.raises(BudgetShort) as refused:
        spender.start()
    assert (refused.value.code, refused.value.room_usd_micros) == ("budget_exhausted", 999)
    assert refused.value.in_flight
    assert Call.objects.count() == Reservation.objects.count() == 1
    spender.settle(first)
    spender.start(usd_micros=1_699)
    with pytest.raises(BudgetShort):
        spender.start(usd_micros=1)
    Spender(tenant_create(name="other", tier="standard")).spend()
    assert usage_of(mine).used_usd_micros == 300
    assert_counters_are_the_ledger()


def test_tokens_are_a_budget_of_their_own(spender: Spender, budget: MakeBudget) -> None:
    """A call that costs nothing may still have too many."""
    budget(daily_tokens=1_500)
    spender.settle(spender.start(usd_micros=0), 0)
    spender.start(usd_micros=0)
    with pytest.raises(BudgetShort) as refused:
        spender.start(usd_micros=0)
    assert refused.value.room_tokens == 100
    assert refused.value.room_usd_micros is None


def test_many_at_once_never_spend_more_than_the_cap_and_nearly_all_of_it(
    spender: Spender, budget: MakeBudget
) -> None:
    """Eight at once, over four windows, until nothing fits."""
    mine = budget(daily_usd_micros=100_000, monthly_usd_micros=300_000)
    budget("all", scope="platform", daily_usd_micros=120_000, monthly_usd_micros=10_000_000)
    together = threading.Barrier(8)

    def spend(_: int) -> int:
        together.wait()
        count = patience = 0
        while patience < 200:
            try:
                spender.spend()
            except BudgetShort as short:
                patience = patience + 1 if short.in_flight else 200
                continue
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(spend, range(8)))
    used = usage_of(mine).used_usd_micros
    assert used == 300 * sum(counts) == LedgerEntry.objects.aggregate(sum=Sum("cost_usd_micros"))["sum"]
    assert 99_000 < used <= 100_000
    assert usage_of(mine, "month").used_usd_micros == used
    assert_counters_are_the_ledger()


def test_most_calls_touch_no_window(spender: Spender, budget: MakeBudget) -> None:
    """They are reserved for from a slice, and what is left of that goes back once nobody uses it."""
    mine = budget(daily_usd_micros=100_000_000)
    before = None
    for _ in range(20):
        spender.spend()
        window = BudgetWindow.objects.values().get()
        before = before or window
        assert window == before
    assert Slice.objects.count() == 1
    Slice.objects.update(used_at=timezone.now() - timedelta(minutes=2))
    assert slices_give_back() == 1
    assert not Slice.objects.exists()
    window = BudgetWindow.objects.get()
    assert (window.leased_usd_micros, window.spent_usd_micros) == (0, 20 * 300)
    assert usage_of(mine).used_usd_micros == 6_000


def test_a_slice_in_use_keeps_what_is_in_flight(spender: Spender, budget: MakeBudget) -> None:
    """The rest goes back, and the call settles in what is left of it."""
    mine = budget(daily_usd_micros=100_000_000)
    call = spender.start()
    Slice.objects.update(used_at=timezone.now() - timedelta(minutes=2))
    slices_give_back()
    assert Slice.objects.values_list("granted_usd_micros", "reserved_usd_micros").get() == (1_000, 1_000)
    spender.settle(call)
    assert usage_of(mine).used_usd_micros == 300
    assert_counters_are_the_ledger()


def test_a_slice_from_before_a_crash_is_not_given_out_again(spender: Spender, budget: MakeBudget) -> None:
    """Reservations that were made from it may be lost; what comes back of these settles in it."""
    budget(daily_usd_micros=1_000_000)
    call = spender.start()
    old = Slice.objects.get()
    Slice.objects.update(
        epoch=timezone.now() - timedelta(minutes=1), reserved_usd_micros=0, reserved_tokens=0
    )
    Reservation.objects.all().delete()
    Call.objects.all().delete()
    spender.start()
    assert Slice.objects.exclude(pk=old.pk).get().reserved_usd_micros == 1_000
    spender.settle(call)
    assert Slice.objects.get(pk=old.pk).spent_usd_micros == 300
    assert_counters_are_the_ledger()


def test_what_costs_more_than_its_worst_case_counts_whole(spender: Spender, budget: MakeBudget) -> None:
    """Its slice grows by as much; no other call gets what has been spent."""
    mine = budget(daily_usd_micros=1_000_000)
    spender.settle(spender.start(), 990_000)
    window, slice_ = BudgetWindow.objects.get(), Slice.objects.get()
    assert window.leased_usd_micros == slice_.granted_usd_micros == slice_.spent_usd_micros == 990_000
    with pytest.raises(BudgetShort):
        spender.start(usd_micros=10_001)
    assert usage_of(mine).room_usd_micros == 10_000
    assert_counters_are_the_ledger()


def test_a_lowered_cap_holds_at_once_although_slices_are_out(spender: Spender, budget: MakeBudget) -> None:
    """They give back what they hold."""
    mine = budget(daily_usd_micros=100_000_000)
    spender.spend()
    Budget.objects.update(daily_usd_micros=1_299)
    with pytest.raises(BudgetShort):
        spender.start()
    assert usage_of(mine).room_usd_micros == 999
    Budget.objects.update(daily_usd_micros=1_300)
    spender.start()


def test_a_reservation_settles_in_the_window_it_was_made_in(spender: Spender, budget: MakeBudget) -> None:
    """Though the day has turned meanwhile."""
    budget(daily_usd_micros=1_000_000)
    call = spender.start()
    day = timedelta(days=1)
    window = BudgetWindow.objects.get()
    BudgetWindow.objects.update(starts_at=window.starts_at - day, ends_at=window.ends_at - day)
    WindowSet.objects.update(valid_until=timezone.now())
    spender.spend()
    spender.settle(call, usd_micros=500)
    old, new = BudgetWindow.objects.order_by("starts_at")
    assert (old.usage.used_usd_micros, new.usage.used_usd_micros) == (500, 300)
    assert_counters_are_the_ledger()


def test_a_day_begins_where_the_budget_says(spender: Spender, budget: MakeBudget) -> None:
    """In its time zone."""
    budget(daily_usd_micros=1_000_000, time_zone="Asia/Tokyo")
    spender.spend()
    starts_at = BudgetWindow.objects.get().starts_at
    assert (starts_at.hour, starts_at.minute) == (15, 0)


def test_an_override_holds_until_it_expires(spender: Spender, budget: MakeBudget) -> None:
    """And only for the caps that it names."""
    mine = budget(daily_usd_micros=1_000, monthly_usd_micros=5_000)
    spender.spend()
    with pytest.raises(BudgetShort):
        spender.start()
    override = BudgetOverride.objects.create(
        budget=mine, daily_usd_micros=4_000, expires_at=timezone.now() + timedelta(hours=1), reason="launch"
    )
    assert (usage_of(mine).cap_usd_micros, usage_of(mine, "month").cap_usd_micros) == (4_000, 5_000)
    spender.spend()
    now = timezone.now()
    BudgetOverride.objects.filter(pk=override.pk).update(starts_at=now - timedelta(hours=2), expires_at=now)
    with pytest.raises(BudgetShort):
        spender.start()


def test_a_budget_that_begins_in_its_period_counts_what_was_spent_before(
    spender: Spender, budget: MakeBudget
) -> None:
    """From the ledger; and so does one that was switched off meanwhile."""
    spender.spend()
    mine = budget(daily_usd_micros=1_700)
    spender.start()
    assert usage_of(mine).used_usd_micros == 300
    mine.is_enabled = False
    mine.save()
    spender.spend()
    mine.is_enabled = True
    mine.save()
    with pytest.raises(BudgetShort):
        spender.start(usd_micros=1_101)
    assert usage_of(mine).used_usd_micros == 600


def test_every_scope_counts_its_own(tenant: Tenant, budget: MakeBudget) -> None:
    """A default for each tenant of a tier gives way to a tenant's own budget."""
    other = tenant_create(name="other", tier="standard")
    key = ApiKey.objects.create(scope="tenant", tenant=tenant, name="k", prefix="p", key_hash="h")
    cap = {"monthly_usd_micros": 10_000_000}
    budget(**cap)
    budget("all", scope="platform", **cap)
    budget("standard", scope="tier", tier=tenant.tier, **cap)
    budget("each", scope="each_tenant", tier=tenant.tier, **cap)
    budget("key", scope="api_key", api_key=key, **cap)
    budget("asking", scope="task_type", task_type="one_ask", **cap)
    budget("asking of acme", scope="task_type", task_type="one_ask", tenant=tenant, **cap)
    Spender(tenant, api_key_id=key.pk).spend()
    assert windows() == [
        (name, "month") for name in ("acme", "all", "asking", "asking of acme", "key", "standard")
    ]
    Spender(other, task_type="extract").spend()
    used = {window.budget.name: window.usage.used_usd_micros for window in BudgetWindow.objects.all()}
    assert used == {
        "acme": 300,
        "all": 600,
        "asking": 300,
        "asking of acme": 300,
        "each": 300,
        "key": 300,
        "standard": 600,
    }
    assert_counters_are_the_ledger()


def test_a_dry_run_counts_and_refuses_nothing(spender: Spender, budget: MakeBudget) -> None:
    """It is used far over its cap."""
    mine = budget(daily_usd_micros=100, is_dry_run=True)
    spender.spend()
    spender.spend()
    assert usage_of(mine).used_usd_micros == 600
    assert usage_of(mine).used_percent == 600


def test_only_the_shutoff_share_of_a_cap_is_spent(spender: Spender, budget: MakeBudget) -> None:
    """Half of it, here."""
    budget(daily_usd_micros=2_000, shutoff_percent=50)
    spender.spend()
    with pytest.raises(BudgetShort) as refused:
        spender.start()
    assert refused.value.room_usd_micros == 700
    assert not refused.value.in_flight


def test_a_call_that_nobody_came_back_from_counts_at_its_worst_case_until_somebody_tells(
    spender: Spender, budget: MakeBudget
) -> None:
    """The sweeper charges it, and the truth is entered as a difference."""
    mine = budget(daily_usd_micros=10_000)
    call = spender.start()
    assert call_function("workflows_sweep_reservations", [0.0, 10], ["float", "int"])[0][0] == 1
    assert not Reservation.objects.exists()
    unknown = LedgerEntry.objects.get()
    assert (unknown.outcome, unknown.cost_usd_micros, unknown.input_tokens) == ("unknown", 1_000, 1_000)
    assert usage_of(mine).used_usd_micros == 1_000
    spender.settle(call)
    correction = LedgerEntry.objects.exclude(pk=unknown.pk).get()
    assert (correction.kind, correction.cost_usd_micros, correction.input_tokens) == (
        "correction",
        -700,
        -800,
    )
    assert (usage_of(mine).used_usd_micros, usage_of(mine).used_tokens) == (300, 300)
    spender.settle(call)
    assert LedgerEntry.objects.count() == 2
    assert_counters_are_the_ledger()


def test_a_batched_call_is_reserved_for_straight_from_its_windows(
    spender: Spender, budget: MakeBudget
) -> None:
    """It may wait for a day; the sweeper leaves it alone."""
    mine = budget(daily_usd_micros=1_000_000)
    call = spender.start(lane="batch")
    assert not Slice.objects.exists()
    assert call_function("workflows_sweep_reservations", [0.0, 10], ["float", "int"])[0][0] == 0
    spender.settle(call, usage=replace(Usage(), output_tokens=5))
    assert LedgerEntry.objects.get().kind == "batch"
    assert (usage_of(mine).used_usd_micros, usage_of(mine).in_flight_usd_micros) == (300, 0)
