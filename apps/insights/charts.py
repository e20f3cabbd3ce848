"""The charts of the front page, as Chart.js takes them: what was spent, and what is expected still."""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentplatform.budgets.season import day_start
from apps.insights.costs import Costs
from apps.insights.models import BudgetForecast

_SPENT = "var(--color-primary-600)"
_EXPECTED = "var(--color-primary-300)"
_CAP = "var(--color-base-400)"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; `legend` says in words what its colours mean."""

    title: str
    kind: str
    data: str
    legend: Sequence[tuple[str, str]]


def today_chart(costs: Costs, known: BudgetForecast | None, cap: int | None) -> Chart:
    """What today has cost up to each hour, and is expected to."""
    start = day_start(costs.now)
    hours = [start + timedelta(hours=number) for number in range(24)]
    spent = {line.key[0]: line.cost_usd_micros for line in costs.hours}
    ahead = _path(known, start)
    total, running = 0, []
    for hour in hours:
        total += spent.get(hour, 0)
        running.append(total if hour <= costs.now else None)
    expected: list[float | None] = [None] * 24
    coming: float = total
    for number, hour in enumerate(hours):
        if ahead and hour + timedelta(hours=1) > costs.now:
            coming += ahead.get(hour, 0)
            expected[number] = coming
    datasets = [
        _line("spent", running, _SPENT),
        _line("expected", expected, _EXPECTED, dashed=True),
        *_cap(cap, 24),
    ]
    return _chart("Today", "line", [f"{hour:%H}" for hour in hours], datasets)


def month_chart(costs: Costs, known: BudgetForecast | None) -> Chart:
    """What each day of this month has cost, and those to come are expected to."""
    start = day_start(costs.now).replace(day=1)
    count = calendar.monthrange(start.year, start.month)[1]
    days = [start + timedelta(days=number) for number in range(count)]
    spent = {line.key[0]: line.cost_usd_micros for line in costs.days}
    ahead = _path(known, start)
    datasets = [
        _bars("spent", [spent.get(day, 0) for day in days], _SPENT),
        _bars("expected", [ahead.get(day, 0) for day in days], _EXPECTED),
    ]
    return _chart("This month, by day", "bar", [str(day.day) for day in days], datasets)


def _path(known: BudgetForecast | None, start: datetime) -> Mapping[datetime, float]:
    """What a projection of the present window expects from each hour or day."""
    if known is None or known.starts_at != start:
        return {}
    return {datetime.fromisoformat(at): amount for at, amount in known.path}


def _cap(cap: int | None, points: int) -> list[dict[str, Any]]:
    return [] if cap is None else [_line("budget", [cap] * points, _CAP)]


def _line(label: str, values: Sequence[float | None], colour: str, *, dashed: bool = False) -> dict[str, Any]:
    line: dict[str, Any] = {
        "label": label,
        "data": [_usd(value) for value in values],
        "borderColor": colour,
        "displayYAxis": True,
        "suffixYAxis": "$",
        "tension": 0.2,
    }
    return {**line, "borderDash": [4, 4]} if dashed else line


def _bars(label: str, values: Sequence[float], colour: str) -> dict[str, Any]:
    return {
        "label": label,
        "data": [_usd(value) for value in values],
        "backgroundColor": colour,
        "displayYAxis": True,
        "suffixYAxis": "$",
        "stack": "spend",
        "maxBarThickness": 14,
    }


def _usd(usd_micros: float | None) -> float | None:
    return None if usd_micros is None else round(usd_micros / 1_000_000, 4)


def _chart(title: str, kind: str, labels: Sequence[str], datasets: Sequence[Mapping[str, Any]]) -> Chart:
    data = json.dumps({"labels": labels, "datasets": datasets})
    legend = [(str(one["label"]), str(one.get("borderColor") or one["backgroundColor"])) for one in datasets]
    return Chart(title, kind, data, legend)
