"""The sidebar, the environment's label and the links to what else there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

badges: dict[str, Callable[[], int]] = {}
"""What is counted beside an item of the sidebar, by app and model, such as `notifications_notice`; 0 shows nothing."""


def stylesheet(request: HttpRequest) -> str:
    """The styles of these pages, beyond the theme's."""
    return static("console/console.css")


def icon(request: HttpRequest) -> str:
    """What a browser shows beside the title of a page."""
    return static("console/icon.svg")


def environment(request: HttpRequest) -> list[str] | None:
    """The label beside the user's name: that no model answers, but the simulator."""
    return ["simulator", "warning"] if settings.SIMULATOR else None


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: each group shows what the user may see of it."""
    return [
        _group(
            request,
            "Tenants",
            ("Tenants", "domain", "tenants", "tenant"),
            ("API keys", "key", "tenants", "apikey"),
            ("Tenant tiers", "stacks", "tenants", "tenanttier"),
            ("Knowledge bases", "library_books", "knowledge", "knowledgebase"),
            ("Documents", "description", "knowledge", "document"),
            ("Sessions", "chat", "knowledge", "session"),
        ),
        _group(
            request,
            "Work",
            ("Workflows", "account_tree", "workflows", "workflow"),
            ("Approvals", "how_to_reg", "workflows", "awaitedapproval"),
            ("Schedules", "schedule", "workflows", "schedule"),
            ("Dead letters", "mail_off", "workflows", "deadlettergroup"),
            ("Each dead letter", "drafts", "workflows", "deadletter"),
            ("Feedback", "thumbs_up_down", "workflows", "feedback"),
            ("Definitions", "schema", "workflows", "workflowdefinition"),
            ("Tools", "construction", "tools", "toolsettings"),
            ("Tenants' tools", "webhook", "tools", "tenanttool"),
            ("MCP servers", "hub", "tools", "mcpserver"),
            ("Tool calls", "build_circle", "tools", "toolcall"),
            ("Queues and lanes", "queue", "workflows", "queueconfig"),
            ("Processes", "memory", "workflows", "heartbeat"),
        ),
        _group(
            request,
            "Models & money",
            ("Call journal", "forum", "gateway", "call"),
            ("Batches", "inventory_2", "gateway", "providerbatch"),
            ("Routing", "alt_route", "gateway", "call", "routing"),
            ("Cached answers", "cached", "gateway", "cacheentry"),
            ("Answers by meaning", "join_inner", "gateway", "cachescope"),
            ("Cache checks", "fact_check", "gateway", "cachecheck"),
            ("Model tiers", "stairs", "gateway", "modeltier"),
            ("Providers", "dns", "gateway", "provider"),
            ("Circuits", "electrical_services", "gateway", "circuittrip"),
            ("Prices", "sell", "gateway", "modelprice"),
            ("Budgets", "savings", "budgets", "budget"),
            ("Budget actions", "notifications_active", "budgets", "thresholdcrossing"),
            ("Held steps", "pause_circle", "budgets", "budgethold"),
            ("Calls in flight", "hourglass_top", "budgets", "reservation"),
            ("Costs", "payments", "insights", "budgetforecast", "costs"),
            ("Projections", "trending_up", "insights", "budgetforecast"),
            ("Task profiles", "monitoring", "insights", "hourlyrunprofile", "profiles"),
            ("Profiles by hour", "schedule", "insights", "hourlyrunprofile"),
            ("Capacity", "speed", "insights", "capacityplan"),
            ("Drift", "query_stats", "insights", "driftwindow", "drift"),
            ("Drift by window", "view_timeline", "insights", "driftwindow"),
            ("Drift references", "flag", "insights", "driftreference"),
            ("Ledger", "receipt_long", "budgets", "ledgerentry"),
        ),
        _group(
            request,
            "Notifications",
            ("Notices", "notifications", "notifications", "notice"),
            ("Webhook endpoints", "webhook", "notifications", "endpoint"),
            ("E-mail recipients", "contact_mail", "notifications", "recipient"),
            ("Deliveries", "outgoing_mail", "notifications", "delivery"),
        ),
        _system(request),
    ]


def _system(request: HttpRequest) -> dict[str, Any]:
    group = _group(
        request,
        "System",
        ("Audit log", "history", "admin", "logentry"),
        ("Operations", "build", "workflows", "operatoraction"),
        ("Maintenance results", "task_alt", "django_celery_results", "taskresult"),
        ("Users", "person", "tenants", "user"),
        ("Groups", "group", "auth", "group"),
    )
    if settings.FLOWER_URL:
        group["items"].append(
            {"title": "Flower", "icon": "local_florist", "link": settings.FLOWER_URL, "active": False}
        )
    group["items"].append({"title": "API docs", "icon": "api", "link": reverse("docs"), "active": False})
    return group


def _group(request: HttpRequest, title: str, *items: tuple[str, ...]) -> dict[str, Any]:
    """Each item is a title, an icon, an app and a model, and the page if it is not the model's list."""
    shown: list[dict[str, Any]] = [
        {
            "title": name,
            "icon": icon,
            "link": reverse(f"admin:{app}_{model}_{(*page, 'changelist')[0]}"),
            "badge": 0 if page else _badge(app, model),
        }
        for name, icon, app, model, *page in items
        if request.user.has_perm(f"{app}.view_{model}") or request.user.has_perm(f"{app}.change_{model}")
    ]
    # One item may lie below another: the one that is nearest to the page is where the user is.
    nearest = max(
        (item["link"] for item in shown if request.path.startswith(item["link"])), key=len, default=""
    )
    return {
        "title": title,
        "items": [{**item, "active": item["link"] == nearest} for item in shown],
    }


def _badge(app: str, model: str) -> int:
    count = badges.get(f"{app}_{model}")
    return count() if count else 0
