"""The front page of the admin: what is spent, what is expected, and how the platform stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.budgets.models import Period, Scope, WindowUsage
from apps.budgets.selectors import current_windows
from apps.console.display import about_dollars
from apps.console.tables import Table
from apps.database import OUTAGE_ERRORS
from apps.insights.cache_panels import cache_sources
from apps.insights.charts import Chart, month_chart, today_chart
from apps.insights.cost_panels import LEDGER, SHOWN_ROWS, cost_sources
from apps.insights.costs import costs
from apps.insights.models import BudgetForecast, Measure
from apps.insights.panels import Panel, Source
from apps.insights.state_panels import state_sources


@dataclass(frozen=True, slots=True)
class Card:
    """Spend of a period against its budget, if the platform has one. `outlook` is what is expected, in a sentence."""

    title: str
    spent: str
    outlook: str
    percent: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A table of the page, and where it is downloaded."""

    table: Table
    download: str
    hidden_rows: int


def sources() -> dict[str, Source]:
    """All tables by key, in the order of the page."""
    return {source.key: source for source in (*cost_sources(), *cache_sources(), *state_sources())}


def may_see(request: HttpRequest, source: Source) -> bool:
    """Whether the signed-in person may see a table."""
    return bool(request.user.has_perms(source.permissions))


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the page: what the signed-in person may see."""
    try:
        if request.user.has_perms(LEDGER):
            context["cards"], context["charts"] = _spend(request)
        context["panels"] = [_shown(panel) for panel in _panels(request)]
    except OUTAGE_ERRORS:
        context["outage"] = "The database does not answer in time; the figures come back with it."
    return context


def _panels(request: HttpRequest) -> Iterator[Panel]:
    for source in sources().values():
        if may_see(request, source):
            yield source.build()


def _shown(panel: Panel) -> Shown:
    table = panel.table
    return Shown(
        Table(table.title, table.headers, table.rows[:SHOWN_ROWS], table.note),
        reverse("admin:insights_budgetforecast_export", args=[panel.key]),
        max(len(table.rows) - SHOWN_ROWS, 0),
    )


def _spend(request: HttpRequest) -> tuple[Sequence[Card], Sequence[Chart]]:
    known = {
        one.period: one
        for one in BudgetForecast.objects.filter(window=None, measure=Measure.USD_MICROS).defer("season")
    }
    caps = _platform_caps() if request.user.has_perm("budgets.view_budget") else {}
    now = costs()
    today, month = known.get(Period.DAY), known.get(Period.MONTH)
    cards = [
        _card("Today", now.today_usd_micros, today, caps.get(Period.DAY)),
        _card("This month", now.month_usd_micros, month, caps.get(Period.MONTH)),
    ]
    return cards, [today_chart(now, today, caps.get(Period.DAY)), month_chart(now, month)]


def _platform_caps() -> dict[str, int]:
    """What the platform's own budget, if there is one, lets be spent."""
    windows = current_windows().filter(budget__scope=Scope.PLATFORM)
    usages = WindowUsage.objects.filter(window__in=windows).values_list("window__period", "cap_usd_micros")
    return {period: cap for period, cap in usages if cap is not None}


def _card(title: str, spent: int, known: BudgetForecast | None, cap: int | None) -> Card:
    return Card(
        title=title,
        spent=about_dollars(spent),
        outlook=f"{_outlook(spent, known)} Budget: {'none' if cap is None else about_dollars(cap)}.",
        percent=None if not cap else round(100 * spent / cap, 1),
    )


def _outlook(spent: int, known: BudgetForecast | None) -> str:
    if known is None:
        return "Nothing is projected yet."
    expected, low, high = (about_dollars(max(one, spent)) for one in (known.expected, known.low, known.high))
    return f"Expected: {expected} (80%: {low} to {high})."
