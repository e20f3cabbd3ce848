"""What budgets did and do: actions that began, steps that are held, calls that are reserved for."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from agentplatform.budgets.thresholds import Level
from apps.budgets.admin.budgets import LEVEL_KINDS, action_words
from apps.budgets.models import BudgetHold, Reservation, ThresholdCrossing
from apps.console.display import dollars, label, link
from apps.console.filters import DayFilter
from apps.console.pages import ReadOnlyAdmin


@admin.register(ThresholdCrossing)
class ThresholdCrossingAdmin(ReadOnlyAdmin):
    """Every action of a budget that began, newest first."""

    list_display = ("began_at", "budget", "action", "used", "tenant", "ended_at")
    list_filter = (("began_at", DayFilter), "level", "is_dry_run")
    list_select_related = ("window__budget", "window__tenant")
    ordering = ("-id",)
    fields = ("budget", "window", "action", "used", "cap", "began_at", "ended_at")

    @display(description="budget")
    def budget(self, crossing: ThresholdCrossing) -> str:
        return link(str(crossing.window.budget), "budgets_budget_change", crossing.window.budget_id)

    @display(description="action")
    def action(self, crossing: ThresholdCrossing) -> str:
        level = Level(crossing.level)
        return label(action_words(level, crossing.is_dry_run), LEVEL_KINDS[level])

    @display(description="used")
    def used(self, crossing: ThresholdCrossing) -> str:
        return f"{crossing.used_percent:.1f} % of its {crossing.cap}"

    @display(description="tenant")
    def tenant(self, crossing: ThresholdCrossing) -> str:
        return str(crossing.window.tenant or crossing.window.budget.tenant or "–")


@admin.register(BudgetHold)
class BudgetHoldAdmin(ReadOnlyAdmin):
    """Steps that wait for budget, those that have waited longest first."""

    list_display = ("held_at", "tenant", "task_type", "needs", "workflow")
    list_filter = (("tenant", AutocompleteSelectFilter), "task_type")
    list_select_related = ("tenant",)
    fields = ("held_at", "tenant", "task_type", "needs", "workflow", "step_id", "api_key_id")
    search_fields = ("workflow_id",)
    id_fields = ("workflow_id", "step_id")
    searches_text = False

    @display(description="waits for")
    def needs(self, hold: BudgetHold) -> str:
        return f"{dollars(hold.usd_micros)}, {hold.tokens:,} tokens"

    @display(description="workflow")
    def workflow(self, hold: BudgetHold) -> str:
        return link(str(hold.workflow_id)[:13] + "…", "workflows_workflow_change", hold.workflow_id)


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Calls in flight, and what is reserved for them at their worst case."""

    list_display = ("created_at", "tenant", "lane", "worst_case", "workflow")
    list_filter = (("tenant", AutocompleteSelectFilter), "lane")
    list_select_related = ("tenant",)
    fields = ("created_at", "tenant", "lane", "worst_case", "workflow", "step_id", "attempt", "call_id")
    search_fields = ("workflow_id",)
    id_fields = ("workflow_id", "step_id", "call_id")
    searches_text = False

    @display(description="worst case")
    def worst_case(self, reservation: Reservation) -> str:
        tokens = reservation.input_tokens + reservation.output_tokens
        return f"{dollars(reservation.usd_micros)}, {tokens:,} tokens"

    @display(description="workflow")
    def workflow(self, reservation: Reservation) -> str:
        return link(
            str(reservation.workflow_id)[:13] + "…", "workflows_workflow_change", reservation.workflow_id
        )
