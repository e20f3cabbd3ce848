"""Reads of what is projected."""

from __future__ import annotations

from collections.abc import Iterable

from apps.insights.models import BudgetForecast


def forecasts_of(window_ids: Iterable[int]) -> dict[int, list[BudgetForecast]]:
    """The projections of these windows, by window."""
    found: dict[int, list[BudgetForecast]] = {}
    for forecast in BudgetForecast.objects.filter(window__in=list(window_ids)).order_by("measure"):
        assert forecast.window_id is not None
        found.setdefault(forecast.window_id, []).append(forecast)
    return found
