"""The page of drift: what has shifted lately, what that costs, and how far each measure is from its reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from agentplatform.profiles.observing import PLATFORM, Measure
from apps.console.pages import ConsoleAdmin
from apps.console.spreadsheets import csv_response
from apps.insights.charts import Chart
from apps.insights.drift_models import MEASURES, DriftReading, DriftWindow
from apps.insights.drift_selectors import indexes_by_window, windows_between
from apps.insights.drifting import figure_in_words
from apps.insights.panels import Column, Form, Panel
from apps.insights.profile_charts import line_chart

PERMISSION = "insights.view_driftwindow"
PERIODS = {"1": "24 hours", "7": "seven days"}
MIXES = (Measure.TASK_MIX, Measure.TIER_MIX)
VALUES = (Measure.INPUT_TOKENS, Measure.OUTPUT_TOKENS, Measure.EXECUTION_SECONDS)


def drift_page(page: ConsoleAdmin, request: HttpRequest) -> HttpResponseBase:
    """The page, or one of its tables as CSV, for who may see drift."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    days = request.GET.get("days", "")
    days = days if days in PERIODS else "1"
    task_type = request.GET.get("task_type", PLATFORM).replace("\x00", "")
    now = timezone.now()
    windows = windows_between(now - timedelta(days=int(days)), now)
    panels = {panel.key: panel for panel in _panels(windows)}
    asked = request.GET.get("csv")
    if asked is not None:
        if asked not in panels:
            raise Http404
        return csv_response(request, f"drift-{asked}", panels[asked].csv_headers, panels[asked].csv_rows())
    request.current_app = page.admin_site.name
    types = sorted({reading.task_type for window in windows for reading in window.readings.all()})
    query = {"days": days, "task_type": task_type}
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": "Drift" + (f": {task_type}" if task_type else ""),
        "lead": f"{len(windows):,} windows were compared in the last",
        "choices": [_choice(title, {**query, "days": key}, key == days) for key, title in PERIODS.items()],
        "types": [
            _choice(one or "the platform", {**query, "task_type": one}, one == task_type) for one in types
        ],
        "charts": _charts(windows, task_type),
        "panels": [
            {"table": panel.table, "download": f"?{urlencode({**query, 'csv': panel.key})}", "hidden_rows": 0}
            for panel in panels.values()
        ],
    }
    return TemplateResponse(request, "insights/profiles.html", context)


def _choice(title: str, query: dict[str, str], is_chosen: bool) -> dict[str, Any]:
    return {"title": title, "url": f"?{urlencode(query)}", "is_chosen": is_chosen}


def _charts(windows: Sequence[DriftWindow], task_type: str) -> Iterator[Chart]:
    """The stability indexes of one type of task, or of the platform, window by window."""
    if not windows:
        return
    in_order = list(reversed(windows))
    labels = [f"{window.starts_at:%d. %H}h" for window in in_order]
    yield line_chart("Measures that had shifted", labels, {"shifted": [one.shifted for one in in_order]})
    indexes = indexes_by_window(in_order, task_type)
    shares = tuple(measure for measure in Measure if measure not in (*MIXES, *VALUES))
    for title, measures in (("Mix", MIXES), ("Values", VALUES), ("Shares", shares)):
        lines = {MEASURES[one]: indexes[one] for one in measures if one in indexes}
        if lines:
            yield line_chart(f"{title}: stability index", labels, lines)


def _panels(windows: Sequence[DriftWindow]) -> Iterator[Panel]:
    drifted = [reading for window in windows for reading in window.readings.all() if reading.is_drift]
    yield _panel("shifts", "What has shifted", drifted)
    latest = list(windows[0].readings.all()) if windows else []
    title = f"The window from {windows[0].starts_at:%Y-%m-%d %H:%M}" if windows else "The latest window"
    yield _panel("latest", title, latest)


def _panel(key: str, title: str, readings: Sequence[DriftReading]) -> Panel:
    columns = [
        Column("window", Form.MOMENT),
        Column("task type"),
        Column("measure"),
        Column("moved"),
        Column("reference"),
        Column("window's"),
        Column("stability index", Form.DECIMAL),
        Column("p-value", Form.DECIMAL),
        Column("runs", Form.NUMBER),
        Column("shifted", Form.STATUS),
        Column("more a day", Form.MONEY),
    ]
    rows = [
        (
            one.window_id,
            one.task_type or "the platform",
            one.get_measure_display(),
            one.moved,
            figure_in_words(one, one.reference_value),
            figure_in_words(one, one.window_value),
            one.stability_index,
            one.p_value,
            one.window_units,
            "shifted" if one.is_drift else "as before",
            one.cost_a_day_usd_micros,
        )
        for one in readings
    ]
    links = [reverse("admin:insights_driftwindow_change", args=[one.window_id]) for one in readings]
    note = "Costs of shifts that have one cause are the same money, and do not add up." if rows else ""
    return Panel(key, title, columns, rows, links, note)


def readings_panel(window: DriftWindow) -> Panel:
    """All measures of one window."""
    return _panel("readings", "Measures", list(window.readings.order_by("-is_drift", "p_value", "pk")))
