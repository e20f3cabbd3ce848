"""The page of task profiles: what types of tasks take and cost, in tables and by the hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone

from agentplatform.budgets.season import full_hour
from agentplatform.profiles.profile import Profile, together
from agentplatform.profiles.report import Distribution, ProfileReport, profile_report
from apps.console.pages import ConsoleAdmin
from apps.console.spreadsheets import csv_response
from apps.insights.panels import Column, Form, Panel
from apps.insights.profile_charts import ProfileCharts
from apps.insights.profile_selectors import hourly_profiles, profiled_task_types
from apps.insights.profiling import HOUR

PERMISSION = "insights.view_hourlyrunprofile"
PERIODS = {"1": "24 hours", "7": "seven days"}


@dataclass(frozen=True, slots=True)
class View:
    """What the page was asked for: how many days, and which type of task, or all."""

    days: str
    task_type: str

    @property
    def period(self) -> tuple[datetime, datetime]:
        until = full_hour(timezone.now()) + HOUR
        return until - timedelta(days=int(self.days)), until

    def query(self, **changes: str) -> str:
        """The page's query, with changes."""
        asked = {"days": self.days, "task_type": self.task_type, **changes}
        return urlencode({name: value for name, value in asked.items() if value})


def profiles_page(page: ConsoleAdmin, request: HttpRequest) -> HttpResponseBase:
    """The page, or one of its tables as CSV, for who may see profiles."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    days, task_type = request.GET.get("days", ""), request.GET.get("task_type", "").replace("\x00", "")
    # A week of all types is more than a page has time for.
    view = View(days if days in PERIODS and task_type else "1", task_type)
    charts = ProfileCharts()
    report = profile_report(together(_charted(view, charts)))
    panels = {panel.key: panel for panel in _panels(view, report)}
    asked = request.GET.get("csv")
    if asked is not None:
        if asked not in panels:
            raise Http404
        return csv_response(request, f"profiles-{asked}", panels[asked].csv_headers, panels[asked].csv_rows())
    return TemplateResponse(request, "insights/profiles.html", _context(page, request, view, charts, panels))


def _charted(view: View, charts: ProfileCharts) -> Iterator[Profile]:
    for hour, profile in hourly_profiles(*view.period, view.task_type or None):
        charts.add(hour, profile)
        yield profile


def _context(
    page: ConsoleAdmin,
    request: HttpRequest,
    view: View,
    charts: ProfileCharts,
    panels: dict[str, Panel],
) -> dict[str, Any]:
    request.current_app = page.admin_site.name
    types = [("", "all types"), *((one, one) for one in profiled_task_types(*view.period))]
    return {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": "Task profiles" + (f": {view.task_type}" if view.task_type else ""),
        "lead": f"{charts.hours:,} hours were measured in the last",
        "choices": [
            _choice(title, view.query(days=key), key == view.days)
            for key, title in PERIODS.items()
            if view.task_type or key == "1"
        ],
        "types": [_choice(title, view.query(task_type=key), key == view.task_type) for key, title in types],
        "charts": charts.charts,
        "panels": [
            {"table": panel.table, "download": f"?{view.query(csv=panel.key)}", "hidden_rows": 0}
            for panel in panels.values()
        ],
    }


def _choice(title: str, query: str, is_chosen: bool) -> dict[str, Any]:
    return {"title": title, "url": f"?{query}", "is_chosen": is_chosen}


def _panels(view: View, report: ProfileReport) -> Sequence[Panel]:
    return [_types(view, report), _tasks(report), _shares(report), _nodes(report)]


def _types(view: View, report: ProfileReport) -> Panel:
    columns = [
        Column("task type"),
        Column("arrived", Form.NUMBER),
        Column("an hour", Form.DECIMAL),
        Column("burstiness", Form.DECIMAL),
        Column("finished", Form.NUMBER),
        Column("failed", Form.SHARE),
        Column("given again", Form.SHARE),
        *_quantiles("run", Form.SECONDS),
        Column("cost, mean", Form.MONEY),
        *_quantiles("cost", Form.MONEY),
    ]
    rows = [
        (
            one.task_type,
            one.arrived,
            one.arrived_an_hour,
            one.burstiness,
            one.finished,
            one.failed_share,
            one.given_again_share,
            *_figures(one.run_seconds),
            one.cost_usd_micros.mean,
            *_figures(one.cost_usd_micros),
        )
        for one in report.types
    ]
    links = [f"?{view.query(task_type=one.task_type)}" for one in report.types]
    note = "Runs that arrived, and those that ended. Burstiness is 1 when arrivals are independent of each other."
    return Panel("types", "Types of tasks", columns, rows, links, note)


def _tasks(report: ProfileReport) -> Panel:
    columns = [
        Column("task type"),
        Column("tier"),
        Column("steps", Form.NUMBER),
        *_quantiles("slot", Form.SECONDS),
        *_quantiles("ready", Form.SECONDS),
        *_quantiles("call", Form.SECONDS),
        *_quantiles("input tokens", Form.DECIMAL),
        *_quantiles("output tokens", Form.DECIMAL),
        *_quantiles("tool calls", Form.DECIMAL),
        *_quantiles("cost of a step", Form.MONEY),
    ]
    rows = [
        (
            one.task_type,
            one.tier or "no model",
            one.steps,
            *_figures(one.slot_seconds),
            *_figures(one.wait_seconds),
            *_figures(one.call_seconds),
            *_figures(one.input_tokens),
            *_figures(one.output_tokens),
            *_figures(one.tool_calls),
            *_figures(one.cost_usd_micros),
        )
        for one in report.tasks
    ]
    note = (
        "Tokens are those of each call that was answered and bought; a step's slot counts all its attempts."
    )
    return Panel("tasks", "By tier of models", columns, rows, (), note)


def _shares(report: ProfileReport) -> Panel:
    columns = [
        Column("task type"),
        Column("tier"),
        Column("calls", Form.NUMBER),
        Column("on this tier", Form.SHARE),
        Column("from a cache", Form.SHARE),
        Column("retries", Form.SHARE),
        Column("refused", Form.SHARE),
        Column("escalated", Form.SHARE),
    ]
    rows = [
        (
            one.task_type,
            one.tier,
            one.calls,
            one.tier_share,
            one.cache_hit_share,
            one.retry_share,
            one.refusal_share,
            one.escalation_share,
        )
        for one in report.tasks
        if one.tier
    ]
    return Panel("shares", "Shares", columns, rows)


def _nodes(report: ProfileReport) -> Panel:
    columns = [
        Column("task type"),
        Column("node"),
        Column("agent"),
        Column("queue"),
        Column("steps", Form.NUMBER),
        Column("a run", Form.DECIMAL),
        Column("calls a step", Form.DECIMAL),
        Column("retries", Form.SHARE),
        *_quantiles("slot", Form.SECONDS),
        *_quantiles("cost", Form.MONEY),
    ]
    rows = [
        (
            one.task_type,
            one.node,
            one.agent,
            one.queue,
            one.steps,
            one.steps_a_run,
            one.calls_a_step,
            one.retry_share,
            *_figures(one.slot_seconds),
            *_figures(one.cost_usd_micros),
        )
        for one in report.nodes
    ]
    return Panel("nodes", "By node", columns, rows)


def _quantiles(of: str, form: Form) -> tuple[Column, Column]:
    return Column(f"{of}, p50", form), Column(f"{of}, p95", form)


def _figures(of: Distribution) -> tuple[float | None, float | None]:
    return of.p50, of.p95
