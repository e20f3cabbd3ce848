"""How calls were routed lately, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.console.display import NOTHING, dollars, moment
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.database import OUTAGE_ERRORS
from apps.gateway.routing_report import AgentCaching, Route, RoutingReport, routing_report

PERIODS = {1: "the last day", 7: "the last week"}

ROUTES_NOTE = (
    "Escalated are answers that were empty, refused or not of their schema, and were asked for once more, one tier up. "
    "Elsewhere are live calls that another provider than the tier's first one of today was sent. Complexity is the mean "
    "of the calls that were scored, those without a pinned tier; a use case goes before it."
)
CACHING_NOTE = "What a provider had in its prompt cache costs a fraction of other input."
ROUTE_HEADERS = ("task", "tier", "calls", "failed", "escalated", "complexity", "elsewhere", "cost")
CACHING_HEADERS = ("agent", "calls", "input tokens", "from the prompt cache", "share")


def routing_page(page: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """The page, for who may see calls."""
    if not page.has_view_permission(request):
        raise PermissionDenied
    text = request.GET.get("days", "")
    days = int(text) if text in {str(period) for period in PERIODS} else 1
    request.current_app = page.admin_site.name
    lead, tables = _tables(days)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": "Routing",
        "lead": lead,
        "choices": [
            {"title": title.capitalize(), "url": f"?days={period}", "is_chosen": period == days}
            for period, title in PERIODS.items()
        ],
        "console_tables": tables,
    }
    return TemplateResponse(request, "console/report.html", context)


def _tables(days: int) -> tuple[str, Sequence[Table]]:
    try:
        report = routing_report(days)
    except OUTAGE_ERRORS:
        return "The database did not add this up in time. Choose a shorter period, or try again later:", ()
    return f"Calls since {moment(report.since)[:16]}:", [_routes_table(report), _caching_table(report)]


def _routes_table(report: RoutingReport) -> Table:
    rows = [_route_row(route) for route in report.routes]
    return Table("By task and tier", ROUTE_HEADERS, rows, ROUTES_NOTE if rows else "No calls were made.")


def _route_row(route: Route) -> list[Any]:
    mean = route.mean_complexity
    return [
        route.task_type,
        route.tier,
        f"{route.calls:,}",
        f"{route.failed:,}",
        _with_share(route.escalations, route.escalation_share),
        NOTHING if mean is None else f"{mean:.2f}",
        _with_share(route.fallbacks, route.fallback_share),
        dollars(route.cost_usd_micros),
    ]


def _caching_table(report: RoutingReport) -> Table:
    rows = [_caching_row(agent) for agent in report.agents]
    return Table("Prompt caching by agent", CACHING_HEADERS, rows, CACHING_NOTE if rows else "")


def _caching_row(agent: AgentCaching) -> list[Any]:
    return [
        agent.agent,
        f"{agent.calls:,}",
        f"{agent.input_tokens:,}",
        f"{agent.cache_read_tokens:,}",
        _percent(agent.hit_share),
    ]


def _with_share(count: int, share: float | None) -> str:
    return f"{count:,} ({_percent(share)})" if count else "0"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"
