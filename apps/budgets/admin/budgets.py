"""Budgets: what may be spent, how much of it is, and what happens on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from agentplatform.budgets.thresholds import Level
from apps.budgets.admin.forms import BudgetForm, OverrideForm
from apps.budgets.models import Budget, BudgetOverride, ThresholdCrossing, WindowUsage
from apps.budgets.selectors import current_windows
from apps.budgets.watching import used_words
from apps.console.display import NOTHING, dollars, label, moment
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table

LEVEL_KINDS = {
    Level.NONE: "success",
    Level.ALERT: "info",
    Level.DEGRADE: "warning",
    Level.THROTTLE: "warning",
    Level.SHUTOFF: "danger",
}
LEVEL_WORDS = {
    Level.NONE: "in budget",
    Level.ALERT: "alert",
    Level.DEGRADE: "degraded",
    Level.THROTTLE: "throttled",
    Level.SHUTOFF: "shut off",
}
WINDOWS_SHOWN = 14
CROSSINGS_SHOWN = 20


class OverrideInline(TabularInline):
    """Other caps for a while."""

    model = BudgetOverride
    form = OverrideForm
    extra = 0
    fields = (
        "daily_usd_micros",
        "monthly_usd_micros",
        "daily_tokens",
        "monthly_tokens",
        "starts_at",
        "expires_at",
        "reason",
    )
    verbose_name_plural = "overrides: other caps for a while; one that is empty stays as it is"


@admin.register(Budget)
class BudgetAdmin(ConsoleAdmin):
    """Caps by scope, with how much of the present day and month is used."""

    form = BudgetForm
    inlines = (OverrideInline,)
    list_display = ("name", "subject", "today", "this_month", "state")
    list_filter = ("scope", ("tenant", AutocompleteSelectFilter), "is_enabled", "is_dry_run")
    list_select_related = ("tier", "tenant", "api_key")
    search_fields = ("name", "task_type")
    autocomplete_fields = ("tenant", "api_key")
    fieldsets = (
        (None, {"fields": ("name", "scope", "tier", "tenant", "api_key", "task_type", "is_enabled")}),
        (
            "Caps",
            {
                "fields": (
                    ("daily_usd_micros", "monthly_usd_micros"),
                    ("daily_tokens", "monthly_tokens"),
                    "time_zone",
                )
            },
        ),
        (
            "Actions, in percent of each cap",
            {
                "fields": (
                    "is_dry_run",
                    ("alert_percent", "degrade_percent"),
                    ("throttle_percent", "throttle_to_percent"),
                    ("shutoff_percent", "rearm_points"),
                )
            },
        ),
    )

    def complete_rows(self, rows: Sequence[Any]) -> None:
        """Of a budget for each tenant, the window that is used most."""
        usages = WindowUsage.objects.filter(
            window__in=current_windows().filter(budget__in=[budget.pk for budget in rows])
        ).select_related("window")
        fullest: dict[tuple[int, str], WindowUsage] = {}
        for usage in usages.order_by("used_percent"):
            fullest[usage.window.budget_id, usage.window.period] = usage
        for budget in rows:
            budget.day = fullest.get((budget.pk, "day"))
            budget.month = fullest.get((budget.pk, "month"))

    @display(description="of")
    def subject(self, budget: Budget) -> str:
        subject = budget.tenant or budget.api_key or budget.tier
        task_type = f"{budget.task_type} " if budget.task_type else ""
        return f"{budget.get_scope_display().split(':')[0].split(' (')[0]} {task_type}{subject or ''}"

    @display(description="today")
    def today(self, budget: Any) -> str:
        return used(budget.day)

    @display(description="this month")
    def this_month(self, budget: Any) -> str:
        return used(budget.month)

    @display(description="state")
    def state(self, budget: Any) -> str:
        levels = [usage.window.level for usage in (budget.day, budget.month) if usage is not None]
        level = Level(max(levels, default=0))
        if not budget.is_enabled:
            return label("off")
        return label(action_words(level, budget.is_dry_run), LEVEL_KINDS[level])

    def detail_tables(self, request: HttpRequest, obj: Budget) -> Sequence[Table]:
        usages = WindowUsage.objects.filter(window__budget=obj).select_related("window__tenant")
        windows = [
            [
                f"{usage.window.period} from {moment(usage.window.starts_at)[:16]}",
                usage.window.tenant or NOTHING,
                used(usage),
                dollars(usage.in_flight_usd_micros),
                LEVEL_WORDS[Level(usage.window.level)],
            ]
            for usage in usages.order_by("-window__starts_at", "-window_id")[:WINDOWS_SHOWN]
        ]
        crossings = ThresholdCrossing.objects.filter(window__budget=obj).select_related("window__tenant")
        actions = [
            [
                Level(crossing.level).name.lower() + (" (dry run)" if crossing.is_dry_run else ""),
                f"{crossing.used_percent:.1f} % of its {crossing.cap}",
                crossing.window.tenant or NOTHING,
                moment(crossing.began_at),
                moment(crossing.ended_at),
            ]
            for crossing in crossings[:CROSSINGS_SHOWN]
        ]
        return [
            Table("Windows", ("window", "tenant", "used", "reserved for calls in flight", "state"), windows),
            Table("Actions", ("action", "at", "tenant", "began", "ended"), actions),
        ]

    def save_formset(
        self, request: HttpRequest, form: forms.ModelForm[Any], formset: Any, change: bool
    ) -> None:
        for override in formset.save(commit=False):
            if override.created_by_id is None:
                override.created_by = request.user
            override.save()
        for gone in formset.deleted_objects:
            gone.delete()
        formset.save_m2m()


def action_words(level: Level, is_dry_run: bool) -> str:
    """What a budget does, or would do."""
    return f"{LEVEL_WORDS[level]}, dry run" if is_dry_run else LEVEL_WORDS[level]


def used(usage: WindowUsage | None) -> str:
    """How much of a window is used: a bar, and the numbers."""
    if usage is None:
        return NOTHING
    return format_html(
        '<div class="console-meter" title="{}"><span style="width:{}%"></span></div>'
        '<span class="console-meter-text">{}% · {}</span>',
        used_words(usage),
        f"{min(100.0, usage.used_percent):.0f}",
        f"{usage.used_percent:.1f}",
        _most_used(usage),
    )


def _most_used(usage: WindowUsage) -> str:
    if usage.as_usage.cap == "tokens" and usage.cap_tokens is not None:
        return f"{usage.used_tokens:,} of {usage.cap_tokens:,} tokens"
    if usage.cap_usd_micros is None:
        return f"{usage.used_tokens:,} tokens"
    return f"{dollars(usage.used_usd_micros)} of {dollars(usage.cap_usd_micros)}"
