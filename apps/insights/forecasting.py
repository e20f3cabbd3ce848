"""Projections of the present windows: made every few minutes, stored for pages, the API and alerts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from agentplatform.budgets.projection import HISTORY, Forecast, forecast
from agentplatform.budgets.season import HOURS_A_WEEK, Season, day_start, full_hour
from apps.budgets.models import Budget, BudgetWindow, Period, Scope, WindowUsage
from apps.budgets.selectors import current_windows
from apps.budgets.spend_selectors import SpendLine, spend_by
from apps.database import release_connection
from apps.insights.models import BudgetForecast, Measure

RUN_SECONDS = 20.0
"""How long one run makes projections; what is left is made by the next one."""

_KEPT = timedelta(days=7)
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose spending is projected, in which time zone: a budget's, one tenant's of it, or (None) the platform's."""

    budget: Budget | None
    tenant_id: uuid.UUID | None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.budget.time_zone) if self.budget else _UTC

    @property
    def filters(self) -> dict[str, Any]:
        """Which lines of the ledger are its own."""
        if self.budget is None:
            return {}
        match self.budget.scope:
            case Scope.TIER:
                return {"tenant_tier": self.budget.tier_id}
            case Scope.TENANT:
                return {"tenant": self.budget.tenant_id}
            case Scope.EACH_TENANT:
                return {"tenant": self.tenant_id}
            case Scope.API_KEY:
                return {"api_key": self.budget.api_key_id}
            case Scope.TASK_TYPE:
                owner = {"tenant": self.budget.tenant_id} if self.budget.tenant_id else {}
                return {"task_type": self.budget.task_type, **owner}
        return {}


def forecasts_renew() -> int:
    """Makes the projections that are older than settings.FORECAST_SECONDS, oldest first; returns how many windows'.

    The whole platform's come first, since their season is what those with little history begin with.
    """
    try:
        BudgetForecast.objects.filter(ends_at__lt=timezone.now() - _KEPT).delete()
        until = time.monotonic() + RUN_SECONDS
        renewed = 0
        for subject, usages in _due():
            if time.monotonic() > until:
                break
            renewed += _renew(subject, usages)
    finally:
        release_connection()
    return renewed


def season_of(known: BudgetForecast, zone: ZoneInfo) -> Season:
    """The season that a projection was made with."""
    return Season(zone, tuple(known.season)) if len(known.season) == HOURS_A_WEEK else Season(zone)


def _due() -> Iterable[tuple[Subject, Sequence[WindowUsage]]]:
    fresh = timezone.now() - timedelta(seconds=settings.FORECAST_SECONDS)
    known = BudgetForecast.objects.filter(computed_at__gt=fresh, ends_at__gt=timezone.now())
    made = set(known.values_list("window_id", "period"))
    if not {(None, period.value) for period in Period} <= made:
        yield Subject(None, None), ()
    usages = WindowUsage.objects.filter(window__in=current_windows())
    usages = usages.exclude(window__in=[pk for pk, _ in made if pk is not None])
    by_subject: dict[tuple[int, uuid.UUID | None], list[WindowUsage]] = {}
    for usage in usages.select_related("window__budget").order_by("window_id"):
        by_subject.setdefault((usage.window.budget_id, usage.window.tenant_id), []).append(usage)
    for (_, tenant_id), own in sorted(by_subject.items(), key=lambda item: item[1][0].window_id):
        yield Subject(own[0].window.budget, tenant_id), own


def _renew(subject: Subject, usages: Sequence[WindowUsage]) -> int:
    now = timezone.now()
    lines = spend_by(["hour"], full_hour(now - HISTORY - timedelta(days=7)), now, **subject.filters)
    prior = platform_season(subject.zone, now) if subject.budget else None
    release_connection()
    forecasts: dict[Measure, Forecast] = {}
    rows = []
    for window, measure, used, cap in _wanted(subject, usages, now):
        if measure not in forecasts:
            hours = [(line.key[0], _amount(line, measure)) for line in lines]
            forecasts[measure] = forecast(hours, now, subject.zone, prior)
        rows.append(_row(window, measure, used, cap, forecasts[measure]))
    BudgetForecast.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["window", "period", "measure"],
        update_fields=[
            "starts_at",
            "ends_at",
            "used",
            "expected",
            "low",
            "high",
            "cap",
            "runs_out_at",
            "days_of_history",
            "path",
            "season",
            "computed_at",
        ],
    )
    return len(rows)


def _wanted(
    subject: Subject, usages: Sequence[WindowUsage], now: datetime
) -> Iterable[tuple[BudgetWindow, Measure, int | None, int | None]]:
    """Each window with each measure that it caps; money always."""
    if subject.budget is None:
        for period in Period:
            yield platform_window(period, now), Measure.USD_MICROS, None, None
    for usage in usages:
        yield usage.window, Measure.USD_MICROS, usage.used_usd_micros, usage.cap_usd_micros
        if usage.cap_tokens is not None:
            yield usage.window, Measure.TOKENS, usage.used_tokens, usage.cap_tokens


def platform_window(period: Period, now: datetime) -> BudgetWindow:
    """A window that is not stored: the present day or month, UTC."""
    day = day_start(now)
    if period is Period.DAY:
        return BudgetWindow(period=period, starts_at=day, ends_at=day + timedelta(days=1))
    start = day.replace(day=1)
    return BudgetWindow(period=period, starts_at=start, ends_at=(start + timedelta(days=32)).replace(day=1))


def _amount(line: SpendLine, measure: Measure) -> int:
    if measure is Measure.USD_MICROS:
        return max(line.cost_usd_micros, 0)
    return max(line.input_tokens + line.output_tokens, 0)


def _row(
    window: BudgetWindow, measure: Measure, used: int | None, cap: int | None, known: Forecast
) -> BudgetForecast:
    projected = known.project(window.starts_at, window.ends_at, used)
    runs_out_at = None
    if cap is not None:
        runs_out_at = known.runs_out_at(cap, projected.spent_usd_micros, window.ends_at)
    return BudgetForecast(
        window=window if window.pk else None,
        period=window.period,
        measure=measure,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        used=projected.spent_usd_micros,
        expected=projected.expected_usd_micros,
        low=projected.low_usd_micros,
        high=projected.high_usd_micros,
        cap=cap,
        runs_out_at=runs_out_at,
        days_of_history=projected.days_of_history,
        path=_path(window, known),
        season=list(known.season.factors),
        computed_at=known.now,
    )


def _path(window: BudgetWindow, known: Forecast) -> list[tuple[str, int]]:
    """What is still expected, by hour of a day or by day of a month, each named by its start."""
    zone = known.season.zone
    parts: dict[datetime, float] = {}
    for at, value in known.ahead(known.now, window.ends_at):
        start = full_hour(at)
        if window.period != Period.DAY:
            local = at.astimezone(zone)
            start = local.replace(hour=0, minute=0, second=0, microsecond=0)
        parts[start] = parts.get(start, 0.0) + value
    return [(start.isoformat(), round(value)) for start, value in parts.items()]


def platform_season(zone: ZoneInfo, now: datetime) -> Season | None:
    """The rhythm of all tenants by the clock of a zone, once a week of it is known."""
    together = BudgetForecast.objects.filter(
        window=None, measure=Measure.USD_MICROS, days_of_history__gte=7
    ).first()
    return season_of(together, _UTC).moved_to(zone, now) if together else None
