"""The ledger, to read: it is append-only, and the database itself holds that."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, FieldTextFilter
from unfold.decorators import display

from apps.budgets.models import LedgerEntry
from apps.console.display import dollars, link
from apps.console.filters import DayFilter
from apps.console.pages import ReadOnlyAdmin


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """What every settled call cost, newest first."""

    list_display = (
        "created_at",
        "tenant",
        "task_type",
        "agent",
        "tier",
        "model",
        "kind",
        "tokens",
        "cost",
        "workflow",
    )
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("created_at", DayFilter),
        ("task_type", FieldTextFilter),
        ("model", FieldTextFilter),
        "kind",
        "outcome",
    )
    list_select_related = ("tenant",)
    search_fields = ("workflow_id",)
    id_fields = ("workflow_id",)
    searches_text = False
    search_help_text = "The id of a workflow"
    ordering = ("-id",)
    fields = (
        "id",
        "created_at",
        "tenant",
        "cost",
        "estimated",
        "avoided",
        "kind",
        "outcome",
        "task_type",
        "agent",
        "tier",
        "provider",
        "model",
        "price_version",
        "input_tokens",
        "output_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "cache_read_tokens",
        "workflow",
        "step_id",
        "attempt",
        "call_id",
        "provider_request_id",
    )

    @display(description="cost")
    def cost(self, entry: LedgerEntry) -> str:
        return dollars(entry.cost_usd_micros) + (" (estimated)" if entry.estimated else "")

    @display(description="avoided")
    def avoided(self, entry: LedgerEntry) -> str:
        return dollars(entry.avoided_usd_micros)

    @display(description="tokens in / out")
    def tokens(self, entry: LedgerEntry) -> str:
        cached = entry.cache_write_5m_tokens + entry.cache_write_1h_tokens + entry.cache_read_tokens
        return f"{entry.input_tokens + cached:,} / {entry.output_tokens:,}"

    @display(description="workflow")
    def workflow(self, entry: LedgerEntry) -> str:
        return link(str(entry.workflow_id)[:13] + "…", "workflows_workflow_change", entry.workflow_id)
