"""Projections of the windows of budgets, and alerts on the pace at which they are used."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agentplatform.identifiers import uuid7
from apps.budgets.models import Budget, LedgerEntry
from apps.budgets.recent_selectors import recent_spend
from apps.budgets.rollup import spend_rollup
from apps.insights.forecasting import forecasts_renew
from apps.insights.models import BudgetForecast
from apps.insights.velocity_alerts import spend_watch
from apps.notifications.models import Notice
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue
from tests.integration.insights.conftest import DAY, HOUR, USD, entry, noon_zone, spent, this_hour

Fill = Callable[..., None]
MakeBudget = Callable[..., Budget]
MINUTE = timedelta(minutes=1)


def forecast_of(budget: Budget | None, period: str, measure: str = "usd_micros") -> BudgetForecast:
    return BudgetForecast.objects.get(window__budget=budget, period=period, measure=measure)


def burn(tenant: Tenant, usd: float, minutes: int, **fields: Any) -> None:
    """So many dollars, evenly over the last minutes."""
    now = timezone.now() - timedelta(seconds=5)
    LedgerEntry.objects.bulk_create(
        entry(tenant, usd / minutes, now - number * MINUTE, **fields) for number in range(minutes)
    )
    spend_rollup()


def test_a_window_is_projected_to_its_end(tenant: Tenant, history: Fill, budget: MakeBudget) -> None:
    """A dollar an hour: 24 a day; what was used is the counter's, and the path goes on to the end."""
    history(30)
    spend_rollup()
    acme = budget(daily_usd_micros=100 * USD, monthly_usd_micros=5000 * USD)
    forecasts_renew()
    day, month = forecast_of(acme, "day"), forecast_of(acme, "month")
    assert day.expected == pytest.approx(24 * USD, rel=0.06)
    assert day.low <= day.expected <= day.high
    assert (day.cap, day.runs_out_at) == (100 * USD, None)
    assert month.expected == pytest.approx((month.ends_at - month.starts_at) / HOUR * USD, rel=0.06)
    assert day.used + sum(amount for _, amount in day.path) == pytest.approx(day.expected, rel=0.01)
    assert len(month.path) == (month.ends_at - this_hour().replace(hour=0)).days


def test_a_cap_runs_out_before_the_window_does(tenant: Tenant, history: Fill, budget: MakeBudget) -> None:
    """And another one does not."""
    history(30)
    acme = budget(monthly_usd_micros=USD)
    larger = budget("larger", scope="platform", monthly_usd_micros=10**12)
    forecasts_renew()
    known = forecast_of(acme, "month")
    assert known.runs_out_at is not None
    assert known.runs_out_at <= known.ends_at
    assert forecast_of(larger, "month").runs_out_at is None


def test_every_scope_counts_its_own_spending(
    tenant: Tenant, other: Tenant, history: Fill, budget: MakeBudget
) -> None:
    """The platform, a tier, each tenant of it, a tenant, a key, a task type; tokens where they are capped."""
    key = api_key_issue(name="key", tenant=tenant).api_key
    history(10, 1.0)
    history(10, 2.0, api_key_id=key.pk)
    history(10, 4.0, task_type="extract_data")
    history(10, 8.0, other)
    spend_rollup()
    capped = {"monthly_usd_micros": 10**12}
    expected = {
        budget("platform", scope="platform", **capped): 15,
        budget("tier", scope="tier", tier=tenant.tier, **capped): 7,
        budget("each", scope="each_tenant", tier=tenant.tier, **capped): 7,
        budget("tenant", **capped): 7,
        budget("key", scope="api_key", api_key=key, **capped): 2,
        budget("type", scope="task_type", task_type="extract_data", **capped): 4,
        budget("own type", scope="task_type", task_type="answer_question", tenant=tenant, **capped): 3,
    }
    # A tenant's own budget takes the place of that for each tenant; its window was there before.
    budget("tokens", scope="task_type", tenant=tenant, task_type="extract_data", monthly_tokens=10**9)
    forecasts_renew()
    for one, usd_an_hour in expected.items():
        known = forecast_of(one, "month")
        pace = sum(amount for _, amount in known.path) / ((known.ends_at - known.computed_at) / HOUR)
        assert pace == pytest.approx(usd_an_hour * USD, rel=0.02), one
    tokens = BudgetForecast.objects.get(window__budget__name="tokens", measure="tokens")
    pace = sum(amount for _, amount in tokens.path) / ((tokens.ends_at - tokens.computed_at) / HOUR)
    assert pace == pytest.approx(300, rel=0.02)


def test_the_platform_is_projected_without_any_budget(history: Fill) -> None:
    """For the front page: today and this month, UTC."""
    history(10)
    assert forecasts_renew() == 2
    today = BudgetForecast.objects.get(window=None, period="day")
    assert today.expected == pytest.approx(24 * USD, rel=0.06)
    assert today.cap is None


def test_a_projection_is_made_anew_when_it_is_old(history: Fill, budget: MakeBudget, settings: Any) -> None:
    """Not before, and in its place; windows that ended long ago are forgotten."""
    history(3)
    acme = budget(daily_usd_micros=USD)
    assert forecasts_renew() == 3
    assert forecasts_renew() == 0
    settings.FORECAST_SECONDS = 0
    before = forecast_of(acme, "day")
    assert forecasts_renew() == 3
    assert forecast_of(acme, "day").pk == before.pk
    BudgetForecast.objects.update(ends_at=timezone.now() - 8 * DAY)
    settings.FORECAST_SECONDS = 600
    forecasts_renew()
    assert BudgetForecast.objects.filter(ends_at__lt=timezone.now()).count() == 0


def test_recent_spend_is_split_by_minutes(tenant: Tenant, other: Tenant) -> None:
    """Of five minutes, half an hour, an hour, and six hours, of which five come from the sums."""
    now = timezone.now()
    spent(tenant, 1.0, now - 2 * MINUTE)
    spent(tenant, 2.0, now - 20 * MINUTE)
    spent(tenant, 4.0, now - 50 * MINUTE)
    for hours in range(2, 8):
        spent(tenant, 6.0, this_hour() - hours * HOUR)
    spent(other, 16.0, now)
    spend_rollup()
    (own,) = [one for one in recent_spend() if one.tenant_id == tenant.pk]
    assert (own.usd_micros[5], own.usd_micros[30], own.usd_micros[60]) == (1 * USD, 3 * USD, 7 * USD)
    # Hours across a bound count in parts, evenly: between four and five whole ones lie within the six hours, and right
    # after the full hour the last one's spending has its part in the hour across the nearer bound, too.
    assert 7 * USD + 4 * 6 * USD <= own.usd_micros[360] <= 7 * USD + 5 * 6 * USD + 1 * USD


def test_a_fast_burn_is_told_once(tenant: Tenant, history: Fill, budget: MakeBudget) -> None:
    """To the tenant and the operators, with numbers; a second look tells nobody."""
    history(30, 0.1)
    acme = budget(monthly_usd_micros=2_000 * USD, time_zone=noon_zone())
    burn(tenant, 1_500.0, 60)
    assert spend_watch() == 1
    notice = Notice.objects.get(code="budget.velocity")
    assert (notice.audience, notice.tenant_id, notice.severity) == ("both", tenant.pk, "critical")
    assert notice.data["kind"] == "fast"
    assert notice.data["burn_rate"] > 6  # the least a fast one has, on a month's last day
    assert notice.data["projected_overage"] > 0
    assert f"Budget '{acme.name}': fast burn" in notice.title
    # Right after the full hour the last hour of the history is within the last sixty minutes.
    assert re.search(r"\$1,500\.[01]0 an hour", notice.message)
    assert spend_watch() == 0


def test_a_burn_of_tokens_is_told_too(tenant: Tenant, history: Fill, budget: MakeBudget) -> None:
    """A free tier has an allowance of tokens alone."""
    history(10, 0.1)
    budget(scope="tier", tier=tenant.tier, monthly_tokens=10_000_000, time_zone=noon_zone())
    burn(tenant, 0.1, 60, input_tokens=100_000)
    assert spend_watch() == 1
    notice = Notice.objects.get(code="budget.velocity")
    assert (notice.audience, notice.data["measure"]) == ("operators", "tokens")
    assert "tokens an hour" in notice.message


def test_an_even_pace_is_no_alert(tenant: Tenant, other: Tenant, history: Fill, budget: MakeBudget) -> None:
    """Nor is what another tenant, task or key burns."""
    history(30, 1.0)
    key = api_key_issue(name="key", tenant=tenant).api_key
    budget(monthly_usd_micros=10_000 * USD)
    budget("key", scope="api_key", api_key=key, monthly_usd_micros=10 * USD)
    budget("type", scope="task_type", task_type="extract_data", monthly_usd_micros=10 * USD)
    burn(other, 50_000.0, 60)
    burn(tenant, 1.0, 60, api_key_id=uuid7())
    assert spend_watch() == 0


def test_a_budget_that_is_off_is_not_watched(tenant: Tenant, history: Fill, budget: MakeBudget) -> None:
    """And a dry run tells, without urgency."""
    history(30, 0.1)
    off = budget(monthly_usd_micros=100 * USD)
    Budget.objects.filter(pk=off.pk).update(is_enabled=False)
    budget("dry", scope="platform", monthly_usd_micros=1_000 * USD, is_dry_run=True, time_zone=noon_zone())
    burn(tenant, 900.0, 60)
    assert spend_watch() == 1
    notice = Notice.objects.get(code="budget.velocity")
    assert (notice.data["budget"], notice.severity, notice.data["is_dry_run"]) == ("dry", "info", True)
