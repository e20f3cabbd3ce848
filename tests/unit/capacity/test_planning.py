"""Plans: cost, workers, the limit that binds first, and what would be otherwise."""

from __future__ import annotations

import pytest

from agentplatform.capacity import sizing
from agentplatform.capacity.draws import Draw
from agentplatform.capacity.erlang import slots_for, wait_probability, wait_quantile
from agentplatform.capacity.limits import LimitKind, limits_of
from agentplatform.capacity.model import DAYS_A_MONTH, SECONDS_A_DAY, BudgetCap, Rates, TierLimits
from agentplatform.capacity.planning import plan, scenario
from agentplatform.capacity.what_if import WhatIf, WhatIfError, cache_share_of, shares_at, tier_shares_of
from tests.unit.capacity.loads import RATE_KEY, calls, exponential, load, platform, step, task

MONTH = DAYS_A_MONTH * SECONDS_A_DAY


@pytest.fixture(autouse=True)
def _short_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where waits are not what a test is about."""
    monkeypatch.setattr(sizing, "STEPS", 1_000)


def test_erlang_c_is_what_tables_say() -> None:
    """Of 2 and of 10 slots; the approximation for very many meets the exact sum."""
    assert wait_probability(2, 1.0) == pytest.approx(1 / 3)
    assert wait_probability(10, 8.0) == pytest.approx(0.4092, abs=1e-4)
    assert wait_probability(20_000, 19_900.0) == pytest.approx(wait_probability(20_001, 19_901.0), rel=0.05)
    assert wait_quantile(4, 5.0, 1.0, 1.0) == float("inf")
    assert wait_quantile(slots_for(100.0, 1.0, 1.0, 0.2), 100.0, 1.0, 1.0) <= 0.2
    assert wait_quantile(slots_for(100.0, 1.0, 1.0, 0.2) - 1, 100.0, 1.0, 1.0) > 0.2


@pytest.mark.parametrize("growth", [1.0, 3.0])
def test_costs_grow_with_the_load(growth: float) -> None:
    """Runs a second times calls times what one costs, for a month; budgets let no more through."""
    workload = load(task(0.5, step(calls=(calls(2.0, cost=1_000),))))
    capped = platform(20, budgets=(BudgetCap("all", 2_000_000_000, True),))
    made = scenario(workload, capped, growth)
    expected = 0.5 * growth * 2 * 1_000 * MONTH
    assert made.cost_usd_micros == pytest.approx(expected)
    assert made.cost_within_budgets_usd_micros == pytest.approx(min(expected, 2_000_000_000))


def test_daily_caps_and_caps_of_each_tenant_let_through_what_they_allow() -> None:
    """Of two tenants the larger is cut, and the smaller is not."""
    workload = load(task(1.0, step(calls=(calls(),))), tenant_shares={"standard": (0.75, 0.25)})
    day = SECONDS_A_DAY * 1_000
    each = BudgetCap("each", round(0.5 * day), False, "standard", is_each=True)
    made = scenario(workload, platform(20, budgets=(each,)), 1.0)
    assert made.cost_within_budgets_usd_micros == pytest.approx(0.75 * day * DAYS_A_MONTH)
    (limit,) = [one for one in made.limits if one.kind is LimitKind.BUDGET]
    assert limit.utilisation == pytest.approx(1.5)
    assert limit.binds_at(1.0) is None


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (LimitKind.WORKERS, {}),
        (LimitKind.PROVIDER_RATE, {"rates": {RATE_KEY: Rates(input_tokens=61_000)}}),
        (LimitKind.BUDGET, {"budgets": (BudgetCap("little", 90_000_000, False),)}),
        (LimitKind.TENANT, {"tiers": {"standard": TierLimits("standard", steps_per_minute=61)}}),
    ],
)
def test_the_limit_that_is_nearest_binds_first(kind: LimitKind, changes: dict[str, object]) -> None:
    """Workers at a half of their slots; or whatever is set lower, at about the growth that it says."""
    workload = load(task(1.0, step(calls=(calls(),))))
    first, *others = limits_of(workload, platform(2, **changes), same_tenants=True)
    assert first.kind is kind
    assert all(first.utilisation >= other.utilisation for other in others)
    assert first.binds_at(1.0) == pytest.approx(2.0 if kind is LimitKind.WORKERS else 1.0, rel=0.1)


def test_as_many_slots_as_keep_the_wait_within_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """By simulation about as many as Erlang C says; and where too large for that, by formula."""
    monkeypatch.setattr(sizing, "STEPS", 12_000)
    workload = load(task(10.0, step(slot_seconds=exponential(1.0))))
    few = scenario(workload, platform(8), 1.0)
    (line,) = few.lines
    assert few.is_simulated
    assert line.wait_seconds is None
    assert line.needed_slots == pytest.approx(slots_for(10.0, 1.0, 1.0, 1.0), abs=1)
    large = scenario(workload, platform(8), 10_000.0)
    assert not large.is_simulated
    assert large.lines[0].needed_slots == pytest.approx(100_000, rel=0.01)
    monkeypatch.setattr(sizing, "STEPS", 1_000)
    one = {"standard": TierLimits("standard", max_concurrent_steps=1)}
    (held,) = scenario(load(task(2.0)), platform(8, tiers=one), 1.0, same_tenants=True).lines
    assert (held.needed_slots, held.wait_seconds) == (None, None)


def test_a_plan_says_how_good_it_is() -> None:
    """Few runs, no season, no rate and the growth are named; the error of the cost is that of the number of runs."""
    workload = load(task(0.1, step(calls=(calls(),)), runs_measured=20))
    made = plan(workload, platform(2), (1.0, 10.0), users=5.0)
    notes = " ".join(made.notes)
    for said in (
        "10,000 runs",
        "Less than a day",
        "fewer than 200",
        RATE_KEY,
        "10 times",
        "Waits are likely to be longer",
    ):
        assert said in notes
    assert made.cost_error == pytest.approx(1.96 / 360**0.5, rel=0.01)
    assert [one.users for one in made.scenarios] == [5.0, 50.0]


def test_another_mix_keeps_the_number_of_runs() -> None:
    """What is named has its share, and the others keep what is left in proportion."""
    workload = load(task(2.0, type_="a"), task(1.0, type_="b"), task(1.0, type_="c"))
    rates = [one.arrivals_a_second for one in WhatIf(mix={"a": 0.2}).apply(workload).tasks]
    assert rates == pytest.approx([0.8, 1.6, 1.6])
    for wrong in ({"d": 0.5}, {"a": 0.9, "b": 0.3}):
        with pytest.raises(WhatIfError):
            WhatIf(mix=wrong).apply(workload)


def test_a_cache_share_spares_calls_money_and_time() -> None:
    """In both directions, and to the share that was asked for."""
    workload = load(
        task(1.0, step(slot_seconds=Draw.constant(0.6), calls=(calls(0.8, cached=0.2, seconds=0.5),)))
    )
    for share in (0.6, 0.2, 0.0):
        changed = WhatIf(cache_share=share).apply(workload)
        assert cache_share_of(changed) == pytest.approx(share)
        assert changed.tasks[0].cost_usd_micros_a_run == pytest.approx(1_000 * (1 - share))
        assert changed.tasks[0].slot_seconds_a_run == pytest.approx(0.6 + 0.5 * (0.2 - share))


def test_calls_on_another_tier_cost_and_take_what_they_do_there() -> None:
    """Half of the calls moved from a tier to one that is ten times as dear and twice as slow."""
    quick = task(1.0, step(slot_seconds=Draw.constant(1.0), calls=(calls(),)), type_="quick")
    slow = task(
        1.0,
        step(
            slot_seconds=Draw.constant(2.0), calls=(calls(1, 10_000, 1.0, tier="powerful", rate_key="p/o"),)
        ),
        type_="slow",
    )
    workload = load(quick, slow)
    changed = WhatIf(tier_shares={"fast": 0.25, "powerful": 0.75}).apply(workload)
    assert tier_shares_of(changed) == pytest.approx({"fast": 0.25, "powerful": 0.75})
    assert changed.tasks[0].cost_usd_micros_a_run == pytest.approx(5_500)
    assert changed.tasks[0].slot_seconds_a_run == pytest.approx(1.25)
    with pytest.raises(WhatIfError, match="balanced"):
        WhatIf(tier_shares={"balanced": 1.0}).apply(workload)


def test_thresholds_send_calls_where_their_complexity_belongs() -> None:
    """Those whose tier was pinned stay."""
    scored = {("fast", 0.2): 6, ("balanced", 0.5): 2, ("powerful", 0.9): 2}
    shares = shares_at(scored, {"powerful": 10}, {"fast": 0.5, "balanced": 0.8, "powerful": 1.0})
    assert shares == pytest.approx({"fast": 0.4, "powerful": 0.6})
