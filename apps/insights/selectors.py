"""Reads of projections."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from agentplatform.budgets.projection import HISTORY, Projection, forecast
from agentplatform.budgets.season import full_hour
from apps.budgets.models import Period
from apps.budgets.spend_selectors import hourly, spend_by
from apps.database import release_connection
from apps.insights.forecasting import platform_season, platform_window
from apps.insights.models import BudgetForecast

PROJECTION_SECONDS = 60
"""How old a tenant's projection may be."""

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class TenantProjection:
    """What a tenant will have spent in the present day or month (UTC), with 80% from low to high."""

    period: str
    starts_at: datetime
    ends_at: datetime
    projection: Projection


def forecasts_of(window_ids: Iterable[int]) -> dict[int, list[BudgetForecast]]:
    """The stored projections of these windows, by window, in one query."""
    found: dict[int, list[BudgetForecast]] = {}
    known = BudgetForecast.objects.filter(window__in=list(window_ids)).order_by("-measure")
    for one in known.defer("season", "path"):
        assert one.window_id is not None
        found.setdefault(one.window_id, []).append(one)
    return found


def tenant_projections(tenant_id: uuid.UUID) -> tuple[TenantProjection, ...]:
    """Of the present day and month, at most PROJECTION_SECONDS old."""
    return _tenant_projections(tenant_id, int(time.monotonic() / PROJECTION_SECONDS))


@functools.lru_cache(maxsize=1024)
def _tenant_projections(tenant_id: uuid.UUID, _period: int) -> tuple[TenantProjection, ...]:
    now = timezone.now()
    lines = spend_by(["hour"], full_hour(now - HISTORY - timedelta(days=7)), now, tenant=tenant_id)
    prior = platform_season(_UTC, now)
    release_connection()
    known = forecast(hourly(lines), now, _UTC, prior)
    windows = [platform_window(period, now) for period in Period]
    return tuple(
        TenantProjection(
            window.period, window.starts_at, window.ends_at, known.project(window.starts_at, window.ends_at)
        )
        for window in windows
    )
