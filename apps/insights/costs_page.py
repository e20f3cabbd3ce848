"""Costs from the tenant down: to its task types, to their runs, and to each call."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from agentplatform.budgets.season import day_start
from apps.budgets.spend_selectors import names_of, spend_by
from apps.console.display import about_dollars
from apps.console.pages import ConsoleAdmin
from apps.console.spreadsheets import csv_response
from apps.insights.cache_panels import period_panel
from apps.insights.cost_panels import LEDGER, task_costs_table
from apps.insights.panels import Column, Form, Panel
from apps.tenants.models import Tenant
from apps.workflows.cost_selectors import task_costs

PERIODS = {"1": "today", "7": "seven days", "30": "thirty days"}
DIMENSIONS = ("day", "tenant", "task_type", "tier", "agent", "model", "provider", "api_key")


@dataclass(frozen=True, slots=True)
class View:
    """What the page was asked for: since when, and of which tenant and task type."""

    days: str
    tenant: Tenant | None
    task_type: str

    @property
    def since(self) -> datetime:
        return day_start(timezone.now()) - timedelta(days=int(self.days) - 1)

    @property
    def filters(self) -> dict[str, Any]:
        """As `spend_by` takes them."""
        own: dict[str, Any] = {"tenant": self.tenant.pk} if self.tenant else {}
        return {**own, "task_type": self.task_type} if self.task_type else own

    def query(self, **changes: str) -> str:
        """The page's query, with changes."""
        asked = {"days": self.days, "tenant": str(self.tenant.pk) if self.tenant else ""}
        asked |= {"task_type": self.task_type, **changes}
        return urlencode({name: value for name, value in asked.items() if value})

    @property
    def title(self) -> str:
        parts = [self.tenant.name if self.tenant else "", self.task_type]
        return ": ".join(["Costs", *[part for part in parts if part]])


def costs_page(page: ConsoleAdmin, request: HttpRequest) -> HttpResponseBase:
    """The page, or one of its tables as CSV, for who may see the ledger."""
    if not request.user.has_perms(LEDGER):
        raise PermissionDenied
    view = _view(request)
    sources = dict(_sources(request, view))
    asked = request.GET.get("csv")
    if asked is not None:
        if asked not in sources:
            raise Http404
        panel = sources[asked]()
        return csv_response(request, f"costs-by-{asked}", panel.csv_headers, panel.csv_rows())
    request.current_app = page.admin_site.name
    panels = [build() for build in sources.values()]
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": view.title,
        "lead": f"{about_dollars(sum(row[-1] for row in panels[0].rows))} since {view.since:%Y-%m-%d}:",
        "choices": [
            {"title": title.capitalize(), "url": f"?{view.query(days=days)}", "is_chosen": days == view.days}
            for days, title in PERIODS.items()
        ],
        "ways": list(_ways(request, view)),
        "panels": [
            {"table": panel.table, "download": f"?{view.query(csv=panel.key)}", "hidden_rows": 0}
            for panel in panels
        ],
    }
    return TemplateResponse(request, "insights/costs.html", context)


def _view(request: HttpRequest) -> View:
    days, text = request.GET.get("days", ""), request.GET.get("tenant", "")
    tenant = None
    if text:
        try:
            tenant = Tenant.objects.get(pk=uuid.UUID(text))
        except (ValueError, Tenant.DoesNotExist):
            raise Http404 from None
    return View(
        days if days in PERIODS else "30", tenant, request.GET.get("task_type", "").replace("\x00", "")
    )


def _sources(request: HttpRequest, view: View) -> Iterator[tuple[str, Callable[[], Panel]]]:
    known = {"tenant": view.tenant is not None, "task_type": bool(view.task_type)}
    for dimension in DIMENSIONS:
        if not known.get(dimension):
            yield dimension, partial(_panel, view, dimension)
    yield "cache", partial(period_panel, view.since, timezone.now(), **view.filters)
    if request.user.has_perm("workflows.view_workflow") and not view.task_type:
        yield "task_costs", partial(_task_costs, view)


def _panel(view: View, dimension: str) -> Panel:
    lines = spend_by([dimension], view.since, timezone.now(), **view.filters)
    if dimension != "day":
        lines = sorted(lines, key=lambda line: -line.cost_usd_micros)
    names = names_of(dimension, [line.key[0] for line in lines])
    columns = [
        Column(_words(dimension)),
        Column("calls", Form.NUMBER),
        Column("input tokens", Form.NUMBER),
        Column("output tokens", Form.NUMBER),
        Column("saved", Form.MONEY),
        Column("cost", Form.MONEY),
    ]
    rows = [
        (
            _name(line.key[0], names),
            line.calls,
            line.input_tokens,
            line.output_tokens,
            line.avoided_usd_micros,
            line.cost_usd_micros,
        )
        for line in lines
    ]
    links = []
    if dimension in ("tenant", "task_type"):
        links = [f"?{view.query(**{dimension: str(line.key[0])})}" for line in lines]
    return Panel(dimension, f"By {_words(dimension)}", columns, rows, links)


def _name(key: Any, names: Mapping[Any, str]) -> str:
    if isinstance(key, datetime):
        return f"{key:%Y-%m-%d}"
    return "" if key is None else names.get(key, str(key))


def _task_costs(view: View) -> Panel:
    return task_costs_table(task_costs(view.since, view.tenant.pk if view.tenant else None))


def _ways(request: HttpRequest, view: View) -> Iterator[tuple[str, str]]:
    """On to the runs and the entries of the ledger that the figures are made of."""
    tenant = {"tenant__id__exact": str(view.tenant.pk)} if view.tenant else {}
    day = f"{view.since:%Y-%m-%d}"
    if request.user.has_perm("workflows.view_workflow"):
        query = {**tenant, **({"type": view.task_type} if view.task_type else {}), "created_at_from": day}
        yield "Workflows", f"{reverse('admin:workflows_workflow_changelist')}?{urlencode(query)}"
    task_type = {"task_type__icontains": view.task_type} if view.task_type else {}
    query = {**tenant, **task_type, "created_at_from": day}
    yield "Ledger entries", f"{reverse('admin:budgets_ledgerentry_changelist')}?{urlencode(query)}"


def _words(dimension: str) -> str:
    return "API key" if dimension == "api_key" else dimension.replace("_", " ")
