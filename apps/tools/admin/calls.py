"""Tool calls, to read."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import display

from apps.console.display import NOTHING, dollars, folded_json, moment, seconds, status_label
from apps.console.filters import IdDayFilter
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.console.tables import Table
from apps.tools.models import ToolCall

STATUSES = {"started": "info", "succeeded": "success", "failed": "danger", "unknown": "warning"}
HEADERS = ("tool", "status", "why", "attempt", "idempotent", "cost", "started", "took", "result")


@admin.register(ToolCall)
class ToolCallAdmin(SaidInRunsAdmin, ReadOnlyAdmin):
    """Every call that was written down, newest first."""

    said_fields = ("shown_result",)

    list_display = ("started_at", "tenant", "task_type", "agent", "tool", "state", "code", "cost", "took")
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("tool", FieldTextFilter),
        ("status", ChoicesDropdownFilter),
        ("started_at", IdDayFilter),
    )
    list_select_related = ("tenant",)
    list_defers = ("result",)
    search_fields = ("tool",)
    id_fields = ("pk", "workflow_id", "step_id")
    searches_text = False
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "tool",
        "state",
        "code",
        "tenant",
        "workflow_id",
        "step_id",
        "attempt",
        "ordinal",
        "task_type",
        "agent",
        "is_idempotent",
        "cost",
        "took",
        "started_at",
        "ended_at",
        "shown_result",
        "id",
    )

    @display(description="status")
    def state(self, call: ToolCall) -> str:
        return status_label(call.status, STATUSES)

    @display(description="cost")
    def cost(self, call: ToolCall) -> str:
        return dollars(call.cost_usd_micros) if call.price_usd_micros else NOTHING

    @display(description="took")
    def took(self, call: ToolCall) -> str:
        return seconds(call.seconds) if call.ended_at else NOTHING

    @display(description="result")
    def shown_result(self, call: ToolCall) -> Any:
        return NOTHING if call.result is None else folded_json("show", call.result)


def tool_calls_table(calls: Iterable[ToolCall], unread: Collection[uuid.UUID] = ()) -> Table:
    """Tool calls as a table below what made them; without the results of runs that may not be read."""
    rows: Sequence[Any] = [
        [
            call.tool,
            status_label(call.status, STATUSES),
            call.code or NOTHING,
            call.attempt,
            "yes" if call.is_idempotent else "no",
            dollars(call.cost_usd_micros) if call.price_usd_micros else NOTHING,
            moment(call.started_at),
            seconds(call.seconds) if call.ended_at else NOTHING,
            NOTHING
            if call.result is None or call.workflow_id in unread
            else folded_json("show", call.result),
        ]
        for call in calls
    ]
    return Table("Tool calls", HEADERS, rows)
