"""Tells of windows whose money or tokens burn too fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from agentplatform.budgets.velocity import Alert, Burn, alerts
from apps.budgets.models import WindowUsage
from apps.budgets.recent_selectors import RecentSpend, recent_spend
from apps.budgets.selectors import current_windows
from apps.budgets.watching import audience_of
from apps.console.display import about_dollars
from apps.database import release_connection
from apps.insights.forecasting import Subject, forecasts_renew, season_of
from apps.insights.models import BudgetForecast, Measure
from apps.notifications.models import Severity
from apps.notifications.services import notify

_SEVERITIES = {Burn.FAST: Severity.CRITICAL, Burn.SLOW: Severity.WARNING}
_LOOKED_AT = {Burn.FAST: "the last hour", Burn.SLOW: "the last six hours"}


def spend_watch() -> int:
    """Renews projections, and tells of windows that burn too fast; returns how many were told of."""
    forecasts_renew()
    try:
        return sum(_tell(usage, known, alert) for usage, known, alert in _burning())
    finally:
        release_connection()


def _burning() -> Iterator[tuple[WindowUsage, BudgetForecast, Alert]]:
    usages = {
        usage.window_id: usage
        for usage in WindowUsage.objects.filter(window__in=current_windows()).select_related("window__budget")
    }
    if not usages:
        return
    recent = recent_spend()
    now = timezone.now()
    for known in BudgetForecast.objects.filter(window__in=list(usages), ends_at__gt=now).order_by("pk"):
        usage = usages[known.window_id or 0]
        # The most urgent one is enough.
        for alert in _alerts(usage, known, recent, now)[:1]:
            yield usage, known, alert


def _alerts(
    usage: WindowUsage, known: BudgetForecast, recent: Sequence[RecentSpend], now: datetime
) -> list[Alert]:
    window = usage.window
    is_money = known.measure == Measure.USD_MICROS
    cap, used = (
        (usage.cap_usd_micros, usage.used_usd_micros) if is_money else (usage.cap_tokens, usage.used_tokens)
    )
    if cap is None:
        return []
    filters = Subject(window.budget, window.tenant_id).filters
    own = [one.usd_micros if is_money else one.tokens for one in recent if one.is_of(filters)]

    def spent_since(moment: datetime) -> int:
        minutes = round((now - moment) / timedelta(minutes=1))
        return sum(one[minutes] for one in own)

    return alerts(
        end=window.ends_at,
        now=now,
        left_usd_micros=cap * window.budget.shutoff_percent // 100 - used,
        spent_since=spent_since,
        season=season_of(known, ZoneInfo(window.budget.time_zone)),
        days_of_history=known.days_of_history,
    )


def _tell(usage: WindowUsage, known: BudgetForecast, alert: Alert) -> bool:
    """Once a day for each window and kind; False where it was told before."""
    window = usage.window
    audience, tenant_id = audience_of(window)
    runs_out = alert.runs_out_at.astimezone(ZoneInfo(window.budget.time_zone))
    notice = notify(
        code="budget.velocity",
        severity=Severity.INFO if window.budget.is_dry_run else _SEVERITIES[alert.kind],
        title=f"Budget '{window.budget.name}': {alert.kind} burn, {alert.rate:.0f} times the pace it has room for",
        message=(
            f"In {_LOOKED_AT[alert.kind]} {_words(known.measure, alert.pace_usd_micros_an_hour)} an hour were spent. At this pace what "
            f"is left of this {window.period} is used up at {runs_out:%Y-%m-%d %H:%M} ({window.budget.time_zone}), and "
            f"would be passed by {_words(known.measure, alert.projected_overage_usd_micros)} at its end."
        ),
        audience=audience,
        tenant_id=tenant_id,
        data={
            "budget": window.budget.name,
            "scope": window.budget.scope,
            "period": window.period,
            "window_starts_at": window.starts_at.isoformat(),
            "window_ends_at": window.ends_at.isoformat(),
            "kind": alert.kind,
            "measure": known.measure,
            "burn_rate": round(alert.rate, 1),
            "pace_an_hour": alert.pace_usd_micros_an_hour,
            "projected_overage": alert.projected_overage_usd_micros,
            "runs_out_at": alert.runs_out_at.isoformat(),
            "is_dry_run": window.budget.is_dry_run,
        },
        dedup_key=f"velocity {window.pk} {known.measure} {alert.kind} {timezone.now():%Y-%m-%d}",
    )
    return notice is not None


def _words(measure: str, amount: int) -> str:
    return about_dollars(amount) if measure == Measure.USD_MICROS else f"{amount:,} tokens"
