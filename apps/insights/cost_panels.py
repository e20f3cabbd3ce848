"""The tables of money on the front page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.budgets.models import BudgetHold, WindowUsage
from apps.budgets.selectors import current_windows
from apps.insights.costs import BREAKDOWNS, costs, month_task_costs, movers
from apps.insights.models import BudgetForecast, Measure
from apps.insights.panels import Column, Form, Panel, Source
from apps.insights.selectors import forecasts_of
from apps.workflows.cost_selectors import TaskCost

LEDGER = ("budgets.view_ledgerentry",)
TITLES = {
    "tenant": "By tenant",
    "task_type": "By task type",
    "tier": "By tier",
    "agent": "By agent",
    "model": "By model",
    "provider": "By provider",
}
SHOWN_ROWS = 12
"""How many lines of a table the front page has; the rest is on the page of costs and in the download."""

MOVERS_NOTE = "The last 24 hours beside the 24 hours before: what has changed most, up or down."
SAVINGS_NOTE = "Beside calls made at once with nothing cached; routing: beside the highest tier for everything, at today's prices."
TASKS_NOTE = "Of runs that were submitted this month and have finished."


def costs_url(**query: str) -> str:
    """The page of costs, of one tenant or task type."""
    return f"{reverse('admin:insights_budgetforecast_costs')}?{urlencode(query)}"


def breakdown_panel(dimension: str) -> Panel:
    """Today's and this month's spend by one dimension."""
    shares = costs().by(dimension)
    columns = [
        Column(dimension.replace("_", " ")),
        Column("today", Form.MONEY),
        Column("this month", Form.MONEY),
        Column("share", Form.SHARE),
        Column("calls", Form.NUMBER),
    ]
    rows = [
        (one.name, one.today_usd_micros, one.month_usd_micros, one.share, one.month_calls) for one in shares
    ]
    links = [costs_url(**{dimension: str(one.key)}) for one in shares] if dimension in DRILLED else []
    return Panel(dimension, TITLES[dimension], columns, rows, links)


DRILLED = ("tenant", "task_type")


def task_costs_panel() -> Panel:
    """What a task costs, by type."""
    found = month_task_costs()
    workflows = reverse("admin:workflows_workflow_changelist")
    links = [f"{workflows}?{urlencode({'type': cost.task_type})}" for cost in found]
    return task_costs_table(found, links, TASKS_NOTE)


def task_costs_table(found: Sequence[TaskCost], links: Sequence[str] = (), note: str = "") -> Panel:
    """What finished runs have cost, by type."""
    columns = [
        Column("task type"),
        Column("finished", Form.NUMBER),
        Column("mean", Form.MONEY),
        Column("dearest", Form.MONEY),
        Column("all", Form.MONEY),
    ]
    rows = [
        (one.task_type, one.finished, one.mean_usd_micros, one.max_usd_micros, one.total_usd_micros)
        for one in found
    ]
    return Panel("task_costs", "Cost per task", columns, rows, links, note)


def savings_panel() -> Panel:
    """What was not spent, and why."""
    columns = [Column("saved by"), Column("today", Form.MONEY), Column("this month", Form.MONEY)]
    rows = [(one.name, one.today_usd_micros, one.month_usd_micros) for one in costs().savings()]
    return Panel("savings", "Savings", columns, rows, note=SAVINGS_NOTE)


def movers_panel() -> Panel:
    """What costs more or less than the day before."""
    columns = [
        Column("tenant"),
        Column("task type"),
        Column("24 hours before", Form.MONEY),
        Column("last 24 hours", Form.MONEY),
        Column("change", Form.MONEY),
    ]
    found = movers()
    rows = [
        (one.tenant, one.task_type, one.before_usd_micros, one.now_usd_micros, one.change_usd_micros)
        for one in found
    ]
    links = [costs_url(tenant=str(one.tenant_id), task_type=one.task_type) for one in found]
    return Panel("movers", "Top movers since yesterday", columns, rows, links, MOVERS_NOTE)


BUDGET_COLUMNS = [
    Column("budget"),
    Column("tenant"),
    Column("period"),
    Column("level", Form.STATUS),
    Column("used", Form.MONEY),
    Column("cap", Form.MONEY),
    Column("tokens", Form.NUMBER),
    Column("token cap", Form.NUMBER),
    Column("share", Form.SHARE),
    Column("expected", Form.MONEY),
    Column("at least", Form.MONEY),
    Column("at most", Form.MONEY),
    Column("runs out", Form.MOMENT),
]


def budgets_panel() -> Panel:
    """How the present windows of budgets stand, and where they are going."""
    usages = WindowUsage.objects.filter(window__in=current_windows())
    found = list(
        usages.select_related("window__budget__tenant", "window__tenant").order_by("-used_percent", "pk")
    )
    forecasts = forecasts_of(usage.window_id for usage in found)
    rows = [_budget_row(usage, forecasts.get(usage.window_id, ())) for usage in found]
    held = BudgetHold.objects.count()
    note = f"{held:,} steps wait for budget." if held else "No step waits for budget."
    links = [reverse("admin:budgets_budget_change", args=[usage.window.budget_id]) for usage in found]
    return Panel("budgets", "Budgets", BUDGET_COLUMNS, rows, links, note)


def _budget_row(usage: WindowUsage, known: Sequence[BudgetForecast]) -> tuple[Any, ...]:
    window, tenant = usage.window, usage.window.tenant or usage.window.budget.tenant
    money = next((one for one in known if one.measure == Measure.USD_MICROS), None)
    return (
        window.budget.name,
        tenant.name if tenant else None,
        window.period,
        window.get_level_display().lower() if window.level else "in budget",
        usage.used_usd_micros,
        usage.cap_usd_micros,
        usage.used_tokens,
        usage.cap_tokens,
        usage.used_percent / 100,
        *((money.expected, money.low, money.high) if money else (None, None, None)),
        min((one.runs_out_at for one in known if one.runs_out_at), default=None),
    )


def cost_sources() -> list[Source]:
    """The tables of money, in the order of the page."""
    breakdowns: list[tuple[str, Callable[[], Panel]]] = [
        (dimension, partial(breakdown_panel, dimension)) for dimension in BREAKDOWNS
    ]
    return [
        Source("budgets", ("budgets.view_budget",), budgets_panel),
        *(Source(key, LEDGER, build) for key, build in breakdowns),
        Source("task_costs", ("workflows.view_workflow",), task_costs_panel),
        Source("savings", LEDGER, savings_panel),
        Source("movers", LEDGER, movers_panel),
    ]
